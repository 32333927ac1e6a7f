//! QEMU's first qcow format, version 1, read.
//!
//! There is no specification but QEMU's own `block/qcow.c`: a table of tables of clusters, which may be compressed,
//! and a backing file. Encrypted images are refused.

mod compressed;
mod header;
mod reason;
mod tables;

pub use reason::Reason;

use crate::error::Result;
use crate::format::Format;
use crate::gate::sibling;
use crate::layer::{Layer, LayerInfo, Parent};
use crate::mapping::Mapped;
use crate::open::Opening;
use header::Header;
use std::sync::Arc;
use tables::Tables;

/// The format.
pub(crate) static FORMAT: Format = Format {
    endings: &["qcow"],
    open: Some(open),
    ..Format::unknown("qcow", "a qcow image of version 1", |ends| {
        ends.has(&header::MAGIC, 0) && ends.has(&[0, 0, 0, 1], header::MAGIC.len())
    })
};

fn open(Opening { name, source, .. }: Opening<'_>) -> Result<Layer> {
    let header = Header::read(&source)?;
    let parent = header.backing.as_ref().map(|backing| Parent {
        names: vec![sibling(name, backing)],
        format: None,
        content_ids: Vec::new(),
    });
    let info =
        LayerInfo { cluster_size: Some(header.cluster()), ..LayerInfo::new("qcow", header.size, name) };
    Ok(Layer { disk: Arc::new(Mapped(Tables::new(source, header))), info, parent })
}
