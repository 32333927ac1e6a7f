//! Parallels' images, read: expanding ones (QEMU `docs/interop/parallels.rst`), plain ones, and the directory
//! `name.hdd` of both kinds with its `DiskDescriptor.xml` and its snapshots.

mod allocation;
mod bundle;
mod check;
mod descriptor;
mod header;
mod reason;

pub(crate) use descriptor::NAME as DESCRIPTOR;
pub use reason::Reason;

use crate::bytes::Bytes;
use crate::error::Result;
use crate::format::Format;
use crate::layer::{Layer, LayerInfo};
use crate::mapping::Mapped;
use crate::open::Opening;
use crate::source::Source;
use allocation::AllocationTable;
use header::Header;
use std::sync::Arc;

/// The format.
pub(crate) static FORMAT: Format = Format {
    endings: &["hdd", "hds", "parallels"],
    open: Some(open),
    inspect: Some(check::inspect),
    ..Format::unknown("parallels", "a Parallels image", |ends| {
        ends.has(&header::MAGIC, 0)
            || ends.has(&header::MAGIC_EXTENDED, 0)
            || descriptor::is_descriptor(&ends.head)
    })
};

/// Whether `source` is a descriptor rather than of an image.
fn is_described(source: &Source) -> Result<bool> {
    Ok(!matches!(source.structure(0)?, Some(header::MAGIC | header::MAGIC_EXTENDED)))
}

fn open(opening: Opening<'_>) -> Result<Layer> {
    if is_described(&opening.source)? {
        return bundle::open(&opening);
    }
    let Opening { gate, name, source, .. } = opening;
    let header = Header::read(&source)?;
    let subformat = if header.extended { "WithouFreSpacExt" } else { "WithoutFreeSpace" };
    let mut info = LayerInfo {
        subformat: Some(subformat.to_owned()),
        cluster_size: Some(header.cluster),
        ..LayerInfo::new("parallels", header.size, name)
    };
    if header.in_use {
        info.facts.insert("dirty", "it was not closed by whoever wrote it last".to_owned());
    }
    let parent = bundle::parent(gate, name)?;
    Ok(Layer { disk: Arc::new(Mapped(AllocationTable::new(source, header))), info, parent })
}
