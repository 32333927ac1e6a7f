//! What can be wrong with a QED image: [`Reason`].

use crate::error::ErrorKind;

/// Why a QED image could not be opened or read.
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
    #[error("a cluster of {bytes} bytes is not a power of two from 4 KiB to 64 MiB")]
    ClusterSize {
        /// Bytes of a cluster.
        bytes: u32,
    },
    /// A table size outside of what is defined.
    #[error("a table of {clusters} clusters is not a power of two up to 16")]
    TableSize {
        /// Clusters of a table.
        clusters: u32,
    },
    /// A feature that has to be understood, and is not.
    #[error("the features {bits:#x} are unknown")]
    Features {
        /// The bits.
        bits: u64,
    },
    /// A size beyond what its tables reach, or not of whole sectors.
    #[error("a size of {bytes} bytes makes no sense")]
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
    /// The L1 table is not where one can be.
    #[error("the L1 table at byte {offset} lies outside the file or at no cluster's start")]
    L1 {
        /// Where it is said to be, in bytes.
        offset: u64,
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
}

impl Reason {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Features { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Damaged,
        }
    }

    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Truncated { .. } | Self::L1 { .. } | Self::L2 { .. } | Self::Cluster { .. } => {
                Some("copy the file again from where it came")
            }
            _ => None,
        }
    }
}
