//! What can be wrong with a qcow image: [`Reason`].

use crate::error::ErrorKind;

/// Why a qcow image could not be opened or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The file ends inside a structure.
    #[error("the file ends inside the {what}")]
    Truncated {
        /// The structure.
        what: &'static str,
    },
    /// A cluster size outside of what is defined.
    #[error("a cluster of 2^{bits} bytes is not of 2^9 to 2^16")]
    ClusterSize {
        /// `cluster_bits`.
        bits: u8,
    },
    /// A table size outside of what is defined.
    #[error("an L2 table of 2^{bits} entries is not of 2^6 to 2^13")]
    TableSize {
        /// `l2_bits`.
        bits: u8,
    },
    /// The image's clusters are encrypted.
    #[error("the image is encrypted (AES)")]
    Encrypted,
    /// An encryption that nobody has defined.
    #[error("encryption method {method} is unknown")]
    Encryption {
        /// `crypt_method`.
        method: u32,
    },
    /// A size beyond every disk.
    #[error("a size of {bytes} bytes is absurd")]
    Size {
        /// The declared size in bytes.
        bytes: u64,
    },
    /// The backing file's name does not lie within the file, is too long or no text.
    #[error("the backing file's name of {length} bytes cannot be read")]
    BackingName {
        /// Its length in bytes.
        length: u32,
    },
    /// The L1 table does not lie within the file.
    #[error("the L1 table of {entries} entries lies outside the file")]
    L1 {
        /// How many entries.
        entries: u64,
    },
    /// An L2 table does not lie within the file.
    #[error("L2 table {table} lies outside the file")]
    L2 {
        /// Which table.
        table: u64,
    },
    /// A cluster does not lie within the file.
    #[error("cluster {cluster} lies outside the file")]
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

impl Reason {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Encrypted | Self::Encryption { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Damaged,
        }
    }

    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Truncated { .. } | Self::L1 { .. } | Self::L2 { .. } | Self::Cluster { .. } => {
                Some("copy the file again from where it came")
            }
            Self::Encrypted => Some("convert it to a plain image with `qemu-img convert` and its passphrase"),
            _ => None,
        }
    }
}
