//! Why the appliance cannot be had.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The result of an operation on the appliance.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the appliance cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no Linux kernel for it.
    #[error(
        "the appliance has no Linux kernel{}; `anyvisor appliance install` fetches one, or ANYVISOR_KERNEL names one",
        found(unusable)
    )]
    NoKernel {
        /// Kernels that were found and cannot be used, with the reason.
        unusable: Vec<String>,
    },
    /// A kernel that was named cannot be used.
    #[error("{} is not a kernel for the appliance: {reason}", path.display())]
    BadKernel {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A kernel cannot be fetched on this host.
    #[error(
        "a kernel cannot be fetched here: {reason}; set ANYVISOR_KERNEL to a kernel image beside its lib/modules"
    )]
    NotFetched {
        /// Why not.
        reason: String,
    },
    /// Xen was not fetched.
    #[error("there is no Xen for a rehearsal here; `anyvisor appliance install --xen` fetches one")]
    NoXen,
    /// Xen cannot be fetched on this host.
    #[error("Xen cannot be fetched here: {reason}")]
    XenNotFetched {
        /// Why not.
        reason: String,
    },
    /// A kernel lacks a module that the appliance cannot do without.
    #[error("Linux {version} has no module {module}")]
    NoModule {
        /// Which kernel.
        version: String,
        /// Which module.
        module: String,
    },
    /// More filesystems than a machine has places for disks.
    #[error("{count} filesystems are more than the {most} that the appliance can hold")]
    TooManyVolumes {
        /// How many.
        count: usize,
        /// How many there can be.
        most: usize,
    },
    /// A compressed file cannot be read.
    #[error("cannot decompress {}: {reason}", path.display())]
    Compressed {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The host's operating system refused.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// QEMU cannot be run.
    #[error("cannot run the appliance's machine")]
    Qemu(#[from] qemu::Error),
    /// The volumes cannot be served.
    #[error("cannot serve the volumes to the appliance")]
    Serve(#[from] nbd::Error),
    /// The appliance ended or went silent.
    #[error("the appliance {what} after {} s{}", after.as_secs(), console(tail))]
    Lost {
        /// What it did.
        what: &'static str,
        /// After how long.
        after: Duration,
        /// The end of its console.
        tail: String,
    },
    /// A volume could not be read or written while the appliance used it.
    #[error("the volume {volume} failed under the appliance")]
    Volume {
        /// Which.
        volume: String,
        /// The first of its failures.
        #[source]
        source: Arc<block::Error>,
    },
    /// The appliance could not put everything on the disks.
    #[error("the appliance could not be shut down")]
    Unmount(#[source] guest::fs::FsError),
}

impl Error {
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }
}

fn found(unusable: &[String]) -> String {
    if unusable.is_empty() { String::new() } else { format!(" (not usable: {})", unusable.join("; ")) }
}

pub(crate) fn console(tail: &str) -> String {
    let tail = tail.trim();
    if tail.is_empty() { String::new() } else { format!("; its console ends with:\n{tail}") }
}
