//! Writing one hosted sparse extent: [`SparseWriter`] ("Virtual Disk Format 5.0", Hosted Sparse Extents).
//!
//! The header and the descriptor come first, then the two copies of the grain directory and the grain tables, then, from
//! the next multiple of 64 KiB, the grains in the order of the disk, each at a multiple of 64 KiB, so that a filesystem
//! can share them with another file. Of the tables only the one that is being filled is kept; both its copies are
//! written when the disk is past it. The header is written last: a file that was not finished is no extent.

use crate::copy::{Files, Place};
use crate::vmdk::arrangement::{Arrangement, GRAIN, TABLE_ENTRIES, TABLE_SPAN};
use crate::vmdk::header::{FLAG_REDUNDANT, FLAG_ZEROED_GRAINS, SECTOR, SparseHeader};
use std::io;
use std::ops::Range;
use zerocopy::IntoBytes;

/// Sectors of a descriptor inside an extent, unless it needs more: what VMware and QEMU leave for it.
const DESCRIPTOR_SECTORS: u64 = 20;
/// The entry of a grain of zeroes.
const ZEROED: u32 = 1;

/// One sparse extent that is being written.
pub(super) struct SparseWriter {
    /// Which file.
    file: usize,
    /// The extent's length in sectors.
    sectors: u64,
    /// How many sectors are for the descriptor, behind the header; 0 when it is in another file.
    descriptor_sectors: u64,
    arrangement: Arrangement,
    /// The table that is being filled.
    current: Option<GrainTable>,
    /// The first unused byte of the file.
    end: u64,
    /// Whether a table says of a grain that it is zeroes.
    zeroed: bool,
}

/// A grain table that is being filled.
pub(super) struct GrainTable {
    /// Which one.
    pub(super) index: u64,
    entries: Vec<u32>,
}

impl GrainTable {
    /// An empty table.
    pub(super) fn new(index: u64) -> Self {
        Self { index, entries: vec![0; TABLE_ENTRIES as usize] }
    }

    /// Enters sectors from that of the grain in which byte `start` of the disk is.
    pub(super) fn enter(&mut self, start: u64, sectors: impl Iterator<Item = u32>) {
        let first = (start % TABLE_SPAN / GRAIN) as usize;
        let entries = self.entries.get_mut(first..).unwrap_or_default();
        entries.iter_mut().zip(sectors).for_each(|(entry, sector)| *entry = sector);
    }

    /// As it stands in the file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.entries.iter().flat_map(|entry| entry.to_le_bytes()).collect()
    }
}

/// The sector at byte `offset`, or that the file is larger than an entry of a table can say.
pub(super) fn sector(offset: u64) -> io::Result<u32> {
    let error = || io::Error::new(io::ErrorKind::FileTooLarge, "a sparse VMDK extent ends at 2 TiB");
    u32::try_from(offset / SECTOR).map_err(|_| error())
}

impl SparseWriter {
    /// The extent of `sectors` sectors in `file`, with room for a descriptor of so many bytes if it is to have one.
    pub(super) fn new(file: usize, sectors: u64, descriptor: Option<usize>) -> Self {
        let descriptor_sectors =
            descriptor.map_or(0, |bytes| (bytes as u64).div_ceil(SECTOR).max(DESCRIPTOR_SECTORS));
        let tables = (sectors * SECTOR).div_ceil(TABLE_SPAN);
        let arrangement = Arrangement::at(1 + descriptor_sectors, tables, TABLE_ENTRIES);
        let end = (arrangement.end() * SECTOR).next_multiple_of(GRAIN);
        Self { file, sectors, descriptor_sectors, arrangement, current: None, end, zeroed: false }
    }

    fn at(&self, offset: u64) -> Place {
        Place { file: self.file, offset }
    }

    /// The table of the grain in which byte `start` is.
    fn table(&mut self, files: &dyn Files, start: u64) -> io::Result<&mut GrainTable> {
        let index = start / TABLE_SPAN;
        if self.current.as_ref().is_some_and(|table| table.index != index) {
            self.write_table(files)?;
        }
        Ok(self.current.get_or_insert_with(|| GrainTable::new(index)))
    }

    fn write_table(&mut self, files: &dyn Files) -> io::Result<()> {
        let Some(table) = self.current.take() else { return Ok(()) };
        let bytes = table.to_bytes();
        for row in self.arrangement.rows() {
            files.write(&bytes, self.at(row.table(table.index) * SECTOR))?;
        }
        Ok(())
    }

    /// Where `run`, bytes of the extent within one table, goes.
    pub(super) fn place(&mut self, files: &dyn Files, run: Range<u64>) -> io::Result<Place> {
        let place = self.at(self.end);
        let grains = (run.end - run.start).div_ceil(GRAIN);
        // The whole last grain has to be within what an entry can say, too.
        let (first, end) = (sector(self.end)?, self.end + grains * GRAIN);
        sector(end)?;
        let sectors = (first..).step_by((GRAIN / SECTOR) as usize).take(grains as usize);
        self.table(files, run.start)?.enter(run.start, sectors);
        self.end = end;
        Ok(place)
    }

    /// Takes note that whole grains read as zeroes whatever the parent holds.
    pub(super) fn zero(&mut self, files: &dyn Files, range: Range<u64>) -> io::Result<()> {
        let mut start = range.start;
        while start < range.end {
            let end = (start / TABLE_SPAN + 1).saturating_mul(TABLE_SPAN).min(range.end);
            let grains = (end - start).div_ceil(GRAIN) as usize;
            self.table(files, start)?.enter(start, std::iter::repeat_n(ZEROED, grains));
            start = end;
        }
        self.zeroed = true;
        Ok(())
    }

    /// Writes the last table, the directories, the descriptor and, last, the header.
    pub(super) fn finish(&mut self, files: &dyn Files, descriptor: &[u8]) -> io::Result<()> {
        self.write_table(files)?;
        for row in self.arrangement.rows() {
            for (offset, bytes) in row.pieces() {
                files.write(&bytes, self.at(offset))?;
            }
        }
        if self.descriptor_sectors > 0 {
            files.write(descriptor, self.at(SECTOR))?;
        }
        // The last grain is whole in the file, though it need not have been written to its end.
        files.set_len(self.file, self.end)?;
        files.write(self.header().as_bytes(), self.at(0))
    }

    fn header(&self) -> SparseHeader {
        // Version 2 is the one with grains of zeroes, and not every product has heard of it.
        let (version, zeroed) = if self.zeroed { (2, FLAG_ZEROED_GRAINS) } else { (1, 0) };
        let descriptor = u64::from(self.descriptor_sectors > 0);
        let overhead = (self.arrangement.end() * SECTOR).next_multiple_of(GRAIN) / SECTOR;
        SparseHeader {
            descriptor_offset: descriptor.into(),
            descriptor_size: self.descriptor_sectors.into(),
            redundant_directory: self.arrangement.redundant.directory.into(),
            directory: self.arrangement.primary.directory.into(),
            overhead: overhead.into(),
            ..SparseHeader::new(version, FLAG_REDUNDANT | zeroed, self.sectors)
        }
    }
}
