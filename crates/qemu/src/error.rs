//! Why QEMU could not be started or spoken to.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// The result of an operation on QEMU.
pub type Result<T> = std::result::Result<T, Error>;

/// Why QEMU could not be started or spoken to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no QEMU for x86-64.
    #[error(
        "qemu-system-x86_64 is not in PATH; install it with `apt install qemu-system-x86`, or run `./dev build`"
    )]
    Missing,
    /// `ANYVISOR_ACCEL` holds something else than an accelerator.
    #[error("ANYVISOR_ACCEL is {value:?}; it can be kvm or tcg")]
    Override {
        /// Its value.
        value: String,
    },
    /// There are no UEFI firmware images.
    #[error("no UEFI firmware{} was found; install it with `apt install ovmf`", secure(*secure_boot))]
    NoFirmware {
        /// Whether one that enforces secure boot was asked for.
        secure_boot: bool,
    },
    /// The machine asks for something that it cannot have.
    #[error("cannot describe the machine to QEMU: {reason}")]
    Unsupported {
        /// What, and why not.
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
    /// QEMU ended before it was asked to.
    #[error("QEMU ended ({status}){}", said(stderr))]
    Exited {
        /// How.
        status: ExitStatus,
        /// The last that it wrote on its standard error.
        stderr: String,
    },
    /// QEMU did not answer in time.
    #[error("QEMU did not {operation} within {} s", limit.as_secs())]
    Timeout {
        /// What was waited for.
        operation: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// The connection to QEMU's monitor is gone.
    #[error("QEMU's monitor hung up")]
    Disconnected,
    /// QEMU's monitor said something that is not QMP.
    #[error("QEMU's monitor answered {line:?}, which is not QMP")]
    Protocol {
        /// The beginning of what it said.
        line: String,
    },
    /// QEMU refused a command.
    #[error("QEMU refused {command}: {description}")]
    Refused {
        /// The QMP command.
        command: String,
        /// QMP's error class.
        class: String,
        /// QMP's description.
        description: String,
    },
}

impl Error {
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }
}

fn secure(secure_boot: bool) -> &'static str {
    if secure_boot { " with secure boot" } else { "" }
}

fn said(stderr: &str) -> String {
    let text = stderr.trim();
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
