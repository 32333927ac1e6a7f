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
    /// There are more values or objects than a machine has.
    #[error("there are more than {limit} values in it")]
    TooMany {
        /// The most that are read.
        limit: usize,
    },
    /// Properties lie too deep in each other, or their parents lead nowhere.
    #[error("the property {path:?} lies deeper than properties of Hyper-V's do, or its parent is missing")]
    TooDeep {
        /// The property, or where it begins.
        path: String,
    },
    /// The XML is not well-formed.
    #[error("this is not well-formed XML")]
    Xml(#[source] roxmltree::Error),
    /// The XML is something else.
    #[error("the XML's root is {name:?}, not \"configuration\"")]
    Root {
        /// The root's name.
        name: String,
    },
    /// Neither of the two headers is whole.
    #[error("neither of the two headers, at 0 and 0x1000, is one of Hyper-V's with the right checksum")]
    Header,
    /// A version of the binary file that is not known.
    #[error("the file is of version {version:#x}, and version {known:#x} is read")]
    StorageVersion {
        /// Its version.
        version: u32,
        /// The version that is read.
        known: u32,
    },
    /// Changes wait in the log.
    #[error("{entries} changes wait in the file's log: Hyper-V was not done with it when it was copied")]
    Dirty {
        /// How many.
        entries: u32,
    },
    /// A structure of the binary file is wrong.
    #[error("{what} at {offset:#x} is damaged or cut off")]
    Damaged {
        /// What is.
        what: &'static str,
        /// Where, in bytes from the beginning.
        offset: u64,
    },
    /// The value of a key in the binary file is wrong.
    #[error("the value of {name:?} {what}")]
    Key {
        /// The key.
        name: String,
        /// What is wrong with it.
        what: &'static str,
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
            Self::Dirty { .. } => "shut the machine down, export it with Export-VM, and convert the export",
            Self::StorageVersion { .. } => {
                "convert a machine that Windows Server 2016 to 2025 exported, or write its .xml on an older host"
            }
            _ => "check that this is the machine's description, and that it was copied whole",
        }
    }
}

impl From<Error> for ParseError {
    fn from(error: Error) -> Self {
        let remedy = error.remedy();
        Self::new(error, remedy)
    }
}
