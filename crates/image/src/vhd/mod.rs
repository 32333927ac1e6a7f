//! Microsoft's VHD ("Virtual Hard Disk Image Format Specification", version 1.0, 2006): fixed, dynamic and differencing
//! images, read, written, checked, repaired and resized.
//!
//! A fixed image is the disk as it is and a footer. The others have a copy of the footer at their start, a header, a block
//! allocation table, and blocks, each with a bitmap of the sectors that were written.

mod blocks;
mod check;
mod footer;
mod geometry;
mod header;
mod parent;
mod reason;
mod resize;
mod survey;
mod write;

pub use reason::Reason;

use crate::bytes::Bytes;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::layer::{Layer, LayerInfo, Parent};
use crate::mapping::Mapped;
use crate::open::Opening;
use crate::raw;
use crate::source::Source;
use block::{BlockRead, Window};
use blocks::Blocks;
use footer::{Footer, Kind};
use header::Header;
use std::sync::Arc;

/// The format.
pub(crate) static FORMAT: Format = Format {
    endings: &["vhd", "vpc"],
    subformats: &["dynamic", "fixed"],
    open: Some(open),
    create: Some(write::create),
    inspect: Some(check::inspect),
    repair: Some(check::repair),
    resize: Some(resize::resize),
    ..Format::unknown("vhd", "a VHD image", |ends| {
        // A fixed image has its footer at the end alone, where a guest could have written something like it.
        ends.has(&footer::COOKIE, 0) || footer::ends_with_footer(&ends.tail)
    })
};

fn open(Opening { name, source, .. }: Opening<'_>) -> Result<Layer> {
    let footer = Footer::read(&source)?;
    let mut info = LayerInfo {
        subformat: Some(footer.kind.name().to_owned()),
        content_id: Some(footer.unique_id()),
        ..LayerInfo::new("vhd", footer.size, name)
    };
    info.facts.insert("creator", footer.creator());
    if footer.is_in_saved_state() {
        info.facts.insert("saved state", "yes".to_owned());
    }
    if footer.is_copy {
        info.facts.insert("footer", "damaged; read from its copy at the start".to_owned());
    }
    if footer.kind == Kind::Fixed {
        return Ok(Layer { disk: fixed(&source, footer.size)?, info, parent: None });
    }
    let header = Header::read(&source, &footer)?;
    info.cluster_size = Some(header.block);
    let has_parent = footer.kind == Kind::Differencing;
    let parent = if has_parent { Some(find_parent(&source, name, &header)?) } else { None };
    let disk = Arc::new(Mapped(Blocks::new(source, header, footer.size, has_parent)));
    Ok(Layer { disk, info, parent })
}

fn fixed(source: &Source, size: u64) -> Result<Arc<dyn BlockRead>> {
    let window = Window::new(Arc::clone(&source.disk), 0..size);
    Ok(Arc::new(window.map_err(|error| Error::Read { path: source.path.clone(), source: error })?))
}

fn find_parent(source: &Source, name: &str, header: &Header) -> Result<Parent> {
    let names = parent::names(source, name, header);
    if names.is_empty() {
        return Err(source.error(Some(header.offset), Reason::ParentUnnamed));
    }
    // XenServer makes differencing disks of raw ones, which have no identifier.
    if header.raw.parent_id == [0; 16] {
        return Ok(Parent { names, format: Some(&raw::FORMAT), content_ids: Vec::new() });
    }
    Ok(Parent { names, format: Some(&FORMAT), content_ids: vec![footer::identifier(header.raw.parent_id)] })
}
