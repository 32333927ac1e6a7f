//! What turns a name inside an image or description into something that can be read: [`Gate`].
//!
//! Backing files, extents and parents are named by strings that whoever made the image chose. Nothing else in
//! this crate opens a file by such a name.

mod directory;
mod name;

pub use directory::DirectoryGate;
pub(crate) use name::{foreign_base_name, normalised, sibling};

use crate::error::ErrorKind;
use block::BlockRead;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Opens what names inside images lead to, and refuses what must not be reached.
///
/// Names are relative to one root and use `/`. Implementations promise that nothing outside that root is ever
/// opened, whatever the name, and that the same name leads to the same bytes for the life of the gate.
pub trait Gate: Send + Sync {
    /// Opens what `name` leads to.
    ///
    /// # Errors
    /// [`GateError`] with the reason for a refusal.
    fn open(&self, name: &str) -> Result<Arc<dyn BlockRead>, GateError>;

    /// How `name` is called in messages to a person. Need not exist.
    fn describe(&self, name: &str) -> PathBuf;

    /// The names of files in `directory`, itself a name or empty for the root: what stands in it and not deeper, not
    /// necessarily all of it. Formats that record a parent by its identity alone look for it so.
    fn names(&self, _directory: &str) -> Vec<String> {
        Vec::new()
    }
}

/// Why a gate did not open a name.
#[derive(Debug, thiserror::Error)]
#[error("cannot open {name:?}")]
pub struct GateError {
    /// The name as it was asked for.
    pub name: String,
    /// Why.
    #[source]
    pub reason: GateReason,
}

/// The reason for a [`GateError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateReason {
    /// The name is empty, or holds a NUL byte or is longer than any file name.
    #[error("it is not a file name")]
    NotAName,
    /// A URL, or one of the pseudo-protocols of image tools.
    #[error("it names a protocol ({protocol}), and only files are read")]
    Protocol {
        /// What stands before the colon.
        protocol: String,
    },
    /// An absolute name that does not lie below the root.
    #[error("it is an absolute name outside of {}", root.display())]
    Absolute {
        /// The gate's root.
        root: PathBuf,
    },
    /// `..` or a symbolic link leads out of the root.
    #[error("it leads out of {}", root.display())]
    Outside {
        /// The gate's root.
        root: PathBuf,
    },
    /// A directory, a device, a socket or a pipe.
    #[error("it is {kind} and not a regular file")]
    NotAFile {
        /// What it is, with its article.
        kind: &'static str,
    },
    /// A block device that the user did not allow.
    #[error("it is the name of a block device, and none is read that was not allowed")]
    Device,
    /// Nothing has that name.
    #[error("there is no such file in {}", root.display())]
    Missing {
        /// The gate's root.
        root: PathBuf,
    },
    /// The host's operating system refused.
    #[error("the operating system refused")]
    Host(#[source] io::Error),
    /// What lies behind the name could not be made readable.
    #[error("it cannot be read")]
    Unreadable(#[source] block::Error),
}

impl GateError {
    /// An error about `name`.
    pub fn new(name: &str, reason: GateReason) -> Self {
        Self { name: name.to_owned(), reason }
    }

    /// What sort of trouble it is.
    pub fn kind(&self) -> ErrorKind {
        match self.reason {
            GateReason::Missing { .. } => ErrorKind::Missing,
            GateReason::Host(_) | GateReason::Unreadable(_) => ErrorKind::Host,
            _ => ErrorKind::Refused,
        }
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> &'static str {
        match self.reason {
            GateReason::NotAName => "the image is damaged or hostile; export it again",
            GateReason::Protocol { .. } => {
                "fetch the file that it names, put it beside the image, and correct the name"
            }
            GateReason::Absolute { .. } | GateReason::Outside { .. } => {
                "put the file that it names into the directory of the image, and correct the name"
            }
            GateReason::NotAFile { .. } => "copy its contents into a regular file beside the image",
            GateReason::Device => {
                "allow it by its path, or all devices of its directory: --allow-device /dev/VG; or copy it into a file beside the \
                 description"
            }
            GateReason::Missing { .. } => {
                "copy every file of the disk into one directory, under its original name"
            }
            GateReason::Host(_) | GateReason::Unreadable(_) => "check that the file can be read by this user",
        }
    }
}
