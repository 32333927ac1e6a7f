//! Writing a new block allocation table piece by piece: [`TableWriter`].

use super::bat::{ENTRY, Entry};
use super::region::Region;
use crate::copy::{Files, Place};
use std::io;

/// Entries that are written together.
const PIECE: u64 = 4096;

/// Writes the entries of a table that are not all zero. The file is new: what is not written reads as zeroes, blocks
/// that are not present.
pub(super) struct TableWriter {
    region: Region,
    /// Which piece is being filled, and its entries.
    current: Option<(u64, Vec<u64>)>,
}

impl TableWriter {
    /// The writer of the table in `region`.
    pub(super) fn new(region: Region) -> Self {
        Self { region, current: None }
    }

    /// Where the table is.
    pub(super) fn region(&self) -> Region {
        self.region
    }

    /// Sets the entry `number`; numbers must ascend.
    pub(super) fn set(&mut self, files: &dyn Files, number: u64, entry: Entry) -> io::Result<()> {
        let index = number / PIECE;
        if self.current.as_ref().is_none_or(|(current, _)| *current != index) {
            self.finish(files)?;
        }
        let (_, entries) = self.current.get_or_insert_with(|| (index, vec![0; PIECE as usize]));
        if let Some(slot) = entries.get_mut((number % PIECE) as usize) {
            *slot = entry.0;
        }
        Ok(())
    }

    /// Writes the piece that is being filled.
    pub(super) fn finish(&mut self, files: &dyn Files) -> io::Result<()> {
        let Some((index, entries)) = self.current.take() else { return Ok(()) };
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        files.write(&bytes, Place::first(self.region.offset + index * PIECE * ENTRY))
    }
}
