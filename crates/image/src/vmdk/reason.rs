//! What can be wrong with a VMDK: [`Reason`].

use crate::error::ErrorKind;

/// Why a VMDK could not be opened or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The file ends inside a structure.
    #[error("the file ends inside the {what}")]
    Truncated {
        /// The structure.
        what: &'static str,
    },
    /// A version that nobody has defined.
    #[error("version {version} of the sparse header is unknown")]
    Version {
        /// The version.
        version: u32,
    },
    /// The four bytes that show whether a transfer in text mode has damaged the file.
    #[error("line ends were converted: the file was transferred as text")]
    TextMode,
    /// A grain size that no product writes.
    #[error("a grain of {sectors} sectors is not a power of two up to {}", super::header::MAX_GRAIN_SECTORS)]
    GrainSize {
        /// The grain's size in sectors.
        sectors: u64,
    },
    /// A grain table of a size that no product writes.
    #[error("grain tables of {entries} entries are not of 1 to {}", super::header::MAX_TABLE_ENTRIES)]
    TableEntries {
        /// How many entries.
        entries: u32,
    },
    /// A capacity beyond every disk.
    #[error("a capacity of {sectors} sectors is absurd")]
    Capacity {
        /// The declared capacity in sectors.
        sectors: u64,
    },
    /// The grain directory would be larger than any real one.
    #[error("a grain directory of {entries} entries is absurd")]
    DirectoryTooLarge {
        /// How many entries.
        entries: u64,
    },
    /// The grain directory does not lie within the file.
    #[error("the grain directory of {entries} entries at sector {sector} lies outside the file")]
    DirectoryOutside {
        /// How many entries.
        entries: u64,
        /// Where it is said to be, in sectors.
        sector: u64,
    },
    /// A grain table does not lie within the file.
    #[error("grain table {table} at sector {sector} lies outside the file")]
    TableOutside {
        /// Which table.
        table: u64,
        /// Where it is said to be, in sectors.
        sector: u64,
    },
    /// Two entries of the grain directory share a table: one grain would appear twice.
    #[error("two grain directory entries share the table at sector {sector}")]
    SharedTable {
        /// Where the table is, in sectors.
        sector: u64,
    },
    /// A space-efficient sparse extent that is not as any that was seen; VMware has published no specification.
    #[error("a space-efficient sparse extent with {what} {value:#x} is not known")]
    SeSparse {
        /// What is so.
        what: &'static str,
        /// What stands there.
        value: u64,
    },
    /// A space-efficient sparse extent was not closed.
    #[error("its journal has to be replayed by ESXi first")]
    Journal,
    /// A grain does not lie within the file.
    #[error("grain {grain} at sector {sector} lies outside the file")]
    GrainOutside {
        /// Which grain.
        grain: u64,
        /// Where it is said to be, in sectors.
        sector: u64,
    },
    /// What precedes a compressed grain names another one.
    #[error("the marker of grain {grain} says sector {lba}")]
    MarkerMismatch {
        /// The grain that the table leads to.
        grain: u64,
        /// The disk's sector that the marker names.
        lba: u64,
    },
    /// A compressed grain is larger than it could be.
    #[error("compressed grain {grain} of {size} bytes is absurd")]
    GrainTooLarge {
        /// Which grain.
        grain: u64,
        /// The size that its marker says, in bytes.
        size: u32,
    },
    /// A compressed grain does not decompress.
    #[error("grain {grain} cannot be decompressed")]
    Inflate {
        /// Which grain.
        grain: u64,
    },
    /// A compressed grain holds less than a grain.
    #[error("grain {grain} decompresses to {actual} bytes instead of {expected}")]
    ShortGrain {
        /// Which grain.
        grain: u64,
        /// How many bytes it gave.
        actual: usize,
        /// How many the disk needs.
        expected: usize,
    },
    /// A stream has neither a grain directory nor an end.
    #[error("the stream ends without an end-of-stream marker: the file is cut short")]
    StreamCutShort,
    /// A stream's markers name a grain twice.
    #[error("the stream holds grain {grain} twice")]
    DuplicateGrain {
        /// Which grain.
        grain: u64,
    },
    /// A stream's marker names no grain of the disk.
    #[error("the stream holds a grain for sector {lba}, which is no grain of the disk")]
    StrayGrain {
        /// The disk's sector that the marker names.
        lba: u64,
    },
    /// A compression that is not defined.
    #[error("compression {algorithm} is unknown")]
    Compression {
        /// `compressAlgorithm` of the header.
        algorithm: u16,
    },
    /// The descriptor does not lie within the file, or is larger than any real one.
    #[error("a descriptor of {bytes} bytes is absurd or lies outside the file")]
    DescriptorSize {
        /// Its size in bytes.
        bytes: u64,
    },
    /// A line of the descriptor cannot be read.
    #[error("line {line} of the descriptor is no {what}: {text:?}")]
    DescriptorLine {
        /// Which line, from 1.
        line: usize,
        /// What was expected there.
        what: &'static str,
        /// The line's beginning.
        text: String,
    },
    /// The descriptor lacks something.
    #[error("the descriptor has no {what}")]
    DescriptorLacks {
        /// What it lacks.
        what: &'static str,
    },
    /// A delta of VirtualBox' names its parent by an identifier alone, and no file here has it.
    #[error("its parent, the VMDK with the identifier {uuid}, is not in the same directory")]
    ParentMissing {
        /// The parent's identifier.
        uuid: uuid::Uuid,
    },
    /// The file is one extent of a disk that a descriptor in another file puts together.
    #[error("this is one extent of a split disk and has no descriptor of its own")]
    BareExtent,
    /// The disk is encrypted.
    #[error("the disk is encrypted")]
    Encrypted,
    /// An extent of a type that cannot be read.
    #[error("an extent of type {kind} ({description}) is not supported")]
    ExtentType {
        /// The type's name in the descriptor.
        kind: String,
        /// What that is.
        description: &'static str,
    },
    /// An extent that the descriptor says must not be read.
    #[error("extent {file:?} is marked as not accessible")]
    NoAccess {
        /// The extent's file.
        file: String,
    },
    /// An extent's file is smaller than the descriptor says.
    #[error("extent {file:?} ends at byte {size}, and byte {needed} is needed: the file is cut short")]
    ExtentTooShort {
        /// The extent's file.
        file: String,
        /// Where the extent should end, in bytes of its file.
        needed: u64,
        /// The file's size in bytes.
        size: u64,
    },
}

impl Reason {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. }
            | Self::Compression { .. }
            | Self::BareExtent
            | Self::Encrypted
            | Self::SeSparse { .. }
            | Self::Journal
            | Self::ExtentType { .. }
            | Self::NoAccess { .. } => ErrorKind::Unsupported,
            Self::ParentMissing { .. } => ErrorKind::Missing,
            _ => ErrorKind::Damaged,
        }
    }

    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::BareExtent => Some("open the small .vmdk that lists its extents"),
            Self::Encrypted => {
                Some("decrypt the virtual machine in the product that encrypted it, then export it again")
            }
            Self::TextMode | Self::StreamCutShort | Self::Truncated { .. } | Self::ExtentTooShort { .. } => {
                Some("copy the file again from where it came")
            }
            Self::Journal => Some("power the virtual machine on and off again, or consolidate its snapshots"),
            Self::ParentMissing { .. } => Some(
                "put every VMDK that the machine's snapshots are made of into one directory, or merge them with \
                 `VBoxManage clonemedium`",
            ),
            Self::ExtentType { .. } => Some("clone the disk at the source to another type"),
            _ => None,
        }
    }
}
