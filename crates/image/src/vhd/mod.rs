//! Microsoft's VHD ("Virtual Hard Disk Image Format Specification", version 1.0, 2006).

mod reason;

pub use reason::Reason;

use crate::format::Format;

/// The format.
pub(crate) static FORMAT: Format = Format {
    endings: &["vhd", "vpc"],
    ..Format::unknown(
        "vhd",
        "a VHD image", // A fixed VHD has its footer at the end alone.
        |ends| ends.has(b"conectix", 0) || ends.tail.starts_with(b"conectix"),
    )
};
