//! What can be wrong with a VHD: [`Reason`].

use crate::error::ErrorKind;

/// Why a VHD could not be opened or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The file ends inside a structure.
    #[error("the file ends inside the {what}")]
    Truncated {
        /// The structure.
        what: &'static str,
    },
    /// Neither end of the file has a footer.
    #[error("the file has no footer")]
    NoFooter,
    /// A structure's checksum is not that of its bytes, and there is no sound copy.
    #[error("the checksum of the {what} is wrong")]
    Checksum {
        /// The structure.
        what: &'static str,
    },
    /// No dynamic disk header stands where the footer says.
    #[error("there is no dynamic disk header where the footer says")]
    NoHeader,
    /// A version that is not 1.
    #[error("version {major}.{minor} of the {what} is unknown")]
    Version {
        /// The structure.
        what: &'static str,
        /// The upper half.
        major: u32,
        /// The lower half.
        minor: u32,
    },
    /// A type of disk that is reserved or deprecated.
    #[error("disk type {kind} is unknown")]
    DiskType {
        /// The footer's disk type.
        kind: u32,
    },
    /// A size beyond every disk.
    #[error("a size of {bytes} bytes is absurd")]
    Size {
        /// The declared size in bytes.
        bytes: u64,
    },
    /// A fixed disk that is larger than its file.
    #[error("the disk of {size} bytes is cut off at byte {available}")]
    DataShort {
        /// The declared size in bytes.
        size: u64,
        /// How many bytes stand before the footer.
        available: u64,
    },
    /// A block that is no power of two, less than a sector, or larger than anyone makes.
    #[error("a block of {bytes} bytes is no power of two of 512 to 268435456")]
    BlockSize {
        /// The block's size in bytes.
        bytes: u32,
    },
    /// More blocks than the largest disk has.
    #[error("{blocks} blocks are absurd")]
    TooManyBlocks {
        /// How many.
        blocks: u64,
    },
    /// The block allocation table has fewer entries than the disk has blocks.
    #[error("a block allocation table of {entries} entries is too small for {blocks} blocks")]
    TableTooSmall {
        /// How many it has.
        entries: u32,
        /// How many are needed.
        blocks: u64,
    },
    /// The block allocation table is not in the file.
    #[error("the block allocation table of {blocks} blocks lies outside the file")]
    TableOutside {
        /// How many entries are needed.
        blocks: u64,
    },
    /// A block is not in the file.
    #[error("block {block} at sector {sector} lies outside the file")]
    BlockOutside {
        /// Which block of the disk.
        block: u64,
        /// The entry of the block allocation table.
        sector: u32,
    },
    /// A differencing disk without any name of its parent.
    #[error("the differencing disk does not name its parent")]
    ParentUnnamed,
}

impl Reason {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. } | Self::DiskType { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Damaged,
        }
    }

    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Truncated { .. } | Self::DataShort { .. } | Self::BlockOutside { .. } => {
                Some("copy the file again from where it came")
            }
            _ => None,
        }
    }
}
