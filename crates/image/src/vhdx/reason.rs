//! What can be wrong with a VHDX: [`Reason`].

use crate::error::ErrorKind;
use uuid::Uuid;

/// Why a VHDX could not be opened or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The file ends inside a structure.
    #[error("the file ends inside the {what}")]
    Truncated {
        /// The structure.
        what: &'static str,
    },
    /// The file does not begin as a VHDX does.
    #[error("the file type identifier is missing")]
    NotVhdx,
    /// No copy of the header can be told to be the current one.
    #[error("neither copy of the header is valid, or none is newer than the other")]
    NoHeader,
    /// The header is of another version than 1.
    #[error("version {version} is unknown")]
    Version {
        /// What the header says.
        version: u16,
    },
    /// The log, which has to be replayed, is of another version than 0.
    #[error("version {version} of the log is unknown")]
    LogVersion {
        /// What the header says.
        version: u16,
    },
    /// The log is not where one can be.
    #[error("a log of {length} bytes at byte {offset} makes no sense or lies outside the file")]
    LogPlace {
        /// Where it should be, in bytes.
        offset: u64,
        /// How long it should be, in bytes.
        length: u64,
    },
    /// The log has to be replayed and cannot be.
    #[error("the log holds no complete sequence of entries")]
    LogEmpty,
    /// The log was written when the file was longer.
    #[error("the file was at least {flushed} bytes long when the log was written")]
    LogFile {
        /// How long the file was, in bytes.
        flushed: u64,
    },
    /// The log changes what it must not.
    #[error("the log changes {length} bytes at byte {offset}, where no metadata can be")]
    LogTarget {
        /// Where the change begins, in bytes.
        offset: u64,
        /// How much is changed, in bytes.
        length: u64,
    },
    /// Both copies of the region table are damaged.
    #[error("neither copy of the region table is valid")]
    NoRegionTable,
    /// The image cannot be read without a region that is unknown.
    #[error("the required region {id} is unknown")]
    RegionUnknown {
        /// The region's identifier.
        id: Uuid,
    },
    /// A region that every VHDX has is missing, or is there twice.
    #[error("there is not exactly one {what}")]
    RegionCount {
        /// The region.
        what: &'static str,
    },
    /// A region is not where one can be.
    #[error("the {what} of {length} bytes at byte {offset} makes no sense or lies outside the file")]
    RegionPlace {
        /// The region.
        what: &'static str,
        /// Where it should be, in bytes.
        offset: u64,
        /// How long it should be, in bytes.
        length: u64,
    },
    /// The metadata table cannot be one.
    #[error("the metadata table makes no sense")]
    MetadataTable,
    /// The image cannot be read without a metadata item that is unknown.
    #[error("the required metadata item {id} is unknown")]
    ItemUnknown {
        /// The item's identifier.
        id: Uuid,
    },
    /// A metadata item that is needed is missing.
    #[error("the {what} is missing")]
    ItemMissing {
        /// The item.
        what: &'static str,
    },
    /// A metadata item has a length that it cannot have, or lies outside its region.
    #[error("the {what} makes no sense")]
    Item {
        /// The item.
        what: &'static str,
    },
    /// The block size is none that the format allows.
    #[error("a block size of {bytes} bytes makes no sense")]
    BlockSize {
        /// What the file parameters say.
        bytes: u32,
    },
    /// The logical sector size is none that the format allows.
    #[error("a logical sector size of {bytes} bytes makes no sense")]
    SectorSize {
        /// What the image says.
        bytes: u32,
    },
    /// The disk's size is none that the format allows.
    #[error("a disk of {bytes} bytes makes no sense")]
    DiskSize {
        /// What the image says.
        bytes: u64,
    },
    /// The parent is something that is not a VHDX.
    #[error("a parent locator of type {id} is unknown")]
    LocatorType {
        /// The type's identifier.
        id: Uuid,
    },
    /// The parent locator does not say what it must.
    #[error("the parent locator has no {key}")]
    LocatorKey {
        /// What is missing.
        key: &'static str,
    },
    /// The block allocation table has too few entries for the disk.
    #[error("the block allocation table holds {entries} entries, and {needed} are needed")]
    TableLength {
        /// How many fit into its region.
        entries: u64,
        /// How many the disk has.
        needed: u64,
    },
    /// An entry of the block allocation table has a state that it cannot have.
    #[error("block {block} has state {state}, which this kind of image cannot have")]
    BlockState {
        /// The block's number.
        block: u64,
        /// The state.
        state: u8,
    },
    /// A block lies where none can be.
    #[error("block {block} lies outside the file or inside its headers")]
    Block {
        /// The block's number.
        block: u64,
    },
    /// A block is partially present, and nothing says which parts.
    #[error("the sector bitmap of block {block} is missing or lies outside the file")]
    Bitmap {
        /// The block's number.
        block: u64,
    },
}

impl Reason {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. }
            | Self::LogVersion { .. }
            | Self::RegionUnknown { .. }
            | Self::ItemUnknown { .. }
            | Self::LocatorType { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Damaged,
        }
    }

    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Truncated { .. } | Self::LogFile { .. } | Self::Block { .. } | Self::LogPlace { .. } => {
                Some("copy the file again from where it came")
            }
            Self::RegionUnknown { .. } | Self::ItemUnknown { .. } | Self::Version { .. } => {
                Some("export the disk again with the product that wrote it, as a plain VHDX")
            }
            Self::LogEmpty => Some("mount the disk once where it was last used, or take it from a backup"),
            _ => None,
        }
    }
}
