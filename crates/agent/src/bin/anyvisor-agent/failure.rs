//! What went wrong, as the host is told it.

use agent::{FailureKind, Reply};
use rustix::io::Errno;

/// A request that could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) detail: String,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    pub(crate) fn into_reply(self) -> Reply {
        Reply::Failed { kind: self.kind, detail: self.detail }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::from(std::io::Error::from(errno))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let kind = match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => FailureKind::NotFound,
            Some(Errno::NOTDIR | Errno::ISDIR | Errno::EXIST | Errno::LOOP | Errno::NOTEMPTY) => {
                FailureKind::WrongKind
            }
            Some(Errno::FBIG) => FailureKind::TooLarge,
            Some(Errno::NOSPC | Errno::DQUOT) => FailureKind::NoSpace,
            Some(Errno::ROFS) => FailureKind::ReadOnly,
            Some(Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS) => FailureKind::Unsupported,
            None if error.kind() == std::io::ErrorKind::FileTooLarge => FailureKind::TooLarge,
            _ => FailureKind::Other,
        };
        Self { kind, detail: error.to_string() }
    }
}
