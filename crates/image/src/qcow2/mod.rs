//! QEMU's qcow2, versions 2 and 3, read; version 3 written (QEMU `docs/interop/qcow2.rst`).
//!
//! Read are plain and compressed clusters (deflate, zstd), subclusters, backing files, external data files, and
//! internal snapshots in the place of the present state. Images that are marked as dirty read as what they are: only
//! their reference counts are behind. LUKS is unlocked with a passphrase. Refused are images that are marked as
//! corrupt, and the encryption that QEMU had before.

mod audit;
mod bitmaps;
mod census;
mod compressed;
mod extensions;
mod geometry;
mod header;
mod inspect;
mod luks;
mod open;
mod problem;
mod reason;
mod rebuild;
mod refcounts;
mod repair;
mod resize;
mod snapshots;
mod tables;
#[cfg(test)]
mod tests;
mod write;

pub use reason::Reason;

use crate::copy::Layout;
use crate::create::NewImage;
use crate::error::Result;
use crate::format::Format;
use write::Qcow2Layout;

/// The format.
pub(crate) static FORMAT: Format = Format {
    endings: &["qcow2"],
    open: Some(open::open),
    create: Some(create),
    inspect: Some(inspect::inspect),
    repair: Some(repair::repair),
    resize: Some(resize::resize),
    ..Format::unknown("qcow2", "a qcow2 image", |ends| {
        ends.has(&header::MAGIC, 0) && !ends.has(&[0, 0, 0, 1], header::MAGIC.len())
    })
};

fn create(size: u64, name: &str, new: &NewImage) -> Result<Box<dyn Layout>> {
    Ok(Box::new(Qcow2Layout::new(size, name, new)?))
}
