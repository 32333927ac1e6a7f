//! The block allocation table ([MS-VHDX] section 2.5): how it is laid out ([`Geometry`]), and its [`Entry`].

use super::Reason;
use super::file::{File, MIB};
use super::region::Region;
use crate::error::Result;
use std::ops::Range;

/// The largest disk, in bytes (section 2.6.2.2).
pub(super) const MAX_SIZE: u64 = 64 << 40;
/// Which block sizes there are, in bytes: powers of two (section 2.6.2.1).
pub(super) const BLOCK_SIZES: std::ops::RangeInclusive<u64> = MIB..=256 * MIB;
/// Bytes of an entry.
pub(super) const ENTRY: u64 = 8;
/// Bytes of a sector bitmap block.
pub(super) const BITMAP: u64 = MIB;
/// Sectors of which a sector bitmap block tells: one a bit.
const BITMAP_SECTORS: u64 = BITMAP * 8;

/// The size of a disk and of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    size: u64,
    block: u64,
    sector: u64,
    has_parent: bool,
}

impl Geometry {
    /// A disk of `size` bytes in blocks of `block` bytes, if there can be one.
    pub(super) fn new(size: u64, block: u32, sector: u32, has_parent: bool) -> Result<Self, Reason> {
        if !matches!(sector, 512 | 4096) {
            return Err(Reason::SectorSize { bytes: sector });
        }
        if !BLOCK_SIZES.contains(&block.into()) || !block.is_power_of_two() {
            return Err(Reason::BlockSize { bytes: block });
        }
        if size > MAX_SIZE || !size.is_multiple_of(sector.into()) {
            return Err(Reason::DiskSize { bytes: size });
        }
        Ok(Self { size, block: block.into(), sector: sector.into(), has_parent })
    }

    /// The same disk with another size in bytes, if there can be one.
    pub(super) fn resized(&self, size: u64) -> Result<Self, Reason> {
        Self::new(size, self.block as u32, self.sector as u32, self.has_parent)
    }

    /// The disk's size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of a payload block.
    pub(super) fn block(&self) -> u64 {
        self.block
    }

    /// Bytes of a logical sector.
    pub(super) fn sector(&self) -> u64 {
        self.sector
    }

    /// Whether the disk is a differencing one.
    pub(super) fn has_parent(&self) -> bool {
        self.has_parent
    }

    /// How many payload blocks the disk has.
    pub(super) fn blocks(&self) -> u64 {
        self.size.div_ceil(self.block)
    }

    /// Payload blocks of a chunk, which have a sector bitmap block together: a power of two.
    pub(super) fn chunk_ratio(&self) -> u64 {
        BITMAP_SECTORS * self.sector / self.block
    }

    /// How many chunks the disk has.
    pub(super) fn chunks(&self) -> u64 {
        self.blocks().div_ceil(self.chunk_ratio())
    }

    /// How many entries the table needs. The last one of a differencing disk is of a sector bitmap block.
    pub(super) fn entries(&self) -> u64 {
        match (self.has_parent, self.blocks()) {
            (_, 0) => 0,
            (true, _) => self.chunks() * (self.chunk_ratio() + 1),
            (false, blocks) => self.payload_entry(blocks - 1) + 1,
        }
    }

    /// The number of a payload block's entry.
    pub(super) fn payload_entry(&self, block: u64) -> u64 {
        block + block / self.chunk_ratio()
    }

    /// The number of the entry of a chunk's sector bitmap block.
    pub(super) fn bitmap_entry(&self, chunk: u64) -> u64 {
        chunk * (self.chunk_ratio() + 1) + self.chunk_ratio()
    }

    /// Bytes of a sector bitmap block that tell of one payload block. At least 32.
    pub(super) fn block_bitmap(&self) -> u64 {
        self.block / self.sector / 8
    }

    /// Where in its chunk's sector bitmap block the bits of a payload block begin, in bytes.
    pub(super) fn bitmap_offset(&self, block: u64) -> u64 {
        block % self.chunk_ratio() * self.block_bitmap()
    }

    /// The bytes of the disk that are in a payload block: less than its size for the last one of some disks.
    pub(super) fn block_range(&self, block: u64) -> Range<u64> {
        let start = block * self.block;
        start..(start + self.block).min(self.size)
    }

    /// The bytes that the region of the table takes at least.
    pub(super) fn table_length(&self) -> u64 {
        (self.entries() * ENTRY).next_multiple_of(MIB).max(MIB)
    }
}

