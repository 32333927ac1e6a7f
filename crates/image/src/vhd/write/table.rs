//! Writing a block allocation table piece by piece: [`TableWriter`].

use super::super::blocks::UNUSED;
use super::super::footer::SECTOR;
use crate::copy::{Files, Place};
use std::io;

/// How much of the table is written at once, in bytes.
const PIECE: usize = 256 << 10;

/// Writes a block allocation table from its first entry to its last.
pub(super) struct TableWriter {
    /// Where the table is, in bytes.
    offset: u64,
    /// How many entries it has, with those that fill its last sector.
    entries: u64,
    /// The block of which the entry comes next.
    next: u64,
    /// Entries up to there that are not yet written.
    pending: Vec<u8>,
}

impl TableWriter {
    /// A table for `blocks` blocks at byte `offset` of the file.
    pub(super) fn new(offset: u64, blocks: u64) -> Self {
        let entries = blocks.next_multiple_of(SECTOR / 4);
        Self { offset, entries, next: 0, pending: Vec::new() }
    }

    /// Where the table ends, in bytes.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.entries * 4
    }

    /// Notes that `block`, which lies behind all that were added before, is at `sector`.
    pub(super) fn add(&mut self, files: &dyn Files, block: u64, sector: u32) -> io::Result<()> {
        self.unused_until(files, block)?;
        self.pending.extend_from_slice(&sector.to_be_bytes());
        self.next += 1;
        if self.pending.len() < PIECE { Ok(()) } else { self.write(files) }
    }

    /// Writes the rest.
    pub(super) fn finish(&mut self, files: &dyn Files) -> io::Result<()> {
        self.unused_until(files, self.entries)?;
        self.write(files)
    }

    fn unused_until(&mut self, files: &dyn Files, block: u64) -> io::Result<()> {
        while self.next < block {
            let room = PIECE.saturating_sub(self.pending.len()) as u64 / 4;
            let count = (block - self.next).min(room);
            let [filling, ..] = UNUSED.to_be_bytes();
            self.pending.resize(self.pending.len() + count as usize * 4, filling);
            self.next += count;
            if self.pending.len() >= PIECE {
                self.write(files)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, files: &dyn Files) -> io::Result<()> {
        let offset = self.offset + self.next * 4 - self.pending.len() as u64;
        files.write(&self.pending, Place::first(offset))?;
        self.pending.clear();
        Ok(())
    }
}
