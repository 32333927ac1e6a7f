//! A space-efficient sparse extent (seSparse), which ESXi writes for snapshots on VMFS 6: [`SeSparseExtent`].
//!
//! VMware has published no specification; the layout is as QEMU's `block/vmdk.c` describes it. The header that never
//! changes says where everything else is; a second one says whether the journal has to be replayed. A directory leads
//! to tables of 4,096 grains of 4 KiB, by number and not by sector.

use super::Reason;
use super::header::SECTOR;
use crate::bytes::Bytes;
use crate::error::Result;
use crate::mapping::{Mapped, Mapping, Place, See};
use crate::source::Source;
use crate::table::{TwoLevels, Words};
use std::convert::Infallible;
use std::ops::Range;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// How the file begins.
pub(super) const MAGIC: [u8; 8] = 0xcafe_babe_u64.to_le_bytes();
const VOLATILE_MAGIC: u64 = 0xcafe_cafe;
/// Version 2.1, the only one that has been seen.
const VERSION: u64 = 0x2_0000_0001;
/// Sectors of a grain; no other number has been seen.
const GRAIN_SECTORS: u64 = 8;
/// Sectors of a grain table; no other number has been seen.
const TABLE_SECTORS: u64 = 64;
/// Bytes of a grain.
pub(super) const GRAIN: u64 = GRAIN_SECTORS * SECTOR;
/// Entries of a grain table.
const TABLE_ENTRIES: u64 = TABLE_SECTORS * SECTOR / 8;
/// How many bytes of tables are kept.
const CACHE_BYTES: u64 = 4 << 20;

/// The header that never changes; places and sizes are in sectors.
#[derive(Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ConstantHeader {
    magic: U64,
    version: U64,
    capacity: U64,
    grain_size: U64,
    table_size: U64,
    flags: U64,
    reserved: [U64; 4],
    volatile_header: Region,
    journal_header: Region,
    journal: Region,
    directory: Region,
    tables: Region,
    free_bitmap: Region,
    backmap: Region,
    grains: Region,
    padding: [u8; 304],
}

/// A part of the file.
#[derive(Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Region {
    offset: U64,
    size: U64,
}

/// The header that changes with the extent.
#[derive(Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct VolatileHeader {
    magic: U64,
    free_table: U64,
    next_transaction: U64,
    replay_journal: U64,
    padding: [u8; 480],
}

const _: () = assert!(size_of::<ConstantHeader>() == 512 && size_of::<VolatileHeader>() == 512);

/// A space-efficient sparse extent as a disk.
pub(super) struct SeSparseExtent {
    source: Source,
    /// Bytes.
    capacity: u64,
    /// Where the directory begins, in bytes.
    directory: u64,
    /// Where the first table begins, in sectors.
    tables: u64,
    /// Where the first grain begins, in sectors.
    grains: u64,
    directory_words: Words<U64>,
    table_words: Words<U64>,
}

impl SeSparseExtent {
    /// The extent in `source`; its tables are read where they are looked at.
    pub(super) fn open(source: Source) -> Result<Mapped<Self>> {
        let fail = |offset, reason| source.error(Some(offset), reason);
        let truncated = Reason::Truncated { what: "header" };
        let header: ConstantHeader = source.structure(0)?.ok_or_else(|| fail(0, truncated.clone()))?;
        check(&header).map_err(|(offset, reason)| fail(offset, reason))?;
        let place = header.volatile_header.offset.get().saturating_mul(SECTOR);
        let volatile: VolatileHeader = source.structure(place)?.ok_or_else(|| fail(place, truncated))?;
        let magic = volatile.magic.get();
        if magic != VOLATILE_MAGIC {
            return Err(fail(
                place,
                Reason::SeSparse { what: "a second header that begins with", value: magic },
            ));
        }
        if volatile.replay_journal.get() != 0 {
            return Err(fail(place + 24, Reason::Journal));
        }
        let capacity = header.capacity.get() * SECTOR;
        let directory = header.directory.offset.get().saturating_mul(SECTOR);
        let entries = capacity.div_ceil(GRAIN * TABLE_ENTRIES);
        if entries * 8 > header.directory.size.get().saturating_mul(SECTOR)
            || !source.holds(directory, entries * 8)
        {
            let sector = header.directory.offset.get();
            return Err(fail(directory, Reason::DirectoryOutside { entries, sector }));
        }
        Ok(Mapped(Self {
            source,
            capacity,
            directory,
            tables: header.tables.offset.get(),
            grains: header.grains.offset.get(),
            directory_words: Words::new(CACHE_BYTES / 16),
            table_words: Words::new(CACHE_BYTES),
        }))
    }

