//! The header of images with a table ("Virtual Hard Disk Image Format Specification", Dynamic Disk Header Format).

use super::Reason;
use super::footer::{Footer, NOWHERE, SECTOR, VERSION, check_version, checksum};
use crate::bytes::Bytes;
use crate::error::Result;
use std::ops::RangeInclusive;
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a header begins with.
const COOKIE: [u8; 8] = *b"cxsparse";
/// How large blocks may be, in bytes. Products make them of 512 KiB to 2 MiB.
const BLOCK_SIZES: RangeInclusive<u32> = 512..=256 << 20;

/// The most blocks of a disk: the largest one in blocks of 128 KiB has so many.
const MAX_BLOCKS: u64 = 1 << 24;

/// A dynamic disk header as it lies in the file.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawHeader {
    cookie: [u8; 8],
    data_offset: U64,
    /// Bytes.
    table_offset: U64,
    version: U32,
    max_table_entries: U32,
    /// Bytes, without the sector bitmap.
    block_size: U32,
    checksum: U32,
    pub(super) parent_id: [u8; 16],
    /// When the parent was last modified, in seconds since 2000.
    pub(super) parent_timestamp: U32,
    reserved: U32,
    /// The parent's name in UTF-16, big-endian.
    pub(super) parent_name: [u8; 512],
    pub(super) locators: [RawLocator; 8],
    reserved_end: [u8; 256],
}

/// Where one of the parent's names is (Parent Locator Entry).
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawLocator {
    pub(super) code: [u8; 4],
    /// How much room there is for the name: sectors by the specification, bytes by what Windows writes.
    pub(super) space: U32,
    /// Bytes.
    pub(super) length: U32,
    pub(super) reserved: U32,
    /// Bytes.
    pub(super) offset: U64,
}

/// Bytes of a header.
pub(super) const HEADER: u64 = size_of::<RawHeader>() as u64;

const _: () = assert!(HEADER == 1024 && size_of::<RawLocator>() == 24);

impl RawHeader {
    /// A header without a parent, not yet sealed.
    pub(super) fn new(table_offset: u64, entries: u32, block: u32) -> Self {
        Self {
            cookie: COOKIE,
            data_offset: NOWHERE.into(),
            table_offset: table_offset.into(),
            version: VERSION.into(),
            max_table_entries: entries.into(),
            block_size: block.into(),
            checksum: 0.into(),
            parent_id: [0; 16],
            parent_timestamp: 0.into(),
            reserved: 0.into(),
            parent_name: [0; 512],
            locators: [RawLocator::new_zeroed(); 8],
            reserved_end: [0; 256],
        }
    }

    /// Gives it its checksum.
    pub(super) fn sealed(mut self) -> Self {
        self.checksum = checksum(self.as_bytes(), self.checksum).into();
        self
    }

    /// The same header with its table elsewhere, and sealed. Only what lies in its first sector differs.
    pub(super) fn with_table(mut self, table_offset: u64, entries: u32) -> Self {
        self.table_offset = table_offset.into();
        self.max_table_entries = entries.into();
        self.sealed()
    }
}

/// What a header says, checked.
#[derive(Clone)]
pub(super) struct Header {
    /// Where it is, in bytes.
    pub(super) offset: u64,
    /// Where the block allocation table is, in bytes. As much of it as the disk needs lies within the file.
    pub(super) table_offset: u64,
    /// How many entries the table has.
    pub(super) entries: u32,
    /// How many of them the disk needs.
    pub(super) blocks: u64,
    /// Bytes of a block's data.
    pub(super) block: u64,
    pub(super) raw: RawHeader,
}

impl Header {
    /// The header of the image in `file` that has `footer`.
    pub(super) fn read(file: &impl Bytes, footer: &Footer) -> Result<Self> {
        let offset = footer.header_offset;
        let raw: Option<RawHeader> = file.structure(offset)?;
        let truncated = Reason::Truncated { what: "dynamic disk header" };
        let header = match raw {
            None => Err((0, truncated)),
            Some(raw) => Self::parse(raw, offset, footer.size),
        };
        let header = header.map_err(|(at, reason)| file.error(Some(offset.saturating_add(at)), reason))?;
        if !file.holds(header.table_offset, header.blocks * 4) {
            let reason = Reason::TableOutside { blocks: header.blocks };
            return Err(file.error(Some(header.table_offset), reason));
        }
        Ok(header)
    }

    fn parse(raw: RawHeader, offset: u64, size: u64) -> Result<Self, (u64, Reason)> {
        if raw.cookie != COOKIE {
            return Err((0, Reason::NoHeader));
        }
        if raw.checksum.get() != checksum(raw.as_bytes(), raw.checksum) {
            return Err((36, Reason::Checksum { what: "dynamic disk header" }));
        }
        check_version("dynamic disk header", raw.version.get()).map_err(|reason| (24, reason))?;
        let bytes = raw.block_size.get();
        if !bytes.is_power_of_two() || !BLOCK_SIZES.contains(&bytes) {
            return Err((32, Reason::BlockSize { bytes }));
        }
        let (block, entries) = (u64::from(bytes), raw.max_table_entries.get());
        let blocks = size.div_ceil(block);
        if blocks > MAX_BLOCKS {
            return Err((32, Reason::TooManyBlocks { blocks }));
        }
        if u64::from(entries) < blocks {
            return Err((28, Reason::TableTooSmall { entries, blocks }));
        }
        Ok(Self { offset, table_offset: raw.table_offset.get(), entries, blocks, block, raw })
    }

    /// Bytes of a block's sector bitmap, which stands right before its data.
    pub(super) fn bitmap(&self) -> u64 {
        bitmap_length(self.block)
    }
}

/// Bytes of the sector bitmap of a block of `block` bytes: a bit a sector, in whole sectors.
pub(super) fn bitmap_length(block: u64) -> u64 {
    (block / SECTOR).div_ceil(8).next_multiple_of(SECTOR)
}
