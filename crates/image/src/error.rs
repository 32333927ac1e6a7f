//! Why an image could not be opened, read or written.

use crate::gate::GateError;
use crate::{gzip, parallels, qcow, qcow2, qed, vdi, vhd, vhdx, vmdk};
use std::io;
use std::path::{Path, PathBuf};

/// The result of an operation on an image.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an image could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is damaged, or uses something that is not supported.
    #[error("{}{}: {reason}", path.display(), at(*offset))]
    Format {
        /// The file.
        path: PathBuf,
        /// Where in the file, in bytes, where that is known.
        offset: Option<u64>,
        /// What is wrong.
        reason: Reason,
    },
    /// The parent was written since the image that stands on it was made.
    #[error(
        "{}: the parent {parent:?} changed: its content ID is {found}, and this delta was made on {expected}",
        path.display()
    )]
    ParentChanged {
        /// The image that stands on it.
        path: PathBuf,
        /// The parent's name.
        parent: String,
        /// The parent's content ID, or that it has none.
        found: String,
        /// The content ID that the image expects.
        expected: String,
    },
    /// A new image cannot be made in this way.
    #[error("{format} has no {what}")]
    Option {
        /// The format's name.
        format: &'static str,
        /// What was asked for.
        what: String,
    },
    /// An image cannot be changed in this way.
    #[error("cannot {operation} {}: {why}", path.display())]
    InPlace {
        /// What was asked for, as a verb.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The format is known, and cannot be read.
    #[error("{} is {format}; not supported", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The format, with its article: `a VHDX image`.
        format: &'static str,
    },
    /// A name inside an image was refused, or nothing stands there.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// More images stand on each other than anyone makes.
    #[error("the backing chain below {} is more than {limit} images deep", path.display())]
    ChainTooDeep {
        /// The image at which following the chain was given up.
        path: PathBuf,
        /// How many images are followed.
        limit: usize,
    },
    /// An image is, over some steps, its own parent.
    #[error("the backing chain returns to {}", path.display())]
    ChainLoop {
        /// The image that was met twice.
        path: PathBuf,
    },
    /// A file of the image could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: block::Error,
    },
    /// The disk that is being copied could not be read.
    #[error("cannot read the source disk at byte {offset}")]
    Source {
        /// Where on the disk, in bytes.
        offset: u64,
        /// What failed.
        #[source]
        source: block::Error,
    },
    /// The host's operating system refused something about the target.
    #[error("cannot {operation} {}", path.display())]
    Host {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The target's filesystem has too little room.
    #[error(
        "no space for {}: up to {needed} bytes are needed and {available} are available",
        path.display()
    )]
    NoSpace {
        /// The target.
        path: PathBuf,
        /// The most that may be needed, in bytes, from what the source says of its data.
        needed: u64,
        /// What the filesystem has, in bytes.
        available: u64,
    },
    /// Something stands at the target's name already.
    #[error("{} exists", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The disk is larger than the target format can hold.
    #[error("a disk of {size} bytes is too large for {format}")]
    TooLarge {
        /// The disk's size in bytes.
        size: u64,
        /// The format's name.
        format: &'static str,
    },
}

/// What is wrong with a file, by its format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
#[non_exhaustive]
pub enum Reason {
    /// A VMDK.
    Vmdk(#[from] vmdk::Reason),
    /// A qcow2 image.
    Qcow2(#[from] qcow2::Reason),
    /// A VHD.
    Vhd(#[from] vhd::Reason),
    /// A VHDX.
    Vhdx(#[from] vhdx::Reason),
    /// A VDI.
    Vdi(#[from] vdi::Reason),
    /// A Parallels image.
    Parallels(#[from] parallels::Reason),
    /// A QED image.
    Qed(#[from] qed::Reason),
    /// A qcow image of version 1.
    Qcow(#[from] qcow::Reason),
    /// A gzip stream.
    Gzip(#[from] gzip::Reason),
}

impl Reason {
    /// What sort of trouble it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Vmdk(reason) => reason.kind(),
            Self::Qcow2(reason) => reason.kind(),
            Self::Vhd(reason) => reason.kind(),
            Self::Vhdx(reason) => reason.kind(),
            Self::Vdi(reason) => reason.kind(),
            Self::Parallels(reason) => reason.kind(),
            Self::Qed(reason) => reason.kind(),
            Self::Qcow(reason) => reason.kind(),
            Self::Gzip(_) => ErrorKind::Damaged,
        }
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Vmdk(reason) => reason.remedy(),
            Self::Qcow2(reason) => reason.remedy(),
            Self::Vhd(reason) => reason.remedy(),
            Self::Vhdx(reason) => reason.remedy(),
            Self::Vdi(reason) => reason.remedy(),
            Self::Parallels(reason) => reason.remedy(),
            Self::Qed(reason) => reason.remedy(),
            Self::Qcow(reason) => reason.remedy(),
            Self::Gzip(_) => None,
        }
    }
}

/// What sort of trouble an [`Error`] is, for callers that act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The image is damaged or cut short.
    Damaged,
    /// The image is sound and uses something that cannot be read.
    Unsupported,
    /// A name inside the image leads where it must not.
    Refused,
    /// A file that belongs to the image is not there.
    Missing,
    /// A delta's parent is not the disk that the delta was made on.
    ParentChanged,
    /// The target's filesystem is full.
    NoSpace,
    /// The target exists.
    Exists,
    /// The host's operating system, or what lies below the disk, failed.
    Host,
}

impl Error {
    /// What sort of trouble it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Format { reason, .. } => reason.kind(),
            Self::ParentChanged { .. } => ErrorKind::ParentChanged,
            Self::ChainTooDeep { .. } | Self::ChainLoop { .. } => ErrorKind::Damaged,
            Self::Unsupported { .. } | Self::TooLarge { .. } | Self::Option { .. } | Self::InPlace { .. } => {
                ErrorKind::Unsupported
            }
            Self::Gate(error) => error.kind(),
            Self::NoSpace { .. } => ErrorKind::NoSpace,
            Self::Exists { .. } => ErrorKind::Exists,
            Self::Read { .. } | Self::Source { .. } | Self::Host { .. } => ErrorKind::Host,
        }
    }

    /// The file that it is about, where it is about one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Format { path, .. }
            | Self::ParentChanged { path, .. }
            | Self::InPlace { path, .. }
            | Self::Unsupported { path, .. }
            | Self::ChainTooDeep { path, .. }
            | Self::ChainLoop { path }
            | Self::Read { path, .. }
            | Self::Host { path, .. }
            | Self::NoSpace { path, .. }
            | Self::Exists { path } => Some(path),
            Self::Gate(_) | Self::Source { .. } | Self::TooLarge { .. } | Self::Option { .. } => None,
        }
    }

    /// What the user can do about it, as a sentence for a line of its own.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Gate(error) => Some(error.remedy()),
            Self::Format { reason, .. } => reason.remedy(),
            Self::ParentChanged { .. } => Some(
                "take the parent from the same backup as the delta, or consolidate the snapshots at the source",
            ),
            Self::NoSpace { .. } => Some("free some space, or choose a target on another filesystem"),
            Self::Exists { .. } => Some("remove it, choose another name, or allow it to be overwritten"),
            Self::Unsupported { .. } => Some("convert it to qcow2 or raw with the product that wrote it"),
            _ => None,
        }
    }
}

impl From<Error> for block::Error {
    fn from(error: Error) -> Self {
        Self::backend(error)
    }
}

fn at(offset: Option<u64>) -> String {
    offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default()
}
