//! Giving a disk another size, in place: [`resize`].
//!
//! Whatever the larger disk needs is first put where the present one does not look: entries behind its last one, blocks
//! and a larger table behind the file's end. One entry of the log then changes the size and the place of the table at
//! once: a crash at any moment leaves the old disk or the new one.

use super::Reason;
use super::bat::{self, ENTRY, Entry, Geometry, State};
use super::file::{File, MIB, SECTOR};
use super::header::{Header, Headers};
use super::metadata::Metadata;
use super::region::{self, Region, RegionTable};
use super::{log, replay};
use crate::bytes::{Bytes, Stored};
use crate::error::{Error, Result};
use crate::storage::Storage;
use std::collections::BTreeMap;
use std::path::Path;
use uuid::Uuid;

/// Entries of the table that are changed together.
const SLICE: u64 = 4096;

/// Gives the disk of an image `size` bytes. What is added reads as zeroes; what is taken away must be zeroes that take
/// no room.
pub(super) fn resize(storage: &dyn Storage, path: &Path, size: u64) -> Result<()> {
    let file = Stored::new(storage, path)?;
    let mut headers = Headers::read(&file)?;
    replay::write(&file, &mut headers)?;
    let regions = RegionTable::read(&file)?;
    let metadata = Metadata::read(&file, regions.metadata)?;
    bat::check(&file, regions.bat, &metadata.geometry)?;
    let new = metadata.geometry.resized(size).map_err(|_| {
        let sector = metadata.geometry.sector();
        refused(&file, format!("its disk has at most 64 TiB, in whole sectors of {sector} bytes"))
    })?;
    if size == metadata.geometry.size() {
        return Ok(());
    }
    let change = Change { file: &file, regions: &regions, metadata: &metadata, old: metadata.geometry, new };
    if size < change.old.size() {
        change.check_shrinking()?;
        headers.update(&file, Header::renew)?;
        return change.commit(&mut headers, regions.bat);
    }
    change.check_growing()?;
    headers.update(&file, Header::renew)?;
    let table = change.prepare()?;
    change.commit(&mut headers, table)?;
    if table != regions.bat {
        file.discard(regions.bat.offset..regions.bat.offset + regions.bat.length)?;
    }
    Ok(())
}

fn refused(file: &Stored<'_>, why: impl Into<String>) -> Error {
    file.refused("resize", why)
}

/// A disk that gets another size.
struct Change<'a> {
    file: &'a Stored<'a>,
    regions: &'a RegionTable,
    metadata: &'a Metadata,
    old: Geometry,
    new: Geometry,
}

