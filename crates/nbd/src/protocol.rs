//! The numbers and layouts of the NBD protocol (`doc/proto.md` of NetworkBlockDevice/nbd). Everything on the wire
//! is big-endian. A constant's name is the protocol's without its prefix.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The longest request payload and read that both sides here agree to, in bytes ("Block size constraints").
pub(crate) const MAX_PAYLOAD: u32 = 32 << 20;
/// The longest string of the protocol, in bytes ("Values", strings).
pub(crate) const MAX_STRING: usize = 4096;

/// "Newstyle negotiation".
pub(crate) mod handshake {
    pub(crate) const NBDMAGIC: u64 = u64::from_be_bytes(*b"NBDMAGIC");
    pub(crate) const IHAVEOPT: u64 = u64::from_be_bytes(*b"IHAVEOPT");
    /// Starts every reply to an option.
    pub(crate) const REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;

    pub(crate) const FIXED_NEWSTYLE: u16 = 1 << 0;
    pub(crate) const NO_ZEROES: u16 = 1 << 1;
    /// How many zeroes end the answer to `OPT_EXPORT_NAME`, unless both sides agreed to leave them out.
    pub(crate) const ZEROES: usize = 124;
}

/// "Option types".
pub(crate) mod option {
    pub(crate) const EXPORT_NAME: u32 = 1;
    pub(crate) const ABORT: u32 = 2;
    pub(crate) const LIST: u32 = 3;
    pub(crate) const INFO: u32 = 6;
    pub(crate) const GO: u32 = 7;
    pub(crate) const STRUCTURED_REPLY: u32 = 8;
    pub(crate) const LIST_META_CONTEXT: u32 = 9;
    pub(crate) const SET_META_CONTEXT: u32 = 10;
}

/// "Option reply types".
pub(crate) mod reply {
    pub(crate) const ACK: u32 = 1;
    pub(crate) const SERVER: u32 = 2;
    pub(crate) const INFO: u32 = 3;
    pub(crate) const META_CONTEXT: u32 = 4;
    /// Set in every reply that is an error.
    pub(crate) const ERROR: u32 = 1 << 31;
    pub(crate) const ERR_UNSUP: u32 = ERROR | 1;
    pub(crate) const ERR_INVALID: u32 = ERROR | 3;
    pub(crate) const ERR_UNKNOWN: u32 = ERROR | 6;
    pub(crate) const ERR_TOO_BIG: u32 = ERROR | 9;

    /// The protocol's name for an error.
    pub(crate) fn name(reply: u32) -> &'static str {
        match reply {
            ERR_UNSUP => "unsupported",
            0x8000_0002 => "forbidden by policy",
            ERR_INVALID => "invalid",
            0x8000_0004 => "not on this platform",
            0x8000_0005 => "TLS is required",
            ERR_UNKNOWN => "no such export",
            0x8000_0007 => "shutting down",
            0x8000_0008 => "block sizes must be negotiated",
            ERR_TOO_BIG => "too big",
            _ => "an unknown error",
        }
    }
}

/// "`NBD_INFO` information types".
pub(crate) mod info {
    pub(crate) const EXPORT: u16 = 0;
    pub(crate) const NAME: u16 = 1;
    pub(crate) const BLOCK_SIZE: u16 = 3;
}

/// "Transmission flags".
pub(crate) mod flag {
    pub(crate) const HAS_FLAGS: u16 = 1 << 0;
    pub(crate) const READ_ONLY: u16 = 1 << 1;
    pub(crate) const SEND_FLUSH: u16 = 1 << 2;
    pub(crate) const SEND_FUA: u16 = 1 << 3;
    pub(crate) const SEND_TRIM: u16 = 1 << 5;
    pub(crate) const SEND_WRITE_ZEROES: u16 = 1 << 6;
    pub(crate) const SEND_DF: u16 = 1 << 7;
    pub(crate) const CAN_MULTI_CONN: u16 = 1 << 8;
}

/// "Request types".
pub(crate) mod command {
    pub(crate) const READ: u16 = 0;
    pub(crate) const WRITE: u16 = 1;
    pub(crate) const DISC: u16 = 2;
    pub(crate) const FLUSH: u16 = 3;
    pub(crate) const TRIM: u16 = 4;
    pub(crate) const WRITE_ZEROES: u16 = 6;
    pub(crate) const BLOCK_STATUS: u16 = 7;

    /// "Command flags".
    pub(crate) mod flag {
        pub(crate) const FUA: u16 = 1 << 0;
        pub(crate) const NO_HOLE: u16 = 1 << 1;
        pub(crate) const DF: u16 = 1 << 2;
        pub(crate) const REQ_ONE: u16 = 1 << 3;
    }
}

/// "Structured reply types".
pub(crate) mod chunk {
    pub(crate) const NONE: u16 = 0;
    pub(crate) const OFFSET_DATA: u16 = 1;
    pub(crate) const OFFSET_HOLE: u16 = 2;
    pub(crate) const BLOCK_STATUS: u16 = 5;
    /// Set in every chunk that is an error.
    pub(crate) const IS_ERROR: u16 = 1 << 15;
    pub(crate) const ERROR: u16 = IS_ERROR | 1;
    pub(crate) const ERROR_OFFSET: u16 = IS_ERROR | 2;

