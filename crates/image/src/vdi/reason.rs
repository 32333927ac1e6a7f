//! What can be wrong with a VDI: [`Reason`].

use crate::error::ErrorKind;

/// Why a VDI could not be opened or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The file ends inside a structure.
    #[error("the file ends inside the {what}")]
    Truncated {
        /// The structure.
        what: &'static str,
    },
    /// A version of which the layout is not known.
    #[error("version {major}.{minor} is unknown")]
    Version {
        /// The major version.
        major: u16,
        /// The minor version.
        minor: u16,
    },
    /// An image type that nobody has defined.
    #[error("image type {kind} is unknown")]
    Kind {
        /// The type.
        kind: u32,
    },
    /// A block size that is no power of two, or beyond every image.
    #[error("a block of {bytes} bytes, with {extra} bytes before it, makes no sense")]
    BlockSize {
        /// The block size in bytes.
        bytes: u32,
        /// The size of what stands before each block, in bytes.
        extra: u32,
    },
    /// A size beyond every disk.
    #[error("a size of {bytes} bytes is absurd")]
    Size {
        /// The declared size in bytes.
        bytes: u64,
    },
    /// The block map has fewer entries than the disk has blocks.
    #[error("a block map of {entries} entries is too small for the disk's {blocks} blocks")]
    MapTooSmall {
        /// How many entries it has.
        entries: u32,
        /// How many it needs.
        blocks: u64,
    },
    /// The block map does not lie within the file.
    #[error("the block map of {entries} entries lies outside the file")]
    MapOutside {
        /// How many entries.
        entries: u64,
    },
    /// A block does not lie within the file.
    #[error("block {block} is said to be in place {place}, which lies outside the file")]
    BlockOutside {
        /// Which block of the disk.
        block: u64,
        /// What the map says.
        place: u32,
    },
    /// A differencing image names its parent by an identifier alone, and no file here has it.
    #[error("its parent, the VDI with the identifier {uuid}, is not in the same directory")]
    ParentMissing {
        /// The parent's creation identifier.
        uuid: uuid::Uuid,
    },
    /// A differencing image without a parent's identifier.
    #[error("a differencing image that names no parent")]
    ParentUnnamed,
}

impl Reason {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. } | Self::Kind { .. } => ErrorKind::Unsupported,
            Self::ParentMissing { .. } => ErrorKind::Missing,
            _ => ErrorKind::Damaged,
        }
    }

    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Truncated { .. } | Self::MapOutside { .. } | Self::BlockOutside { .. } => {
                Some("copy the file again from where it came")
            }
            Self::ParentMissing { .. } => Some(
                "put every VDI that the machine's snapshots are made of into one directory, or merge them with \
                 `VBoxManage clonemedium`",
            ),
            _ => None,
        }
    }
}