    fn entries(&self) -> u64 {
        self.capacity.div_ceil(GRAIN * TABLE_ENTRIES)
    }
}

/// Checks what can be without the file. A fault is told with its place.
fn check(header: &ConstantHeader) -> Result<(), (u64, Reason)> {
    for (offset, what, value, expected) in [
        (8, "version", header.version.get(), VERSION),
        (24, "grains of sectors", header.grain_size.get(), GRAIN_SECTORS),
        (32, "grain tables of sectors", header.table_size.get(), TABLE_SECTORS),
        (40, "flags", header.flags.get(), 0),
    ] {
        if value != expected {
            return Err((offset, Reason::SeSparse { what, value }));
        }
    }
    let sectors = header.capacity.get();
    if sectors == 0 || sectors > crate::MAX_VIRTUAL_SIZE / SECTOR {
        return Err((16, Reason::Capacity { sectors }));
    }
    Ok(())
}

impl TwoLevels for SeSparseExtent {
    type Packed = Infallible;

    fn shape(&self) -> (u64, u64) {
        (GRAIN, TABLE_ENTRIES)
    }

    fn table(&self, index: u64) -> Result<Option<u64>> {
        let entry = self.directory_words.get(&self.source, self.directory, self.entries(), index)?;
        let entry = entry.map_or(0, U64::get);
        if entry == 0 {
            return Ok(None);
        }
        let place = self.directory + index * 8;
        // A table that exists is marked by the highest bits and told by its number.
        if entry >> 32 != 0x1000_0000 {
            let reason = Reason::SeSparse { what: "a grain directory entry", value: entry };
            return Err(self.source.error(Some(place), reason));
        }
        let sector = self.tables.saturating_add((entry & 0xffff_ffff) * TABLE_SECTORS);
        let offset = sector.saturating_mul(SECTOR);
        if !self.source.holds(offset, TABLE_SECTORS * SECTOR) {
            let reason = Reason::TableOutside { table: index, sector };
            return Err(self.source.error(Some(place), reason));
        }
        Ok(Some(offset))
    }

    fn cluster(&self, table: u64, grain: u64) -> Result<Place<Infallible>> {
        let entry = self.table_words.get(&self.source, table, TABLE_ENTRIES, grain % TABLE_ENTRIES)?;
        let entry = entry.map_or(0, U64::get);
        match entry >> 60 {
            0 if entry == 0 => return Ok(Place::Absent),
            // Unmapped by the guest, or zero from the beginning.
            1 | 2 => return Ok(Place::Zero),
            3 => {}
            _ => {
                let place = Some(table + grain % TABLE_ENTRIES * 8);
                let reason = Reason::SeSparse { what: "a grain table entry", value: entry };
                return Err(self.source.error(place, reason));
            }
        }
        let sector = self.grains.saturating_add(grain_number(entry).saturating_mul(GRAIN_SECTORS));
        let offset = sector.saturating_mul(SECTOR);
        // The last grain's tail behind the disk's end need not be in the file.
        let needed = (self.capacity - grain * GRAIN).min(GRAIN);
        if !self.source.holds(offset, needed) {
            return Err(self.source.error(Some(offset), Reason::GrainOutside { grain, sector }));
        }
        Ok(Place::Stored(offset))
    }
}

/// Which grain of the file an entry names: its lower 12 bits stand in the upper part of the entry.
fn grain_number(entry: u64) -> u64 {
    (entry >> 48 & 0xfff) | (entry & 0xffff_ffff_ffff) << 12
}

impl Mapping for SeSparseExtent {
    type Packed = Infallible;

    fn source(&self) -> &Source {
        &self.source
    }

    fn size(&self) -> u64 {
        self.capacity
    }

    fn visit(&self, range: Range<u64>, see: See<Infallible>) -> Result<()> {
        self.visit_clusters(range, see)
    }

    fn read_packed(&self, packed: Infallible, _offset: u64, _buf: &mut [u8]) -> Result<()> {
        match packed {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grain_numbers_are_put_together_from_their_two_parts() {
        assert_eq!(grain_number(0x3000_0000_0000_0000), 0);
        assert_eq!(grain_number(0x3001_0000_0000_0000), 1);
        assert_eq!(grain_number(0x3fff_0000_0000_0000), 0xfff);
        assert_eq!(grain_number(0x3002_0000_0000_0001), 0x1002);
    }
}
