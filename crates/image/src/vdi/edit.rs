//! A VDI that is changed in place: [`Editor`].

use super::header::{Header, RawHeader};
use crate::bytes::{Bytes, Stored};
use crate::error::{Error, Result};
use crate::storage::Storage;
use std::ops::Range;
use std::path::Path;
use zerocopy::IntoBytes;

/// How much of the map or of a block is read or written at once, in bytes.
const PIECE: u64 = 256 << 10;

/// Reads and writes the parts of one image.
pub(super) struct Editor<'a> {
    file: Stored<'a>,
    raw: RawHeader,
    /// What the header in the file says.
    pub(super) header: Header,
}

impl<'a> Editor<'a> {
    pub(super) fn open(storage: &'a dyn Storage, path: &'a Path) -> Result<Self> {
        let file = Stored::new(storage, path)?;
        let (raw, header) = Header::read(&file)?;
        Ok(Self { file, raw, header })
    }

    /// The file's path, for messages.
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// How many blocks there is room for between the first one and the file's end, the last perhaps not whole.
    pub(super) fn places(&self) -> u64 {
        self.file.size().saturating_sub(self.header.data_offset).div_ceil(self.header.stride())
    }

    /// Hands on every block's entry, in the order of the disk.
    pub(super) fn entries(&self, see: &mut dyn FnMut(u64, u32)) -> Result<()> {
        let blocks = self.header.blocks();
        let mut bytes = vec![0; PIECE.min(blocks * 4) as usize];
        let mut block = 0;
        while block < blocks {
            let piece = bytes.get_mut(..PIECE.min((blocks - block) * 4) as usize).unwrap_or_default();
            let place = self.header.map_offset + block * 4;
            self.file.read(piece, place)?;
            for entry in piece.as_chunks::<4>().0 {
                see(block, u32::from_le_bytes(*entry));
                block += 1;
            }
        }
        Ok(())
    }

    /// Writes the entry of a block.
    pub(super) fn set_entry(&self, block: u64, place: u32) -> Result<()> {
        self.write(&place.to_le_bytes(), self.header.map_offset + block * 4)
    }

    /// Copies a block, with what stands before it, from one place to another that nothing uses.
    pub(super) fn copy_block(&self, from: u32, to: u32) -> Result<()> {
        let extra = self.header.extra;
        let (from, to) = (self.header.block_offset(from) - extra, self.header.block_offset(to) - extra);
        let length = self.file.size();
        let mut piece = vec![0; PIECE as usize];
        let mut done = 0;
        while done < self.header.stride() {
            let size = PIECE.min(self.header.stride() - done);
            // The last block of the file need not be whole.
            let there = length.saturating_sub(from + done).min(size) as usize;
            let piece = piece.get_mut(..size as usize).unwrap_or_default();
            let (data, behind) = piece.split_at_mut(there);
            self.file.read(data, from + done)?;
            behind.fill(0);
            self.write(piece, to + done)?;
            done += size;
        }
        Ok(())
    }

    /// Whether bytes of the disk within a block in `place` are all zero; makes them so where `clear` says.
    pub(super) fn is_zero(&self, place: u32, within: Range<u64>, clear: bool) -> Result<bool> {
        let start = self.header.block_offset(place);
        let length = self.file.size();
        // The last block of the file need not be whole.
        let end = (start + within.end).min(length);
        let (mut offset, mut zero) = (start + within.start, true);
        let mut bytes = vec![0; PIECE as usize];
        while offset < end {
            let piece = bytes.get_mut(..PIECE.min(end - offset) as usize).unwrap_or_default();
            self.file.read(piece, offset)?;
            if !block::is_zero(piece) {
                zero = false;
                if clear {
                    piece.fill(0);
                    self.write(piece, offset)?;
                }
            }
            offset += piece.len() as u64;
        }
        Ok(zero)
    }

    pub(super) fn write(&self, data: &[u8], offset: u64) -> Result<()> {
        self.file.write(data, offset)
    }

    /// Makes durable what was written, so that what is written next comes after it.
    pub(super) fn flush(&self) -> Result<()> {
        self.file.flush()
    }

    pub(super) fn set_len(&self, length: u64) -> Result<()> {
        self.file.set_len(length)
    }

    /// Changes the header, which lies in one sector and so is written as a whole or not at all. Everything written
    /// before is durable before it, and the header is when this returns.
    pub(super) fn switch(&mut self, change: impl FnOnce(&mut RawHeader)) -> Result<()> {
        self.flush()?;
        change(&mut self.raw);
        self.write(self.raw.as_bytes(), 0)?;
        self.flush()?;
        (self.raw, self.header) = Header::read(&self.file)?;
        Ok(())
    }

    /// The error that the image cannot be changed so.
    pub(super) fn refused(&self, operation: &'static str, why: impl Into<String>) -> Error {
        self.file.refused(operation, why)
    }
}