/// What the table says of a payload block (section 2.5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The parent decides; without one the block has never been written.
    NotPresent,
    /// The contents do not matter. Zeroes are among what may be read, and a parent is not asked.
    Undefined,
    /// The block reads as zeroes.
    Zero,
    /// The guest has discarded the block: zeroes are among what may be read, and a parent is not asked.
    Unmapped,
    FullyPresent,
    /// Which sectors are in the file is in the sector bitmap.
    PartiallyPresent,
    /// One of those that are reserved.
    Reserved(u8),
}

/// An entry of the table: a state, and a place in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry(pub(super) u64);

impl Entry {
    /// The block is all in the file.
    pub(super) const FULLY_PRESENT: u64 = 6;
    /// Some sectors of the block are in the file.
    pub(super) const PARTIALLY_PRESENT: u64 = 7;
    /// The sector bitmap block is in the file (section 2.5.1.2).
    pub(super) const BITMAP_PRESENT: u64 = 6;
    /// The block reads as zeroes.
    pub(super) const ZERO: Self = Self(2);

    /// A state with the offset of the block, in bytes: a multiple of 1 MiB.
    pub(super) fn new(state: u64, offset: u64) -> Self {
        Self(offset | state)
    }

    /// The state, of a payload block.
    pub(super) fn state(self) -> State {
        match self.0 & 7 {
            0 => State::NotPresent,
            1 => State::Undefined,
            2 => State::Zero,
            3 => State::Unmapped,
            6 => State::FullyPresent,
            7 => State::PartiallyPresent,
            // Version 0.95 of the specification had 5 for a block that is unmapped; no product is known to have kept it.
            other => State::Reserved(other as u8),
        }
    }

    /// Whether the sector bitmap block of this entry is in the file.
    pub(super) fn is_bitmap_present(self) -> bool {
        self.0 & 7 == Self::BITMAP_PRESENT
    }

    /// Where the block is, in bytes.
    pub(super) fn offset(self) -> u64 {
        self.0 & !(MIB - 1)
    }
}

/// The table, if its region can hold it.
pub(super) fn check(file: &dyn File, region: Region, geometry: &Geometry) -> Result<()> {
    let (entries, needed) = (region.length / ENTRY, geometry.entries());
    if entries < needed {
        return Err(file.damaged(region.offset, Reason::TableLength { entries, needed }));
    }
    Ok(())
}

/// Entries of the table in `region` from number `first` on, as many as `count` says and the region has.
pub(super) fn entries(file: &dyn File, region: Region, first: u64, count: u64) -> Result<Vec<Entry>> {
    let last = (first + count).min(region.length / ENTRY);
    let length = last.saturating_sub(first) * ENTRY;
    let bytes = file.part("block allocation table", region.offset + first * ENTRY, length)?;
    Ok(bytes.as_chunks::<8>().0.iter().map(|entry| Entry(u64::from_le_bytes(*entry))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_interleaved_by_chunks() {
        let geometry = |size, has_parent| Geometry::new(size, 32 << 20, 512, has_parent).unwrap();
        let disk = geometry(10 << 30, false);
        assert_eq!((disk.chunk_ratio(), disk.blocks(), disk.chunks()), (128, 320, 3));
        assert_eq!(disk.payload_entry(127), 127);
        assert_eq!(disk.bitmap_entry(0), 128);
        assert_eq!(disk.payload_entry(128), 129);
        assert_eq!(disk.entries(), 322);
        assert_eq!(geometry(10 << 30, true).entries(), 387);
        assert_eq!(geometry(0, false).entries(), 0);
        // The sectors of a chunk are 2^23.
        let large = Geometry::new(64 << 40, 256 << 20, 4096, true).unwrap();
        assert_eq!((large.chunk_ratio(), large.block_bitmap()), (128, 8192));
    }

    #[test]
    fn what_the_format_does_not_allow_is_refused() {
        for (size, block, sector) in [
            (1 << 30, 3 << 20, 512),
            (1 << 30, 512 << 10, 512),
            (1 << 30, 512 << 20, 512),
            (1 << 30, 1 << 20, 1024),
            ((1 << 30) + 512, 1 << 20, 4096),
            (MAX_SIZE + 512, 1 << 20, 512),
        ] {
            assert!(Geometry::new(size, block, sector, false).is_err(), "{size} {block} {sector}");
        }
    }
}
