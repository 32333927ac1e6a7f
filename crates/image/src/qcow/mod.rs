//! QEMU's first qcow format, version 1.

mod reason;

pub use reason::Reason;

use crate::format::Format;

/// The format.
pub(crate) static FORMAT: Format = Format {
    endings: &["qcow"],
    ..Format::unknown("qcow", "a qcow image of version 1", |ends| ends.has(b"QFI\xfb\0\0\0\x01", 0))
};
