//! What can be wrong with a VHD: [`Reason`].

use crate::error::ErrorKind;

/// Why a VHD could not be opened or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The file ends inside a structure.
    #[error("the file ends inside the {what}")]
    Truncated {
        /// The structure.
        what: &'static str,
    },
}

impl Reason {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Truncated { .. } => ErrorKind::Damaged,
        }
    }

    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Truncated { .. } => Some("copy the file again from where it came"),
        }
    }
}
