//! Why a description of Hyper-V's could not be read.

use crate::ParseError;

/// Why a description of Hyper-V's could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is larger than any description.
    #[error("{size} bytes are too many for a virtual machine's description: at most {limit} are read")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The JSON is not what the schema says.
    #[error("line {line}, column {column}: this is not a Hyper-V machine as JSON")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The JSON is of a version of the schema that is not known.
    #[error("the schema's version is {version}, and version {known} is read")]
    Version {
        /// Its version.
        version: u32,
        /// The version that is read.
        known: u32,
    },
    /// A value that the machine depends on is missing or wrong.
    #[error("{key} is {value}, not {expected}")]
    Value {
        /// The key.
        key: String,
        /// The value's beginning; `missing` when there is none.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl Error {
    /// What the administrator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Json { .. } | Self::Version { .. } => {
                "check that the file is as it was written, or write it again from the source"
            }
            Self::Value { .. } => "correct the value on the source, and export the machine again",
            Self::TooLarge { .. } => {
                "check that this is the machine's description, and that it was copied whole"
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
