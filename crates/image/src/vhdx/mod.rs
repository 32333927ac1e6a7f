//! Microsoft's VHDX ([MS-VHDX], "Virtual Hard Disk v2 (VHDX) File Format").

mod reason;

pub use reason::Reason;

use crate::format::Format;

/// The format.
pub(crate) static FORMAT: Format =
    Format { endings: &["vhdx"], ..Format::unknown("vhdx", "a VHDX image", |ends| ends.has(b"vhdxfile", 0)) };
