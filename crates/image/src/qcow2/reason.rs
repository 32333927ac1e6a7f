//! What can be wrong with a qcow2 image: [`Reason`].

use crate::error::ErrorKind;

/// Why a qcow2 image could not be opened or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The file ends inside the header.
    #[error("the file ends inside the header")]
    Truncated,
    /// A version that is not 2 or 3.
    #[error("version {version} is unknown")]
    Version {
        /// The version.
        version: u32,
    },
    /// A cluster size outside of what is defined.
    #[error("a cluster of 2^{bits} bytes is not of 2^9 to 2^21")]
    ClusterSize {
        /// `cluster_bits`.
        bits: u32,
    },
    /// A size beyond every disk.
    #[error("a size of {bytes} bytes is absurd")]
    Size {
        /// The declared size in bytes.
        bytes: u64,
    },
    /// The image is marked as corrupt by whoever wrote it last.
    #[error("the image is marked as corrupt")]
    Corrupt,
    /// The image's clusters are encrypted.
    #[error("the image is encrypted ({method})")]
    Encrypted {
        /// How.
        method: &'static str,
    },
    /// The image's clusters are encrypted, and there is no passphrase.
    #[error("the image is encrypted (LUKS), and no passphrase was given")]
    Locked,
    /// The passphrase unlocks none of the keys.
    #[error("the passphrase unlocks none of the image's keys")]
    Passphrase,
    /// The LUKS header makes no sense.
    #[error("the LUKS header {what}")]
    LuksHeader {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The cipher or hash function is none that is known.
    #[error("the encryption {cipher:?} is not supported")]
    LuksCipher {
        /// As the header names it.
        cipher: String,
    },
    /// The guest's data is in another file, and the image does not say in which.
    #[error("the data is in an external data file, which the image does not name")]
    DataFileName,
    /// There is no such internal snapshot.
    #[error("there is no internal snapshot {wanted:?}")]
    NoSnapshot {
        /// The identifier or name that was asked for.
        wanted: String,
    },
    /// An entry of the table of snapshots cannot be one.
    #[error("snapshot {index} of the table of snapshots is absurd or lies outside the file")]
    Snapshot {
        /// Which, counted from 0; the number of snapshots when that is absurd.
        index: u32,
    },
    /// Reference counts of more than 64 bits.
    #[error("reference counts of 2^{order} bits are unknown")]
    RefcountOrder {
        /// `refcount_order`.
        order: u32,
    },
    /// A feature that has to be understood, and is not.
    #[error("the incompatible features {bits:#x} are unknown")]
    Features {
        /// The bits.
        bits: u64,
    },
    /// A compression that is not defined.
    #[error("compression type {kind} is unknown")]
    Compression {
        /// `compression_type`.
        kind: u8,
    },
    /// The header's length or that of an extension makes no sense.
    #[error("the header of {length} bytes makes no sense")]
    HeaderLength {
        /// `header_length`, or where an extension would end.
        length: u64,
    },
    /// The backing file's name does not lie within the file, is too long or no text.
    #[error("the backing file's name of {length} bytes cannot be read")]
    BackingName {
        /// Its length in bytes.
        length: u32,
    },
    /// The backing file's format is none that can be read.
    #[error("the backing file's format {format:?} is not supported")]
    BackingFormat {
        /// As the image names it.
        format: String,
    },
    /// The L1 table is too small for the disk, larger than any real one, or outside of the file.
    #[error("an L1 table of {entries} entries is too small, absurd or lies outside the file")]
    L1 {
        /// How many entries.
        entries: u64,
    },
    /// An L2 table is not where one can be.
    #[error("L2 table {table} lies outside the file or at no cluster's start")]
    L2 {
        /// Which table.
        table: u64,
    },
    /// A cluster is not where one can be.
    #[error("cluster {cluster} lies outside the file or at no cluster's start")]
    Cluster {
        /// Which cluster of the disk.
        cluster: u64,
    },
    /// A compressed cluster does not decompress.
    #[error("cluster {cluster} cannot be decompressed")]
    Inflate {
        /// Which cluster of the disk.
        cluster: u64,
    },
}

impl From<luks::Reason> for Reason {
    fn from(reason: luks::Reason) -> Self {
        match reason {
            luks::Reason::Locked => Self::Locked,
            luks::Reason::Secret => Self::Passphrase,
            luks::Reason::Header { what } => Self::LuksHeader { what },
            luks::Reason::Cipher { cipher } => Self::LuksCipher { cipher },
            luks::Reason::Feature { name } => Self::LuksCipher { cipher: name },
            _ => Self::LuksHeader { what: "wants more memory or time than is given to it" },
        }
    }
}

impl Reason {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. }
            | Self::Encrypted { .. }
            | Self::Locked
            | Self::Passphrase
            | Self::LuksCipher { .. }
            | Self::NoSnapshot { .. }
            | Self::RefcountOrder { .. }
            | Self::Features { .. }
            | Self::Compression { .. }
            | Self::BackingFormat { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Damaged,
        }
    }

    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Truncated => Some("copy the file again from where it came"),
            Self::Corrupt => Some("repair it with qemu-img check -r all, or take a copy from before"),
            Self::Locked | Self::Passphrase => Some("give the passphrase that unlocks it"),
            Self::Encrypted { .. } | Self::LuksCipher { .. } => {
                Some("convert it to an image without encryption with qemu-img")
            }
            Self::NoSnapshot { .. } => Some("list the image's snapshots with info, and name one of them"),
            Self::DataFileName => Some("open the data file itself, if it is raw"),
            _ => None,
        }
    }
}
