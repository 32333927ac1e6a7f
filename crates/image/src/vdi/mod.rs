//! VirtualBox's VDI: dynamic, fixed and differencing images read, dynamic and fixed ones written.
//!
//! There is no specification but VirtualBox's own `src/VBox/Storage/VDICore.h`. A header, a map with one entry a
//! block, blocks. A differencing image names its parent by its identifiers alone, so that the parent is looked for
//! among the files of the gate.

mod check;
mod edit;
mod header;
mod map;
mod parent;
mod reason;
mod resize;
mod write;

pub use reason::Reason;

use crate::copy::Layout;
use crate::create::NewImage;
use crate::error::Result;
use crate::format::Format;
use crate::layer::{Layer, LayerInfo};
use crate::mapping::Mapped;
use crate::open::Opening;
use header::Header;
use map::BlockMap;
use std::sync::Arc;
use write::VdiLayout;

/// The format.
pub(crate) static FORMAT: Format = Format {
    endings: &["vdi"],
    subformats: &["dynamic", "fixed"],
    open: Some(open),
    create: Some(create),
    inspect: Some(check::inspect),
    repair: Some(check::repair),
    resize: Some(resize::resize),
    ..Format::unknown("vdi", "a VirtualBox VDI image", |ends| {
        ends.has(&header::MAGIC.to_le_bytes(), header::MAGIC_OFFSET)
    })
};

fn create(size: u64, name: &str, new: &NewImage) -> Result<Box<dyn Layout>> {
    new.refuse_parent()?;
    new.refuse_compression()?;
    new.refuse_data_file()?;
    Ok(Box::new(VdiLayout::new(size, name, new)?))
}

fn open(Opening { gate, name, source, .. }: Opening<'_>) -> Result<Layer> {
    let (_, header) = Header::read(&source)?;
    let parent = match header.kind.has_parent() {
        true => Some(parent::find(gate, name, &source, &header)?),
        false => None,
    };
    let mut info = LayerInfo {
        subformat: Some(header.kind.name().to_owned()),
        content_id: Some(header.modification.to_string()),
        cluster_size: Some(header.block),
        ..LayerInfo::new("vdi", header.size, name)
    };
    info.facts.insert("uuid", header.creation.to_string());
    if !header.comment.is_empty() {
        info.facts.insert("comment", header.comment.clone());
    }
    Ok(Layer { disk: Arc::new(Mapped(BlockMap::new(source, header))), info, parent })
}
