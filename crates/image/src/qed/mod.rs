//! QEMU's QED, read (QEMU `docs/interop/qed_spec.rst`).
//!
//! An image that was not closed (the bit "need check") is read as it is: what a crash can leave behind in one are
//! clusters that nothing uses, and entries that say that a cluster is absent.

mod check;
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
use crate::raw;
use header::Header;
use std::sync::Arc;
use tables::Tables;

/// The format.
pub(crate) static FORMAT: Format = Format {
    endings: &["qed"],
    open: Some(open),
    inspect: Some(check::inspect),
    ..Format::unknown("qed", "a QED image", |ends| ends.has(&header::MAGIC, 0))
};

fn open(Opening { name, source, .. }: Opening<'_>) -> Result<Layer> {
    let header = Header::read(&source)?;
    let parent = header.backing.as_ref().map(|backing| Parent {
        names: vec![sibling(name, &backing.name)],
        format: backing.raw.then_some(&raw::FORMAT),
        content_ids: Vec::new(),
    });
    let mut info =
        LayerInfo { cluster_size: Some(header.cluster), ..LayerInfo::new("qed", header.size, name) };
    if header.need_check {
        info.facts.insert("dirty", "it was not closed by whoever wrote it last".to_owned());
    }
    Ok(Layer { disk: Arc::new(Mapped(Tables::new(source, header))), info, parent })
}
