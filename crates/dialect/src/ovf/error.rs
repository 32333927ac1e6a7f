//! Why an OVF descriptor could not be read.

/// The result of reading an OVF descriptor.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an OVF descriptor could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The descriptor is larger than any description.
    #[error("{size} bytes are too many for an OVF descriptor: at most {limit} are read")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Some bytes are not of the encoding that the document declares.
    #[error("some bytes are not of the document's encoding {encoding}")]
    Encoding {
        /// The encoding.
        encoding: String,
    },
    /// It is no well-formed XML, or declares a document type.
    #[error("the descriptor is no well-formed XML without a document type")]
    Xml(#[source] roxmltree::Error),
    /// The root element is not OVF's envelope.
    #[error("the root element is {name:?} of namespace {namespace:?}, not an OVF envelope")]
    NotAnEnvelope {
        /// The element's name.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// An OVF version that is not known.
    #[error("OVF version {version:?} is not known (0.9, 1.x and 2.x are)")]
    Version {
        /// What the envelope says.
        version: String,
    },
    /// It lists more of something than any package has.
    #[error("line {line}: more than {limit} {what} are too many for a package")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// The line of the first one too many, from 1.
        line: u32,
    },
    /// No virtual system.
    #[error("there is no VirtualSystem in it")]
    NoSystem,
    /// More than one virtual system, and none was chosen.
    #[error("{} virtual machines are in it: {}", names.len(), names.join(", "))]
    SeveralSystems {
        /// What each is chosen by: its name, or its identifier where others have that name. At most 256.
        names: Vec<String>,
    },
    /// The one that was chosen is not among them, or several have that name.
    #[error("{wanted:?} is none, or not only one, of the {} virtual machines in it: {}", names.len(), names.join(", "))]
    NoSuchSystem {
        /// What was asked for.
        wanted: String,
        /// What each is chosen by, as above.
        names: Vec<String>,
    },
    /// The virtual system has no hardware.
    #[error("the virtual system {system:?} has no VirtualHardwareSection")]
    NoHardware {
        /// Its name.
        system: String,
    },
    /// An attribute that must be there is missing.
    #[error("line {line}: {element} has no {attribute}")]
    MissingAttribute {
        /// The element.
        element: String,
        /// The attribute or child.
        attribute: &'static str,
        /// The line, from 1.
        line: u32,
    },
    /// A value is not what it should be.
    #[error("line {line}: {what} is {value:?}, not {expected}")]
    Value {
        /// The element or attribute.
        what: String,
        /// Its value's beginning.
        value: String,
        /// What it should be.
        expected: &'static str,
        /// The line, from 1.
        line: u32,
    },
    /// Two things have the same identifier.
    #[error("line {line}: a second {what} is called {id:?}")]
    Duplicate {
        /// What they are.
        what: &'static str,
        /// The identifier.
        id: String,
        /// The line of the second, from 1.
        line: u32,
    },
    /// Something refers to what is not there.
    #[error("line {line}: {from} refers to {what} {id:?}, which is not there")]
    Dangling {
        /// What refers.
        from: String,
        /// What kind of thing it refers to.
        what: &'static str,
        /// The identifier.
        id: String,
        /// The line, from 1.
        line: u32,
    },
    /// A disk larger than any.
    #[error("line {line}: disk {disk:?} is declared to be {capacity} bytes, more than any disk ({limit})")]
    AbsurdCapacity {
        /// The disk's identifier.
        disk: String,
        /// What is declared, in bytes.
        capacity: u128,
        /// The limit in bytes.
        limit: u64,
        /// The line, from 1.
        line: u32,
    },
    /// Something that the descriptor calls required and that is not known here.
    #[error("line {line}: the descriptor requires {what}, which is not supported")]
    Required {
        /// The section, item or element.
        what: String,
        /// The line, from 1.
        line: u32,
    },
}

impl Error {
    /// What the administrator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::SeveralSystems { .. } | Self::NoSuchSystem { .. } => "choose one of them: --machine NAME",
            Self::Required { .. } => {
                "remove the feature on the source and export again, or set ovf:required=\"false\" on it if the guest \
                 runs without it"
            }
            Self::NotAnEnvelope { .. } | Self::Xml(_) | Self::TooLarge { .. } | Self::Encoding { .. } => {
                "check that this is the .ovf file, and that it was copied whole and as it is"
            }
            _ => "correct the descriptor, or export the machine again",
        }
    }
}
