//! Virtual-disk formats and the copy engine.
//!
//! [`open`] turns a name, through a [`Gate`], into an [`Image`]: the disk that a guest would see, whatever the
//! format and however many files and parents it is made of. [`copy()`] writes any disk to a
//! [`NewImage`]; [`check()`], [`repair`] and [`resize()`] look after one that is there.
//! Formats are listed in one table, [`FORMATS`]; each has a module of its own. This crate uses `block` alone.
//!
//! What an image says is never believed: every number is compared with the real size of the file before it is
//! used, and every name goes through the gate.

mod bytes;
mod cache;
mod chain;
mod check;
pub mod copy;
mod create;
pub mod deflate;
mod error;
mod format;
mod gate;
pub mod gzip;
mod layer;
mod mapping;
mod occupancy;
mod open;
pub mod parallels;
pub mod qcow;
pub mod qcow2;
pub mod qed;
mod raw;
mod resize;
mod source;
mod storage;
mod table;
pub mod vdi;
pub mod vhd;
pub mod vhdx;
mod virtualbox;
pub mod vmdk;

pub use chain::{ConvertedImage, convert_chain};
pub use check::{Check, Finding, Severity, check};
pub use copy::{
    CopyOptions, CopyReport, NoProgress, Progress, compare, copy, copy_layer, digest, digest_sha256,
};
pub use create::{Compression, NewImage, NewParent, create};
pub use error::{Error, ErrorKind, Reason, Result};
pub use format::{FORMATS, Format, Probe, by_name, probe};
pub use gate::{DirectoryGate, Gate, GateError, GateReason};
pub use gzip::GzipDisk;
pub use layer::{LayerInfo, SnapshotInfo};
pub use open::{Image, ImageInfo, ImageLayer, MAX_CHAIN, OpenOptions, Passphrase, open, open_with};
pub use resize::{repair, repair_in, resize, resize_in};
pub use storage::Storage;

/// The largest disk that is believed, in bytes: 64 PiB, beyond what any hypervisor offers.
pub const MAX_VIRTUAL_SIZE: u64 = 1 << 56;
