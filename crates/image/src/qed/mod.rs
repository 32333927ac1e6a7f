//! QEMU's QED (QEMU `docs/interop/qed_spec.rst`).

mod reason;

pub use reason::Reason;

use crate::format::Format;

/// The format.
pub(crate) static FORMAT: Format =
    Format { endings: &["qed"], ..Format::unknown("qed", "a QED image", |ends| ends.has(b"QED\0", 0)) };
