//! Why a guest could not be made.

use std::path::PathBuf;
use std::process::ExitStatus;

/// What the lab's functions return.
pub type Result<T, E = LabError> = std::result::Result<T, E>;

/// Why a guest could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// No recipe has this name.
    #[error("no recipe is called {name:?} (there are: {known})")]
    UnknownRecipe {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` says where the cache is.
    #[error("no cache directory: neither XDG_CACHE_HOME nor HOME is set")]
    NoCacheDirectory,
    /// A program could not be started.
    #[error("cannot start {program} (./dev test installs what the lab needs)")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A program ended badly.
    #[error("{program} ended with {status}:\n{output}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines that it wrote to its standard error.
        output: String,
    },
    /// A file could not be read, written, locked or renamed.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried: `read`, `write`, `lock`, …
        operation: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The machine that installs a guest could not be started or ended.
    #[error("cannot run the machine that installs {name}")]
    Machine {
        /// The guest.
        name: &'static str,
        /// Why.
        #[source]
        source: Box<qemu::Error>,
    },
    /// The machine that installs a guest did not come to its end.
    #[error("the machine that installs {name} did not finish; its console ends with:\n{console}")]
    Install {
        /// The guest.
        name: &'static str,
        /// The last of its console.
        console: String,
    },
    /// A file of GRUB's is not of the size that a boot track can take.
    #[error("{} has {size} bytes, which cannot be embedded before the first partition", path.display())]
    BootImage {
        /// Which file.
        path: PathBuf,
        /// Its size in bytes.
        size: usize,
    },
    /// A disk image lacks the descriptor that its format requires.
    #[error("{} has no VMDK descriptor in its first {searched} bytes", path.display())]
    NoDescriptor {
        /// The image.
        path: PathBuf,
        /// How many bytes were searched.
        searched: usize,
    },
}

/// Names the operation and the file in an error of the system's.
pub(crate) trait Context<T> {
    /// `operation` is a verb: `read`, `write`.
    fn context(self, operation: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(self, operation: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| LabError::File { operation, path: path.into(), source })
    }
}
