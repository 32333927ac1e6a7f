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

use crate::copy::Layout;
use crate::create::NewImage;
use crate::error::{Error, Result};
use crate::format::{self, Format};
use crate::gate::sibling;
use crate::layer::{Layer, LayerInfo, Parent};
use crate::open::Opening;
use crate::source::Source;
use block::BlockRead;
use header::Header;
use std::sync::Arc;
use tables::Tables;
use write::Qcow2Layout;

/// The format.
pub(crate) static FORMAT: Format = Format {
    endings: &["qcow2"],
    open: Some(open),
    create: Some(create),
    ..Format::unknown("qcow2", "a qcow2 image", |ends| {
        ends.has(&header::MAGIC, 0) && !ends.has(&[0, 0, 0, 1], header::MAGIC.len())
    })
};

fn create(size: u64, name: &str, new: &NewImage) -> Result<Box<dyn Layout>> {
    new.refuse_parent()?;
    new.refuse_cluster_size()?;
    new.refuse_compression()?;
    new.refuse_data_file()?;
    Ok(Box::new(Qcow2Layout::new(size, name)?))
}

fn open(Opening { name, source, .. }: Opening<'_>) -> Result<Layer> {
    let header = Header::read(&source)?;
    let parent = match &header.backing {
        None => None,
        Some((backing, format)) => Some(Parent {
            names: vec![sibling(name, backing)],
            format: format.as_deref().map(|format| backing_format(&source, format)).transpose()?,
            content_ids: Vec::new(),
        }),
    };
    let (subformat, cluster_size) = (Some(format!("v{}", header.version)), Some(header.cluster()));
    let disk = Arc::new(Tables::read(source, header)?);
    let info = LayerInfo { subformat, cluster_size, ..LayerInfo::new("qcow2", disk.size(), name) };
    Ok(Layer { disk, info, parent })
}

fn backing_format(source: &Source, name: &str) -> Result<&'static Format> {
    format::by_name(name)
        .ok_or_else(|| error(source, None, Reason::BackingFormat { format: name.to_owned() }))
}

fn error(source: &Source, offset: Option<u64>, reason: Reason) -> Error {
    Error::Format { path: source.path.clone(), offset, reason: reason.into() }
}
