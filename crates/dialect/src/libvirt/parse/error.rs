//! Why a domain could not be read.

use crate::dialects::ParseError;

/// Why a domain could not be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is larger than any description.
    #[error("{size} bytes are too many for a domain: at most {limit} are read")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The bytes are not UTF-8, which is all that libvirt writes.
    #[error("the byte at {offset} is not of UTF-8")]
    NotText {
        /// Where, in bytes.
        offset: usize,
    },
    /// The XML is not well-formed, or declares a document type.
    #[error("the XML cannot be read: {0}")]
    Xml(roxmltree::Error),
    /// The root is another element.
    #[error("the document is a <{name}>, not a <domain>")]
    NotADomain {
        /// The root's name.
        name: String,
    },
    /// The domain is a container.
    #[error("the domain is a container (os type {kind:?}), not a virtual machine")]
    Container {
        /// The type of its operating system: `exe`.
        kind: String,
    },
    /// Something that every machine has is missing.
    #[error("the domain has no <{element}>")]
    Missing {
        /// The element.
        element: &'static str,
    },
    /// A value that the machine depends on is wrong.
    #[error("line {line}: <{element}> says {value:?}, not {expected}")]
    Value {
        /// The line, from 1.
        line: u32,
        /// The element.
        element: String,
        /// The value's beginning.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// There are more devices of a kind than any machine has.
    #[error("there are more than {limit} elements <{element}>")]
    TooMany {
        /// The element.
        element: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl Error {
    /// What the administrator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Container { .. } => "only virtual machines are moved: a container has no disks of its own",
            Self::Value { .. } | Self::Missing { .. } | Self::TooMany { .. } => {
                "correct the domain (virsh edit)"
            }
            _ => "check that this is what `virsh dumpxml --inactive` printed, whole and as it is",
        }
    }
}

impl From<Error> for ParseError {
    fn from(error: Error) -> Self {
        let remedy = error.remedy();
        Self::new(error, remedy)
    }
}
