//! The two copies of the region table ([MS-VHDX] section 2.2.3): [`RegionTable`].

use super::Reason;
use super::file::{File, MIB, checksum, structure};
use super::header::SECTION;
use crate::error::Result;
use uuid::{Uuid, uuid};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Where the copies stand, in bytes.
pub(super) const OFFSETS: [u64; 2] = [192 << 10, 256 << 10];
/// Bytes of a copy.
pub(super) const LENGTH: u64 = 64 << 10;

const SIGNATURE: [u8; 4] = *b"regi";
const MAX_ENTRIES: u32 = 2047;

const BAT: Uuid = uuid!("2dc27766-f623-4200-9d64-115e9bfd4a08");
const METADATA: Uuid = uuid!("8b7ca206-4790-4b9a-b8fe-575f050f886e");

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TableHeader {
    signature: [u8; 4],
    checksum: U32,
    entry_count: U32,
    reserved: U32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TableEntry {
    guid: [u8; 16],
    file_offset: U64,
    length: U32,
    /// Bit 0: whoever does not know the region must not read the image.
    required: U32,
}

const _: () = assert!(size_of::<TableHeader>() == 16 && size_of::<TableEntry>() == 32);

/// Where a region is, in bytes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// The region table.
#[derive(Clone, Debug)]
pub(super) struct RegionTable {
    /// The block allocation table.
    pub(super) bat: Region,
    pub(super) metadata: Region,
    /// The regions that are neither, and need not be known.
    pub(super) others: Vec<Region>,
    /// The copy that was used, as it stands in the file.
    bytes: Vec<u8>,
}

impl RegionTable {
    /// Reads the first copy that is valid.
    pub(super) fn read(file: &dyn File) -> Result<Self> {
        for offset in OFFSETS {
            if let Some(bytes) = read_copy(file, offset)? {
                return Self::parse(file, offset, bytes);
            }
        }
        Err(file.damaged(192 << 10, Reason::NoRegionTable))
    }

    fn parse(file: &dyn File, offset: u64, bytes: Vec<u8>) -> Result<Self> {
        let (mut bat, mut metadata, mut others) = (None, None, Vec::new());
        for (place, entry) in entries(&bytes) {
            let region = Region { offset: entry.file_offset.get(), length: entry.length.get().into() };
            let (what, slot) = match Uuid::from_bytes_le(entry.guid) {
                BAT => ("block allocation table", &mut bat),
                METADATA => ("metadata region", &mut metadata),
                id if entry.required.get() & 1 != 0 => {
                    return Err(file.damaged(offset + place as u64, Reason::RegionUnknown { id }));
                }
                _ => {
                    others.push(region);
                    continue;
                }
            };
            let aligned = region.offset.is_multiple_of(MIB) && region.length.is_multiple_of(MIB);
            if !aligned || region.offset < SECTION || !file.holds(region.offset, region.length) {
                let Region { offset: at, length } = region;
                let reason = Reason::RegionPlace { what, offset: at, length };
                return Err(file.damaged(offset + place as u64, reason));
            }
            if slot.replace(region).is_some() {
                return Err(file.damaged(offset + place as u64, Reason::RegionCount { what }));
            }
        }
        let missing = |what| file.damaged(offset, Reason::RegionCount { what });
        let bat = bat.ok_or_else(|| missing("block allocation table"))?;
        let metadata = metadata.ok_or_else(|| missing("metadata region"))?;
        Ok(Self { bat, metadata, others, bytes })
    }

    /// The table as it stands in the file.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The table with the block allocation table elsewhere, as it stands in the file.
    pub(super) fn with_bat(&self, bat: Region) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for (place, mut entry) in entries(&self.bytes) {
            if Uuid::from_bytes_le(entry.guid) != BAT {
                continue;
            }
            entry.file_offset = bat.offset.into();
            entry.length = (bat.length as u32).into();
            if let Some(slot) = bytes.get_mut(place..place + size_of::<TableEntry>()) {
                slot.copy_from_slice(entry.as_bytes());
            }
        }
        sealed(bytes)
    }
}

/// The region table of a new file.
pub(super) fn table(bat: Region, metadata: Region) -> Vec<u8> {
    let header =
        TableHeader { signature: SIGNATURE, checksum: 0.into(), entry_count: 2.into(), reserved: 0.into() };
    let entry = |id: Uuid, region: Region| TableEntry {
        guid: id.to_bytes_le(),
        file_offset: region.offset.into(),
        length: (region.length as u32).into(),
        required: 1.into(),
    };
    let entries = [entry(BAT, bat), entry(METADATA, metadata)];
    let mut bytes = [header.as_bytes(), entries.as_bytes()].concat();
    bytes.resize(LENGTH as usize, 0);
    sealed(bytes)
}

/// The table with its checksum.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = checksum(&bytes).to_le_bytes();
    if let Some(slot) = bytes.get_mut(4..8) {
        slot.copy_from_slice(&crc);
    }
    bytes
}

/// The copy at `offset`; `None` when it is damaged.
pub(super) fn read_copy(file: &dyn File, offset: u64) -> Result<Option<Vec<u8>>> {
    let bytes = file.part("region table", offset, LENGTH)?;
    let sound = structure::<TableHeader>(&bytes, 0).is_some_and(|header| {
        header.signature == SIGNATURE
            && header.entry_count.get() <= MAX_ENTRIES
            && header.checksum.get() == checksum(&bytes)
    });
    Ok(sound.then_some(bytes))
}

/// The entries of a table, each with its place in it in bytes.
fn entries(bytes: &[u8]) -> impl Iterator<Item = (usize, TableEntry)> {
    let count = structure::<TableHeader>(bytes, 0).map_or(0, |header| header.entry_count.get() as usize);
    let places = (0..count).map(|number| size_of::<TableHeader>() + number * size_of::<TableEntry>());
    places.filter_map(|place| structure(bytes, place).map(|entry| (place, entry)))
}
