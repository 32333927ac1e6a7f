//! Why a `.vmx` file could not be read.

/// The result of reading a `.vmx` file.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a `.vmx` file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// There is a NUL byte in it.
    #[error("the byte at {offset} is NUL: this is not text")]
    NotText {
        /// Where, in bytes.
        offset: usize,
    },
    /// `.encoding` names none that is known.
    #[error("line {line}: the encoding {name:?} is not known")]
    UnknownEncoding {
        /// The line, from 1.
        line: usize,
        /// The name.
        name: String,
    },
    /// A line is neither blank, nor a comment, nor `key = value`.
    #[error("line {line}: {text:?} is not of the form key = \"value\"")]
    NotAnEntry {
        /// The line, from 1.
        line: usize,
        /// Its beginning.
        text: String,
    },
    /// A quoted value does not end, or something follows its end.
    #[error("line {line}: the quoted value of {key} does not end where the line does")]
    Quoting {
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
    },
    /// There is not a single entry.
    #[error("there is no key = \"value\" line in it")]
    Empty,
    /// The machine is encrypted.
    #[error("the virtual machine is encrypted (encryption.keySafe): its settings and disks cannot be read")]
    Encrypted,
    /// A value that the machine depends on is wrong.
    #[error("{key} is {value:?}, not {expected}")]
    Value {
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
            Self::Encrypted => {
                "remove the encryption on VMware first: power the machine off, remove its virtual TPM if it has one, \
                 choose a VM storage policy without encryption (or Settings > Options > Access Control > Remove \
                 Encryption), and export it again"
            }
            Self::Value { .. } => "correct the value in the .vmx file",
            Self::UnknownEncoding { .. } => "save the file as UTF-8 and set .encoding = \"UTF-8\"",
            _ => "check that this is the .vmx file, and that it was copied whole and as it is",
        }
    }
}
