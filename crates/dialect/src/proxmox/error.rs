//! Why a configuration of Proxmox' could not be read.

use crate::ParseError;

/// Why a configuration of Proxmox' could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is larger than any configuration.
    #[error("{size} bytes are too many for a virtual machine's configuration: at most {limit} are read")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// There is a NUL byte in it.
    #[error("the byte at {offset} is NUL: this is not text")]
    NotText {
        /// Where, in bytes.
        offset: usize,
    },
    /// There is not a single setting.
    #[error("there is no \"key: value\" line in it")]
    Empty,
    /// A value that the machine depends on is wrong.
    #[error("line {line}: {key} is {value:?}, not {expected}")]
    Value {
        /// The line, from 1; 0 when the file does not say.
        line: usize,
        /// The key.
        key: &'static str,
        /// The value's beginning.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl Error {
    /// What the administrator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Value { .. } => "correct the value in the .conf file",
            _ => {
                "check that this is the machine's file from /etc/pve/qemu-server, and that it was copied whole"
            }
        }
    }
}

impl From<Error> for ParseError {
    fn from(error: Error) -> Self {
        let remedy = error.remedy();
        Self::new(error, remedy)
    }
}
