//! Why a disk could not be read or written.

use std::io;
use std::path::{Path, PathBuf};

/// The result of an operation on a disk.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a disk could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The range does not lie within the disk.
    #[error("{length} bytes at byte {offset} lie outside the disk of {size} bytes")]
    OutOfRange {
        /// Where the range starts, in bytes.
        offset: u64,
        /// How long the range is, in bytes.
        length: u64,
        /// The size of the disk, in bytes.
        size: u64,
    },
    /// The path names something that is neither a regular file nor a block device.
    #[error("{} is a {kind}, and a disk is a regular file or a block device", path.display())]
    NotADisk {
        /// What was opened.
        path: PathBuf,
        /// What it is: `directory`, `named pipe`, `socket`, `character device`.
        kind: &'static str,
    },
    /// The host's operating system refused.
    #[error("cannot {operation} {}{}", path.display(), at(*offset))]
    Io {
        /// What was tried, as a verb: `open`, `read`, `write`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Where in the file, in bytes, where that is known.
        offset: Option<u64>,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// What lies below (an image format, a network peer) failed for a reason of its own.
    #[error(transparent)]
    Backend(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Wraps an operating-system error with what was tried, on which file, and where in it.
    pub fn io(
        operation: &'static str,
        path: impl AsRef<Path>,
        offset: Option<u64>,
        source: io::Error,
    ) -> Self {
        Self::Io { operation, path: path.as_ref().to_path_buf(), offset, source }
    }

    /// Wraps the error of an implementation that has reasons of its own.
    pub fn backend(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Backend(Box::new(error))
    }
}

fn at(offset: Option<u64>) -> String {
    offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default()
}
