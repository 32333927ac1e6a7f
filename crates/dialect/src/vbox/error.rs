//! Why a `.vbox` file could not be read.

/// The result of reading a `.vbox` file.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a `.vbox` file could not be read.
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
    /// Some bytes are not UTF-8.
    #[error("the byte at {offset} is not UTF-8")]
    Encoding {
        /// Where, in bytes.
        offset: usize,
    },
    /// It is no well-formed XML, or declares a document type.
    #[error("the file is no well-formed XML without a document type")]
    Xml(#[source] roxmltree::Error),
    /// The root element is another.
    #[error("the root element is {name:?} of namespace {namespace:?}, not VirtualBox's")]
    NotSettings {
        /// The element's name.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// The settings of a VirtualBox that is older than what is read.
    #[error("settings of version {version:?} are not known (1.9 and later are)")]
    Version {
        /// What the file says.
        version: String,
    },
    /// The settings of VirtualBox itself.
    #[error("these are the settings of VirtualBox itself, not of a machine")]
    Global,
    /// The machine's settings are encrypted.
    #[error("the virtual machine is encrypted (MachineEncrypted): its settings and disks cannot be read")]
    Encrypted,
    /// A disk is encrypted.
    #[error("the disk {location:?} is encrypted by VirtualBox")]
    EncryptedDisk {
        /// Its file.
        location: String,
    },
    /// An element that must be there is missing.
    #[error("line {line}: {parent} has no {element}")]
    Missing {
        /// The element that has none.
        parent: String,
        /// What it does not have.
        element: &'static str,
        /// The line, from 1.
        line: u32,
    },
    /// A value that the machine depends on is wrong.
    #[error("line {line}: {what} is {value:?}, not {expected}")]
    Value {
        /// The element and attribute.
        what: String,
        /// Its value's beginning.
        value: String,
        /// What it should be.
        expected: &'static str,
        /// The line, from 1.
        line: u32,
    },
    /// Two media have the same identifier.
    #[error("line {line}: a second medium has the identifier {uuid}")]
    Duplicate {
        /// The identifier.
        uuid: uuid::Uuid,
        /// The line of the second, from 1.
        line: u32,
    },
}

impl Error {
    /// What the administrator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Encrypted | Self::EncryptedDisk { .. } => {
                "remove the encryption in VirtualBox first: Machine > Set Encryption for the machine, Settings > Disk \
                 Encryption for its disks (VBoxManage encryptvm, VBoxManage encryptmedium)"
            }
            Self::Version { .. } => "open the machine in VirtualBox 5 or later, change a setting and save it",
            Self::Global => "name the .vbox file in the machine's own directory instead",
            Self::Value { .. } | Self::Duplicate { .. } => {
                "correct the value in VirtualBox, or in a copy of the .vbox file"
            }
            _ => "check that this is the .vbox file, and that it was copied whole and as it is",
        }
    }
}
