//! VMware's VMDK, read and written: "Virtual Disk Format 5.0" (VMware, 2011).
//!
//! A disk is a descriptor and one or more extents; both may be in one file. A snapshot is a disk whose descriptor
//! names a parent. Read are the hosted types (`monolithicSparse`, `monolithicFlat`, `twoGbMaxExtentSparse`,
//! `twoGbMaxExtentFlat`, `streamOptimized`), those of ESX (`vmfs`, `vmfsSparse`, `seSparse`) and any mixture of their
//! extents (`custom`). One file here is one region on the disk.

mod arrangement;
mod copies;
mod descriptor;
mod directory;
mod grain;
mod header;
mod inspect;
mod marker;
mod open;
mod parent;
mod reason;
mod repair;
mod resize;
mod sesparse;
mod sparse;
mod write;

pub use reason::Reason;

use crate::format::Format;

/// The format.
pub(crate) static FORMAT: Format = Format {
    endings: &["vmdk"],
    subformats: write::SUBFORMATS,
    open: Some(open::open),
    create: Some(write::create),
    inspect: Some(inspect::inspect),
    repair: Some(repair::repair),
    resize: Some(resize::resize),
    ..Format::unknown("vmdk", "a VMDK", |ends| {
        ends.has(&header::SPARSE_MAGIC, 0)
            || ends.has(&header::COWD_MAGIC, 0)
            || ends.has(&sesparse::MAGIC, 0)
            || descriptor::is_descriptor(&ends.head)
    })
};
