//! Virtual-disk formats and the copy engine.
//!
//! [`open`] turns a name, through a [`Gate`], into an [`Image`]: the disk that a guest would see, whatever the
//! format and however many files and parents it is made of. [`copy()`] writes any disk to a new qcow2 or raw file.
//! Formats are listed in one table, [`FORMATS`]; each has a module of its own. This crate uses `block` alone.
//!
//! What an image says is never believed: every number is compared with the real size of the file before it is
//! used, and every name goes through the gate.

mod cache;
pub mod copy;
mod error;
mod format;
mod gate;
pub mod gzip;
mod layer;
mod mapping;
mod open;
pub mod qcow2;
mod raw;
mod source;
pub mod vmdk;

pub use copy::{CopyOptions, CopyReport, NoProgress, OutputFormat, Progress, copy, digest};
pub use error::{Error, ErrorKind, Result};
pub use format::{FORMATS, Format, Probe, probe};
pub use gate::{DirectoryGate, Gate, GateError, GateReason};
pub use gzip::GzipDisk;
pub use layer::LayerInfo;
pub use open::{Image, ImageInfo, MAX_CHAIN, open};

/// The largest disk that is believed, in bytes: 64 PiB, beyond what any hypervisor offers.
pub const MAX_VIRTUAL_SIZE: u64 = 1 << 56;
