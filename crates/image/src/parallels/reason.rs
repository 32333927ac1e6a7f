//! What can be wrong with a Parallels image: [`Reason`].

use crate::error::ErrorKind;

/// Why a Parallels image could not be opened or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The file ends inside a structure.
    #[error("the file ends inside the {what}")]
    Truncated {
        /// The structure.
        what: &'static str,
    },
    /// An image of a disk's directory does not begin as one.
    #[error("it is no expanding image")]
    Magic,
    /// A version that nobody has defined.
    #[error("version {version} is unknown")]
    Version {
        /// The version.
        version: u32,
    },
    /// A cluster size that no product writes.
    #[error("a cluster of {sectors} sectors makes no sense")]
    ClusterSize {
        /// The cluster's size in sectors.
        sectors: u32,
    },
    /// A size beyond every disk.
    #[error("a size of {sectors} sectors is absurd")]
    Size {
        /// The declared size in sectors.
        sectors: u64,
    },
    /// The allocation table does not lie within the file.
    #[error("the allocation table of {entries} entries lies outside the file")]
    TableOutside {
        /// How many entries.
        entries: u64,
    },
    /// A cluster does not lie within the file.
    #[error("cluster {cluster} lies outside the file")]
    ClusterOutside {
        /// Which cluster of the disk.
        cluster: u64,
    },
    /// The descriptor is longer than any real one.
    #[error("a descriptor of {bytes} bytes is absurd")]
    DescriptorSize {
        /// Its length in bytes.
        bytes: u64,
    },
    /// The descriptor is not UTF-8.
    #[error("the descriptor is no text")]
    DescriptorText,
    /// The descriptor is no XML.
    #[error("the descriptor is no XML: {what}")]
    DescriptorXml {
        /// What the parser says.
        what: String,
    },
    /// The descriptor lacks an element, or the element makes no sense.
    #[error("the descriptor has no {what} that makes sense")]
    DescriptorLacks {
        /// The element.
        what: &'static str,
    },
    /// The disk is encrypted.
    #[error("the disk is encrypted")]
    Encrypted,
    /// The storages of the descriptor leave a part of the disk out, or overlap.
    #[error("the storages do not follow each other at byte {at} of the disk")]
    StorageGap {
        /// Where on the disk, in bytes.
        at: u64,
    },
    /// An image is smaller than the part of the disk that it is to hold.
    #[error("a storage needs an image of {needed} bytes, and it has {size}")]
    StorageTooShort {
        /// What the descriptor says, in bytes.
        needed: u64,
        /// How long the image's disk is, in bytes.
        size: u64,
    },
    /// An image of a kind that nobody has defined.
    #[error("an image of the type {kind:?} is not supported")]
    ImageType {
        /// As the descriptor names it.
        kind: String,
    },
    /// A state of the disk that is not there.
    #[error("it has no snapshot or state {guid}, or not all of it")]
    State {
        /// The state's identifier.
        guid: String,
    },
    /// States stand on each other in a circle, or too many of them.
    #[error("the snapshots stand on each other in a circle, or are more than {} deep", crate::MAX_CHAIN)]
    StateLoop,
}

impl Reason {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. } | Self::Encrypted | Self::ImageType { .. } => ErrorKind::Unsupported,
            Self::State { .. } => ErrorKind::Missing,
            _ => ErrorKind::Damaged,
        }
    }

    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Truncated { .. } | Self::TableOutside { .. } | Self::ClusterOutside { .. } => {
                Some("copy the file again from where it came")
            }
            Self::Encrypted => Some("decrypt it in Parallels Desktop first"),
            _ => None,
        }
    }
}