impl Change<'_> {
    fn entry(&self, block: u64) -> Result<Entry> {
        let found = bat::entries(self.file, self.regions.bat, self.old.payload_entry(block), 1)?;
        Ok(found.first().copied().unwrap_or_default())
    }

    /// Fails unless what is cut off are zeroes that take no room.
    fn check_shrinking(&self) -> Result<()> {
        if self.metadata.is_fixed || self.old.has_parent() {
            let why = "only a dynamic disk can be made smaller";
            return Err(refused(self.file, why));
        }
        let data = || refused(self.file, format!("the disk has data behind byte {}", self.new.size()));
        let (size, block) = (self.new.size(), self.new.block());
        if !size.is_multiple_of(block) {
            let last = self.entry(size / block)?;
            let length = self.old.block_range(size / block).end - size;
            if last.state() == State::FullyPresent
                && !self.file.is_zero(last.offset() + size % block, length)?
            {
                return Err(data());
            }
        }
        let (first, end) = (self.old.payload_entry(self.new.blocks()), self.old.entries());
        for start in (first..end).step_by(SLICE as usize) {
            let entries = bat::entries(self.file, self.regions.bat, start, SLICE.min(end - start))?;
            if entries.into_iter().any(|entry| entry.state() == State::FullyPresent) {
                return Err(data());
            }
        }
        Ok(())
    }

    /// Fails when what is added could show the parent's data: where a differencing disk ends within a block that is not
    /// all its own.
    fn check_growing(&self) -> Result<()> {
        if !self.old.has_parent() || self.old.size().is_multiple_of(self.old.block()) {
            return Ok(());
        }
        match self.entry(self.old.blocks() - 1)?.state() {
            State::NotPresent | State::PartiallyPresent => {
                let why = "its last block is partly the parent's; merge it into its parent first";
                Err(refused(self.file, why))
            }
            _ => Ok(()),
        }
    }

    /// Puts down, durably, what the larger disk needs and the present one does not see; answers where the table of the
    /// larger one is.
    fn prepare(&self) -> Result<Region> {
        self.clear_tail()?;
        let length = self.new.table_length();
        self.file.grow(self.file.size().next_multiple_of(MIB))?;
        let mut end = self.file.size();
        let table = if length <= self.regions.bat.length {
            self.regions.bat
        } else {
            let moved = Region { offset: end, length };
            end += length;
            moved
        };
        let blocks = end;
        if self.metadata.is_fixed {
            end += (self.new.blocks() - self.old.blocks()) * self.new.block();
        }
        self.file.grow(end)?;
        self.write_table(table, blocks)?;
        self.file.flush()?;
        Ok(table)
    }

    /// Writes zeroes over what the last block has behind the disk's end.
    fn clear_tail(&self) -> Result<()> {
        let (size, block) = (self.old.size(), self.old.block());
        if size.is_multiple_of(block) {
            return Ok(());
        }
        let entry = self.entry(size / block)?;
        match entry.state() {
            State::FullyPresent => {
                let end = entry.offset() + block;
                self.file.grow(end)?;
                self.file.zero(entry.offset() + size % block, block - size % block)
            }
            State::PartiallyPresent | State::Reserved(_) => {
                let reason = Reason::BlockState { block: size / block, state: (entry.0 & 7) as u8 };
                Err(self.file.damaged(self.regions.bat.offset, reason))
            }
            _ => Ok(()),
        }
    }

    /// Writes the entries of the blocks that are added, the blocks of a fixed disk beginning at byte `blocks`; and all
    /// others too when the table is elsewhere than it was.
    fn write_table(&self, table: Region, blocks: u64) -> Result<()> {
        let moved = table != self.regions.bat;
        let added = self.old.entries().min(self.new.payload_entry(self.old.blocks()));
        let first = if moved { 0 } else { added / SLICE };
        for start in (first..self.new.entries().div_ceil(SLICE)).map(|slice| slice * SLICE) {
            let count = SLICE.min(self.new.entries() - start);
            let before = bat::entries(self.file, self.regions.bat, start, count)?;
            let entries = (start..start + count).map(|number| {
                let before = before.get((number - start) as usize).copied().unwrap_or_default();
                self.new_entry(number, before, blocks)
            });
            let bytes: Vec<u8> = entries.flat_map(|entry| entry.0.to_le_bytes()).collect();
            self.file.write_if_other(&bytes, table.offset + start * ENTRY)?;
        }
        Ok(())
    }

    /// The entry `number` of the larger disk's table, of which the present one says `before`.
    fn new_entry(&self, number: u64, before: Entry, blocks: u64) -> Entry {
        let ratio = self.new.chunk_ratio();
        let (chunk, place) = (number / (ratio + 1), number % (ratio + 1));
        if place == ratio {
            let kept = if self.old.has_parent() { self.old.chunks() } else { 0 };
            return if chunk < kept { before } else { Entry::default() };
        }
        let block = chunk * ratio + place;
        match block.checked_sub(self.old.blocks()) {
            None => before,
            Some(_) if self.new.has_parent() => Entry::ZERO,
            Some(added) if self.metadata.is_fixed => {
                Entry::new(Entry::FULLY_PRESENT, blocks + added * self.new.block())
            }
            Some(_) => Entry::default(),
        }
    }

    /// Changes the size and the place of the table, through the log ([MS-VHDX] section 2.3).
    fn commit(&self, headers: &mut Headers, table: Region) -> Result<()> {
        self.file.grow(self.file.size().next_multiple_of(MIB))?;
        let mut sectors = Sectors::new(self.file);
        sectors.change(self.metadata.size_offset, &self.new.size().to_le_bytes())?;
        if table != self.regions.bat {
            let regions = self.regions.with_bat(table);
            for offset in region::OFFSETS {
                sectors.change(offset, &regions)?;
            }
        }
        let place = headers.current().log(self.file)?;
        let log_guid = Uuid::new_v4().to_bytes_le();
        self.file.write(&log::entry(log_guid, self.file.size(), &sectors.changed()), place.offset)?;
        self.file.flush()?;
        headers.update(self.file, |header| header.begin(log_guid))?;
        for (offset, bytes) in sectors.changed() {
            self.file.write(&bytes, offset)?;
        }
        self.file.flush()?;
        replay::close(self.file, headers)
    }
}

/// Sectors of a file that are to be changed.
struct Sectors<'a> {
    file: &'a Stored<'a>,
    /// What they are and what they will be, by their place in the file.
    sectors: BTreeMap<u64, (Vec<u8>, Vec<u8>)>,
}

impl<'a> Sectors<'a> {
    fn new(file: &'a Stored<'a>) -> Self {
        Self { file, sectors: BTreeMap::new() }
    }

    /// Puts `bytes` at byte `offset`.
    fn change(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        for (place, byte) in (offset..).zip(bytes) {
            let start = place / SECTOR * SECTOR;
            if !self.sectors.contains_key(&start) {
                let now = self.file.part("metadata", start, SECTOR)?;
                self.sectors.insert(start, (now.clone(), now));
            }
            let sector = self.sectors.get_mut(&start);
            if let Some(slot) = sector.and_then(|(_, new)| new.get_mut((place - start) as usize)) {
                *slot = *byte;
            }
        }
        Ok(())
    }

    /// Those that become other than they are, each with its place.
    fn changed(&self) -> Vec<(u64, Vec<u8>)> {
        let changed = self.sectors.iter().filter(|(_, (now, new))| now != new);
        changed.map(|(offset, (_, new))| (*offset, new.clone())).collect()
    }
}
