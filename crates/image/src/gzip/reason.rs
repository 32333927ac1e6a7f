//! What can be wrong with a gzip stream: [`Reason`].

/// Why a gzip stream could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The file ends inside the stream.
    #[error("the gzip stream is cut short")]
    Truncated,
    /// No member starts where one should.
    #[error("this is no gzip member")]
    NotAMember,
    /// A member uses what is not defined.
    #[error("compression method {method} with flags {flags:#04x} is unknown")]
    Unknown {
        /// `CM`.
        method: u8,
        /// `FLG`.
        flags: u8,
    },
    /// The compressed data is damaged.
    #[error("the compressed data is damaged")]
    Deflate,
    /// The data is not what was compressed.
    #[error("the checksum is {found:08x} instead of {expected:08x}")]
    Checksum {
        /// What the stream says.
        expected: u32,
        /// What the data gives.
        found: u32,
    },
    /// The data is not as long as what was compressed.
    #[error("the length is {found} bytes instead of {expected}, modulo 2^32")]
    Length {
        /// What the stream says.
        expected: u32,
        /// What the data gives.
        found: u32,
    },
}