    /// "Structured reply flags": the last chunk of a reply.
    pub(crate) const DONE: u16 = 1 << 0;
}

/// "Metadata querying": the context that says where data, holes and zeroes are.
pub(crate) mod allocation {
    pub(crate) const NAMESPACE: &str = "base:";
    pub(crate) const NAME: &str = "base:allocation";
    /// "`NBD_STATE_HOLE`".
    pub(crate) const HOLE: u32 = 1 << 0;
    /// "`NBD_STATE_ZERO`".
    pub(crate) const ZERO: u32 = 1 << 1;
}

/// "Error values".
pub(crate) mod errno {
    pub(crate) const EPERM: u32 = 1;
    pub(crate) const EIO: u32 = 5;
    pub(crate) const ENOMEM: u32 = 12;
    pub(crate) const EINVAL: u32 = 22;
    pub(crate) const ENOSPC: u32 = 28;
    pub(crate) const EOVERFLOW: u32 = 75;
    pub(crate) const ENOTSUP: u32 = 95;
    pub(crate) const ESHUTDOWN: u32 = 108;

    /// The protocol's name for an error; unknown ones are to be taken for `EINVAL`.
    pub(crate) fn name(errno: u32) -> &'static str {
        match errno {
            EPERM => "EPERM",
            EIO => "EIO",
            ENOMEM => "ENOMEM",
            ENOSPC => "ENOSPC",
            EOVERFLOW => "EOVERFLOW",
            ENOTSUP => "ENOTSUP",
            ESHUTDOWN => "ESHUTDOWN",
            _ => "EINVAL",
        }
    }
}

/// What the server says first: "Newstyle negotiation".
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Debug)]
#[repr(C)]
pub(crate) struct Greeting {
    pub(crate) magic: U64,
    pub(crate) style: U64,
    pub(crate) flags: U16,
}

/// The start of an option, before its data.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Debug)]
#[repr(C)]
pub(crate) struct OptionHeader {
    pub(crate) magic: U64,
    pub(crate) option: U32,
    pub(crate) length: U32,
}

/// The start of a reply to an option, before its data.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Debug)]
#[repr(C)]
pub(crate) struct OptionReplyHeader {
    pub(crate) magic: U64,
    pub(crate) option: U32,
    pub(crate) reply: U32,
    pub(crate) length: U32,
}

/// "`NBD_INFO_EXPORT`".
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Debug)]
#[repr(C)]
pub(crate) struct InfoExport {
    pub(crate) kind: U16,
    pub(crate) size: U64,
    pub(crate) flags: U16,
}

/// "`NBD_INFO_BLOCK_SIZE`", in bytes.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Debug)]
#[repr(C)]
pub(crate) struct InfoBlockSize {
    pub(crate) kind: U16,
    pub(crate) minimum: U32,
    pub(crate) preferred: U32,
    pub(crate) maximum: U32,
}

/// "Compact request message", before its payload.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Debug)]
#[repr(C)]
pub(crate) struct RequestHeader {
    pub(crate) magic: U32,
    pub(crate) flags: U16,
    pub(crate) command: U16,
    pub(crate) cookie: U64,
    pub(crate) offset: U64,
    pub(crate) length: U32,
}

impl RequestHeader {
    pub(crate) const MAGIC: u32 = 0x2560_9513;
}

/// "Simple reply message", before its payload.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Debug)]
#[repr(C)]
pub(crate) struct SimpleReply {
    pub(crate) magic: U32,
    pub(crate) errno: U32,
    pub(crate) cookie: U64,
}

impl SimpleReply {
    pub(crate) const MAGIC: u32 = 0x6744_6698;
}

/// "Structured reply chunk message", before its payload.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Debug)]
#[repr(C)]
pub(crate) struct ChunkHeader {
    pub(crate) magic: U32,
    pub(crate) flags: U16,
    pub(crate) kind: U16,
    pub(crate) cookie: U64,
    pub(crate) length: U32,
}

impl ChunkHeader {
    pub(crate) const MAGIC: u32 = 0x668e_33ef;
}

/// A descriptor of "`NBD_REPLY_TYPE_BLOCK_STATUS`": how many bytes are of one kind.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Descriptor {
    pub(crate) length: U32,
    pub(crate) flags: U32,
}

const _: () = {
    assert!(size_of::<Greeting>() == 18);
    assert!(size_of::<OptionHeader>() == 16);
    assert!(size_of::<OptionReplyHeader>() == 20);
    assert!(size_of::<InfoExport>() == 12);
    assert!(size_of::<InfoBlockSize>() == 14);
    assert!(size_of::<RequestHeader>() == 28);
    assert!(size_of::<SimpleReply>() == 16);
    assert!(size_of::<ChunkHeader>() == 20);
    assert!(size_of::<Descriptor>() == 8);
};
