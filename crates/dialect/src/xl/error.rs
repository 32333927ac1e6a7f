//! Why a configuration could not be read.

use crate::dialects::ParseError;

/// Why a configuration of Xen's could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is larger than any description.
    #[error("{size} bytes are too many for a configuration: at most {limit} are read")]
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
    /// Something else than `key = value` stands there.
    #[error("line {line}: {found:?} stands where {expected} should")]
    Unexpected {
        /// The line, from 1.
        line: usize,
        /// What stands there.
        found: String,
        /// What should.
        expected: &'static str,
    },
    /// A string does not end on its line, or escapes what cannot be.
    #[error("line {line}: the string is not whole, or has an escape that xl does not know")]
    Text {
        /// The line, from 1.
        line: usize,
    },
    /// Lists in lists, more than any key has.
    #[error("line {line}: lists are nested deeper than {limit}")]
    Nesting {
        /// The line, from 1.
        line: usize,
        /// The limit.
        limit: usize,
    },
    /// Nothing is set.
    #[error("there is no key = value in it")]
    Empty,
    /// A value that the machine depends on is wrong.
    #[error("{key} is {value}, not {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value, as it would be written.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// There are more devices of a kind than any machine has.
    #[error("{key} has more than {limit} entries")]
    TooMany {
        /// The key.
        key: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl Error {
    /// What the administrator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unexpected { .. } => {
                "write numbers, strings and lists out: a configuration that computes them in Python is run by xm alone"
            }
            Self::Value { .. } | Self::TooMany { .. } => "correct the value in the configuration",
            _ => "check that this is the configuration, and that it was copied whole and as it is",
        }
    }
}

impl From<Error> for ParseError {
    fn from(error: Error) -> Self {
        let remedy = error.remedy();
        Self::new(error, remedy)
    }
}
