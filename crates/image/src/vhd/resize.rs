//! Giving an image's disk another size in place: [`resize`].
//!
//! The last footer is written last but for its copy, as one sector: it switches from the old size to the new. What the
//! new disk needs is durable by then, and does not concern the old one. A file that grows is written at its new end, never
//! just made longer: filesystems make the length durable with the data, so that the footer is never missing.

use super::blocks::UNUSED;
use super::footer::{FOOTER, Footer, Kind, RawFooter, SECTOR};
use super::header::Header;
use super::survey::{Survey, Trouble, entries};
use super::write::MAX_SIZE;
use crate::bytes::{Bytes, Stored};
use crate::error::{Error, Result};
use crate::storage::Storage;
use std::ops::Range;
use std::path::Path;
use zerocopy::IntoBytes;

/// How much is read, copied or written at once, in bytes.
const PIECE: u64 = 1 << 20;
/// How many entries of the table fill a sector.
const ENTRIES: u64 = SECTOR / 4;
/// What XenServer's map of the blocks that are full begins with, in the sector behind the table.
const BATMAP: [u8; 8] = *b"tdbatmap";

/// Gives the disk a new size in bytes. It can only be made smaller where nothing was ever written.
pub(super) fn resize(storage: &dyn Storage, path: &Path, size: u64) -> Result<()> {
    let file = Stored::new(storage, path)?;
    let refused = |why: &str| Err(file.refused("resize", why));
    let mut damaged = false;
    let survey = Survey::take(&file, &mut |trouble: Trouble| damaged |= trouble.is_damage())?;
    let footer = &survey.footer;
    if size > MAX_SIZE {
        return Err(Error::TooLarge { size, format: "vhd" });
    }
    if !size.is_multiple_of(SECTOR) {
        return refused("the size of a VHD is a multiple of 512 bytes");
    }
    if footer.is_in_saved_state() {
        return refused("it belongs to a machine in a saved state");
    }
    if size == footer.size && is_settled(&survey) {
        return Ok(());
    }
    let Some(last) = footer_offset(&file, &survey).filter(|_| !damaged) else {
        return refused("it is damaged; check it first");
    };
    match &survey.header {
        None => resize_fixed(&file, footer, last, size),
        Some(_) if footer.kind == Kind::Differencing => refused("it must be as large as its parent"),
        Some(header) => Growing { file: &file, survey: &survey, header, last }.resize(size),
    }
}

/// Whether no earlier change was interrupted: the copy of the footer is one, and the table has an entry for each block.
fn is_settled(survey: &Survey) -> bool {
    survey.header.as_ref().is_none_or(|header| {
        let copy = survey.footers.first.as_ref().map(|first| first.footer);
        copy == Some(survey.footer.raw) && u64::from(header.entries) == header.blocks
    })
}

/// Where the last footer is, if it has a sector of its own at the end.
fn footer_offset(file: &Stored<'_>, survey: &Survey) -> Option<u64> {
    let offset = survey.footers.last.as_ref()?.offset;
    (offset.is_multiple_of(SECTOR) && offset + FOOTER == file.size()).then_some(offset)
}

fn resize_fixed(file: &Stored<'_>, footer: &Footer, last: u64, size: u64) -> Result<()> {
    let resized = footer.raw.resized(size);
    if size < footer.size {
        refuse_data(file, size..footer.size, size)?;
        write_durably(file, &resized, last)?;
        write_durably(file, &resized, size)?;
        file.set_len(size + FOOTER)?;
        return file.flush();
    }
    // What stands behind the disk is not the old disk's and would be the new one's: first bytes behind its end, and then
    // the old footer, once another has taken its place at the end of the file.
    write_zeroes(file, footer.size..last.min(size))?;
    if size > last {
        write_durably(file, &footer.raw, size)?;
        write_zeroes(file, last..last + FOOTER.min(size - last))?;
    }
    file.flush()?;
    write_durably(file, &resized, last.max(size))
}

/// An image with a table that gets another size.
struct Growing<'a> {
    file: &'a Stored<'a>,
    survey: &'a Survey,
    header: &'a Header,
    /// Where the last footer is, in bytes.
    last: u64,
}

