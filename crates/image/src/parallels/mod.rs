//! Parallels' images (QEMU `docs/interop/parallels.rst`).

mod reason;

pub use reason::Reason;

use crate::format::Format;

/// The format.
pub(crate) static FORMAT: Format = Format {
    endings: &["hdd", "hds"],
    ..Format::unknown("parallels", "a Parallels image", |ends| {
        ends.has(b"WithoutFreeSpace", 0) || ends.has(b"WithouFreSpacExt", 0)
    })
};
