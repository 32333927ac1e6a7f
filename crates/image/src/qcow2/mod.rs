//! QEMU's qcow2, versions 2 and 3, read; version 3 written (QEMU `docs/interop/qcow2.rst`).
//!
//! Read are plain and compressed clusters (deflate, zstd), subclusters and backing files. Internal snapshots are
//! not looked at: the image reads as its active state, which is what a guest would see. Refused are encrypted
//! images, external data files, and images that are marked as corrupt.

mod compressed;
mod header;
mod reason;
mod tables;
mod write;

pub use reason::Reason;
pub(crate) use write::Qcow2Layout;

use crate::error::{Error, Result};
use crate::format::{self, Format};
use crate::gate::{Gate, sibling};
use crate::layer::{Layer, LayerInfo, Parent};
use crate::source::Source;
use block::BlockRead;
use header::Header;
use std::sync::Arc;
use tables::Tables;

/// Whether `head`, the beginning of a file, is that of a qcow2 image.
pub(crate) fn probe(head: &[u8]) -> bool {
    head.starts_with(&header::MAGIC) && !head.starts_with(b"QFI\xfb\0\0\0\x01")
}

/// Opens the qcow2 image in `source`, which its gate calls `name`.
pub(crate) fn open(_gate: &dyn Gate, name: &str, source: Source) -> Result<Layer> {
    let header = Header::read(&source)?;
    let parent = match &header.backing {
        None => None,
        Some((backing, format)) => Some(Parent {
            name: sibling(name, backing),
            beside: None,
            format: format.as_deref().map(|format| backing_format(&source, format)).transpose()?,
            content_id: None,
        }),
    };
    let subformat = Some(format!("v{}", header.version));
    let disk = Arc::new(Tables::read(source, header)?);
    let info = LayerInfo {
        format: "qcow2",
        subformat,
        virtual_size: disk.size(),
        files: vec![name.to_owned()],
        content_id: None,
    };
    Ok(Layer { disk, info, parent })
}

fn backing_format(source: &Source, name: &str) -> Result<&'static Format> {
    format::by_name(name)
        .ok_or_else(|| error(source, None, Reason::BackingFormat { format: name.to_owned() }))
}

fn error(source: &Source, offset: Option<u64>, reason: Reason) -> Error {
    Error::Qcow2 { path: source.path.clone(), offset, reason }
}
