//! What follows the header ([`Extensions`]; QEMU `docs/interop/qcow2.rst`, "Header extensions").

use super::Reason;
use crate::bytes::Bytes;
use crate::error::Result;
use std::ops::Range;
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What each extension begins with.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Extension {
    pub(super) kind: U32,
    /// Bytes of what follows, without the padding to a multiple of 8.
    pub(super) length: U32,
}

/// Where the header of the full disk encryption is.
#[derive(Clone, Copy, Debug, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct EncryptionHeader {
    offset: U64,
    length: U64,
}

/// Where the bitmaps' directory is.
#[derive(Clone, Copy, Debug, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Bitmaps {
    count: U32,
    reserved: U32,
    directory_bytes: U64,
    directory_offset: U64,
}

const _: () = assert!(size_of::<Extension>() == 8);
const _: () = assert!(size_of::<EncryptionHeader>() == 16 && size_of::<Bitmaps>() == 24);

/// No more extensions.
pub(super) const END: u32 = 0;
/// The backing file's format, by name.
pub(super) const BACKING_FORMAT: u32 = 0xe279_2aca;
/// The external data file's name.
pub(super) const DATA_FILE: u32 = 0x4441_5441;
/// Where the encryption header is.
const ENCRYPTION: u32 = 0x0537_be77;
/// Where the bitmaps are.
const BITMAPS: u32 = 0x2385_2875;

/// What the known extensions say.
#[derive(Clone, Debug, Default)]
pub(super) struct Extensions {
    /// The backing file's format, as the image names it.
    pub(super) backing_format: Option<String>,
    /// The external data file's name.
    pub(super) data_file: Option<String>,
    /// Where the encryption header is in the file, in bytes. Not compared with the file's size.
    pub(super) encryption: Option<Range<u64>>,
    /// Where the bitmaps' directory is in the file, in bytes. Not compared with the file's size.
    pub(super) bitmaps: Option<Range<u64>>,
}

impl Extensions {
    /// Reads the extensions that stand in `range` of the file.
    pub(super) fn read(file: &impl Bytes, range: Range<u64>) -> Result<Self> {
        let mut found = Self::default();
        let mut offset = range.start;
        let size = size_of::<Extension>() as u64;
        while offset + size <= range.end {
            let Some(extension) = file.structure::<Extension>(offset)? else { break };
            let (kind, length) = (extension.kind.get(), u64::from(extension.length.get()));
            if kind == END {
                break;
            }
            let data = offset + size;
            if data + length > range.end || !file.holds(data, length) {
                return Err(file.error(Some(offset), Reason::HeaderLength { length: data + length }));
            }
            found.take(kind, &file.bytes(data, length)?);
            offset = data + length.next_multiple_of(8);
        }
        Ok(found)
    }

    fn take(&mut self, kind: u32, data: &[u8]) {
        let text = || Some(String::from_utf8_lossy(data).into_owned());
        let range = |offset: U64, length: U64| Some(offset.get()..offset.get().saturating_add(length.get()));
        match kind {
            BACKING_FORMAT => self.backing_format = text(),
            DATA_FILE => self.data_file = text(),
            ENCRYPTION => {
                let header = EncryptionHeader::read_from_prefix(data).ok();
                self.encryption = header.and_then(|(header, _)| range(header.offset, header.length));
            }
            BITMAPS => {
                let bitmaps = Bitmaps::read_from_prefix(data).ok();
                self.bitmaps =
                    bitmaps.and_then(|(bitmaps, _)| range(bitmaps.directory_offset, bitmaps.directory_bytes));
            }
            _ => {}
        }
    }
}
