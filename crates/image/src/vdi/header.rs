//! The header (VirtualBox `src/VBox/Storage/VDICore.h`: `VDIPREHEADER` and `VDIHEADER1PLUS`).

use super::Reason;
use crate::bytes::Bytes;
use crate::error::Result;
use uuid::Uuid;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What stands at [`MAGIC_OFFSET`].
pub(super) const MAGIC: u32 = 0xbeda_107f;
/// Where the magic number stands, behind a text for people.
pub(super) const MAGIC_OFFSET: usize = 0x40;
/// Version 1.1, which VirtualBox has written since its first release.
const VERSION: u32 = 0x0001_0001;
/// How long the header says that it is: from `header_size` to its end.
const HEADER_SIZE: u32 = 400;
/// What the text at the beginning says.
const TEXT: &[u8] = b"<<< Anyvisor Virtual Disk Image >>>\n";
/// The unit of the geometry, in bytes.
const SECTOR: u32 = 512;
/// The largest block that is believed, in bytes; VirtualBox uses 1 MiB.
const MAX_BLOCK: u32 = 1 << 30;

/// The header as it lies in the file.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawHeader {
    pub(super) text: [u8; 64],
    pub(super) magic: U32,
    pub(super) version: U32,
    pub(super) header_size: U32,
    pub(super) kind: U32,
    pub(super) flags: U32,
    pub(super) comment: [u8; 256],
    /// Bytes.
    pub(super) map_offset: U32,
    /// Bytes.
    pub(super) data_offset: U32,
    pub(super) legacy_geometry: Geometry,
    pub(super) unused: U32,
    /// Bytes.
    pub(super) disk_size: U64,
    /// Bytes.
    pub(super) block_size: U32,
    /// Bytes before each block's data, for purposes that never came.
    pub(super) block_extra: U32,
    pub(super) blocks: U32,
    /// How many blocks the file has: where the next one goes.
    pub(super) allocated: U32,
    pub(super) creation: [u8; 16],
    pub(super) modification: [u8; 16],
    pub(super) parent_creation: [u8; 16],
    pub(super) parent_modification: [u8; 16],
    /// Only in version 1.1.
    pub(super) geometry: Geometry,
}

/// Cylinders, heads and sectors; nobody needs them.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Geometry {
    cylinders: U32,
    heads: U32,
    sectors: U32,
    /// Bytes.
    sector_size: U32,
}

const _: () = assert!(size_of::<RawHeader>() == 0x48 + HEADER_SIZE as usize);

/// What kind of image it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Blocks are added as they are written.
    Dynamic,
    /// Every block is there.
    Fixed,
    /// Holds changes of its parent, to be kept or thrown away when the machine stops.
    Undo,
    /// Holds what differs from its parent.
    Differencing,
}

impl Kind {
    fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Dynamic),
            2 => Some(Self::Fixed),
            3 => Some(Self::Undo),
            4 => Some(Self::Differencing),
            _ => None,
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Dynamic => 1,
            Self::Fixed => 2,
            Self::Undo => 3,
            Self::Differencing => 4,
        }
    }

    /// What people call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::Fixed => "fixed",
            Self::Undo => "undo",
            Self::Differencing => "differencing",
        }
    }

    /// Whether what it does not hold is its parent's.
    pub(super) fn has_parent(self) -> bool {
        matches!(self, Self::Undo | Self::Differencing)
    }
}

/// What of a header matters, checked.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// The disk's size in bytes: whole sectors.
    pub(super) size: u64,
    /// Bytes of a block.
    pub(super) block: u64,
    /// Bytes before each block's data.
    pub(super) extra: u64,
    /// Where the block map is, in bytes.
    pub(super) map_offset: u64,
    /// Where the first block is, in bytes.
    pub(super) data_offset: u64,
    /// Entries of the block map.
    pub(super) entries: u32,
    /// How many blocks the file is said to have.
    pub(super) allocated: u32,
    pub(super) creation: Uuid,
    pub(super) modification: Uuid,
    pub(super) parent_creation: Uuid,
    pub(super) parent_modification: Uuid,
    /// What the user wrote about it.
    pub(super) comment: String,
}

impl Header {
    /// Reads the header of a file, and what it says.
    pub(super) fn read(file: &impl Bytes) -> Result<(RawHeader, Self)> {
        let raw =
            file.structure(0)?.ok_or_else(|| file.error(Some(0), Reason::Truncated { what: "header" }))?;
        let header =
            Self::parse(&raw, file.size()).map_err(|(offset, reason)| file.error(Some(offset), reason))?;
        Ok((raw, header))
    }