impl Growing<'_> {
    fn resize(self, size: u64) -> Result<()> {
        let old = self.survey.footer.size;
        let blocks = size.div_ceil(self.header.block);
        let (table, last) = if size < old {
            self.refuse_blocks(size)?;
            (self.header.table_offset, self.last)
        } else {
            self.clear_last_block(old)?;
            self.make_room(blocks)?
        };
        let resized = self.survey.footer.raw.resized(size);
        write_durably(self.file, &resized, last)?;
        write_durably(self.file, &resized, 0)?;
        // 7-Zip wants exactly as many entries as there are blocks.
        if u64::from(self.header.entries) > blocks { self.write_header(table, blocks) } else { Ok(()) }
    }

    /// Where in the file the bytes from `start` of the disk to the end of their block are; `None` when the block is not
    /// there.
    fn rest_of_block(&self, start: u64) -> Result<Option<Range<u64>>> {
        let block = start / self.header.block;
        let mut found = UNUSED;
        entries(self.file, self.header, block..block + 1, &mut |_, sector| found = sector)?;
        if found == UNUSED {
            return Ok(None);
        }
        let data = u64::from(found) * SECTOR + self.header.bitmap();
        let end = (data + self.header.block).min(self.last);
        Ok(Some(data + start % self.header.block..end))
    }

    /// Fails when there is data behind the new end.
    fn refuse_blocks(&self, size: u64) -> Result<()> {
        let kept = size.div_ceil(self.header.block);
        let mut used = None;
        entries(self.file, self.header, kept..self.header.blocks, &mut |block, sector| {
            used = used.or((sector != UNUSED).then_some(block));
        })?;
        if let Some(block) = used {
            return Err(data_behind(self.file, block * self.header.block));
        }
        match size % self.header.block {
            0 => Ok(()),
            _ => self.rest_of_block(size)?.map_or(Ok(()), |rest| refuse_data(self.file, rest, size)),
        }
    }

    /// Writes zeroes to what the last block has behind the old disk's end.
    fn clear_last_block(&self, old: u64) -> Result<()> {
        if !old.is_multiple_of(self.header.block)
            && let Some(rest) = self.rest_of_block(old)?
        {
            write_zeroes(self.file, rest)?;
        }
        Ok(())
    }

    /// Makes a table with entries for `blocks` blocks, of which the new ones are unused; answers where it is, and where
    /// the last footer is then.
    fn make_room(&self, blocks: u64) -> Result<(u64, u64)> {
        self.refuse_batmap(blocks)?;
        let (here, old) = (self.header.table_offset, self.header.blocks);
        let room = self.survey.behind_table.saturating_sub(here) / 4;
        let filled = blocks.next_multiple_of(ENTRIES);
        if blocks == old || filled <= room {
            self.write_unused(here, old..filled.min(room))?;
            self.file.flush()?;
            if blocks > self.header.entries.into() {
                self.write_header(here, blocks)?;
            }
            return Ok((here, self.last));
        }
        // The table moves behind the last footer, and before that another copy of the footer behind the table: the file
        // always ends with one.
        let table = self.last + FOOTER;
        let last = table + filled * 4;
        write_durably(self.file, &self.survey.footer.raw, last)?;
        self.copy_entries(table)?;
        self.write_unused(table, old..filled)?;
        self.file.flush()?;
        self.write_header(table, blocks)?;
        Ok((table, last))
    }

    /// Fails when XenServer keeps a map behind the table that would have to grow too.
    fn refuse_batmap(&self, blocks: u64) -> Result<()> {
        let behind = self.header.table_offset + (u64::from(self.header.entries) * 4).next_multiple_of(SECTOR);
        let found: Option<[u8; 8]> = self.file.structure(behind)?;
        if found == Some(BATMAP) && blocks > self.header.blocks {
            return Err(self.file.refused("resize", "it has XenServer's map of full blocks"));
        }
        Ok(())
    }

    fn copy_entries(&self, to: u64) -> Result<()> {
        let length = self.header.blocks * 4;
        let mut done = 0;
        while done < length {
            let mut piece = vec![0; (length - done).min(PIECE) as usize];
            self.file.read(&mut piece, self.header.table_offset + done)?;
            self.file.write(&piece, to + done)?;
            done += piece.len() as u64;
        }
        Ok(())
    }

    /// Marks `entries` of the table at byte `table` as unused.
    fn write_unused(&self, table: u64, entries: Range<u64>) -> Result<()> {
        let [filling, ..] = UNUSED.to_be_bytes();
        fill(self.file, table + entries.start * 4..table + entries.end * 4, filling)
    }

    /// Lets the header say where the table is and how many entries it has. All of that lies in its first sector.
    fn write_header(&self, table: u64, entries: u64) -> Result<()> {
        let entries = u32::try_from(entries).unwrap_or(u32::MAX);
        let header = self.header.raw.with_table(table, entries);
        let sector = header.as_bytes().get(..SECTOR as usize).unwrap_or_default();
        self.file.write(sector, self.header.offset)?;
        self.file.flush()
    }
}

fn write_durably(file: &Stored<'_>, footer: &RawFooter, offset: u64) -> Result<()> {
    file.write(footer.as_bytes(), offset)?;
    file.flush()
}

fn write_zeroes(file: &Stored<'_>, range: Range<u64>) -> Result<()> {
    fill(file, range, 0)
}

fn fill(file: &Stored<'_>, range: Range<u64>, byte: u8) -> Result<()> {
    let mut start = range.start;
    while start < range.end {
        let length = (range.end - start).min(PIECE);
        file.write(&vec![byte; length as usize], start)?;
        start += length;
    }
    Ok(())
}

/// Fails unless all bytes of `range` of the file are zeroes; they are those of the disk from `start` on.
fn refuse_data(file: &Stored<'_>, range: Range<u64>, start: u64) -> Result<()> {
    let mut place = range.start;
    while place < range.end {
        let mut piece = vec![0; (range.end - place).min(PIECE) as usize];
        file.read(&mut piece, place)?;
        if let Some(found) = piece.iter().position(|byte| *byte != 0) {
            return Err(data_behind(file, start + (place - range.start) + found as u64));
        }
        place += piece.len() as u64;
    }
    Ok(())
}

fn data_behind(file: &Stored<'_>, byte: u64) -> Error {
    file.refused("resize", format!("there is data behind the new end, at byte {byte}"))
}

#[cfg(test)]
mod tests;
