//! VirtualBox's VDI.

mod reason;

pub use reason::Reason;

use crate::format::Format;

/// The format.
pub(crate) static FORMAT: Format = Format {
    endings: &["vdi"],
    ..Format::unknown("vdi", "a VirtualBox VDI image", |ends| ends.has(&0xbeda_107f_u32.to_le_bytes(), 0x40))
};