    /// Checks a header of a file of `length` bytes. A fault is told with its place in the file.
    pub(super) fn parse(raw: &RawHeader, length: u64) -> Result<Self, (u64, Reason)> {
        let version = raw.version.get();
        let (major, minor) = ((version >> 16) as u16, version as u16);
        if major != 1 {
            return Err((0x44, Reason::Version { major, minor }));
        }
        let kind = raw.kind.get();
        let kind = Kind::of(kind).ok_or((0x4c, Reason::Kind { kind }))?;
        let (block, extra) = (raw.block_size.get(), raw.block_extra.get());
        if !block.is_power_of_two() || !(SECTOR..=MAX_BLOCK).contains(&block) || extra > block {
            return Err((0x178, Reason::BlockSize { bytes: block, extra }));
        }
        // Some were made with a size that is not of whole sectors; the last sector is there all the same.
        let bytes = raw.disk_size.get();
        let size = bytes.checked_next_multiple_of(SECTOR.into());
        let size =
            size.filter(|size| *size <= crate::MAX_VIRTUAL_SIZE).ok_or((0x170, Reason::Size { bytes }))?;
        let header = Self {
            kind,
            size,
            block: block.into(),
            extra: extra.into(),
            map_offset: raw.map_offset.get().into(),
            data_offset: raw.data_offset.get().into(),
            entries: raw.blocks.get(),
            allocated: raw.allocated.get(),
            creation: Uuid::from_bytes_le(raw.creation),
            modification: Uuid::from_bytes_le(raw.modification),
            parent_creation: Uuid::from_bytes_le(raw.parent_creation),
            parent_modification: Uuid::from_bytes_le(raw.parent_modification),
            comment: text(&raw.comment),
        };
        let blocks = header.blocks();
        if blocks > header.entries.into() {
            return Err((0x180, Reason::MapTooSmall { entries: header.entries, blocks }));
        }
        if blocks > 0 && header.map_offset + blocks * 4 > length {
            return Err((0x154, Reason::MapOutside { entries: blocks }));
        }
        Ok(header)
    }

    /// How many blocks the disk has.
    pub(super) fn blocks(&self) -> u64 {
        self.size.div_ceil(self.block)
    }

    /// Where the data of the block in `place` begins, in bytes.
    pub(super) fn block_offset(&self, place: u32) -> u64 {
        self.data_offset + u64::from(place) * self.stride() + self.extra
    }

    /// How far apart blocks lie in the file, in bytes.
    pub(super) fn stride(&self) -> u64 {
        self.block + self.extra
    }
}

impl RawHeader {
    /// The header of a new image: its kind, the disk's size in bytes, its map's place, its data's place and a block's
    /// size in bytes, and how many blocks the file has.
    pub(super) fn new(kind: Kind, size: u64, map: u32, data: u32, block: u32, allocated: u32) -> Self {
        let mut text = [0; 64];
        text.iter_mut().zip(TEXT).for_each(|(byte, new)| *byte = *new);
        let none =
            Geometry { cylinders: 0.into(), heads: 0.into(), sectors: 0.into(), sector_size: SECTOR.into() };
        Self {
            text,
            magic: MAGIC.into(),
            version: VERSION.into(),
            header_size: HEADER_SIZE.into(),
            kind: kind.number().into(),
            flags: 0.into(),
            comment: [0; 256],
            map_offset: map.into(),
            data_offset: data.into(),
            legacy_geometry: none,
            unused: 0.into(),
            disk_size: size.into(),
            block_size: block.into(),
            block_extra: 0.into(),
            blocks: (size.div_ceil(block.into()) as u32).into(),
            allocated: allocated.into(),
            creation: Uuid::new_v4().to_bytes_le(),
            modification: Uuid::new_v4().to_bytes_le(),
            parent_creation: [0; 16],
            parent_modification: [0; 16],
            geometry: none,
        }
    }

    /// Gives the image that identifier: VirtualBox's machines attach it by it.
    pub(super) fn identify(&mut self, identifier: Uuid) {
        self.creation = identifier.to_bytes_le();
    }
}

/// A text that ends with its field or its first NUL.
fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).trim().to_owned()
}
