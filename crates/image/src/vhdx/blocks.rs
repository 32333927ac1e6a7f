//! Where the payload blocks are: the table and the sector bitmaps as a [`Mapping`] ([`Blocks`]).

use super::Reason;
use super::bat::{self, BITMAP, ENTRY, Entry, Geometry, State};
use super::file::File;
use super::header::SECTION;
use super::region::Region;
use crate::bytes::Bytes;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::mapping::{Mapping, Piece, Place, See};
use crate::source::Source;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

/// Entries of the table that are read and kept together.
const SLICE: u64 = 4096;
/// Bytes of a sector bitmap that are read and kept together.
const BITMAP_SLICE: u64 = 4096;
/// How many bytes of the table are kept, and how many of sector bitmaps.
const CACHE: u64 = 4 << 20;

/// The image's own blocks.
pub(super) struct Blocks {
    source: Source,
    geometry: Geometry,
    table: Region,
    slices: Cache<Arc<[Entry]>>,
    bitmaps: Cache<Arc<[u8]>>,
}

impl Blocks {
    /// The blocks of the image in `source`, whose log was replayed. Its table is long enough, and read when needed.
    pub(super) fn new(source: Source, geometry: Geometry, table: Region) -> Self {
        let slices = Cache::new((CACHE / ENTRY / SLICE) as usize);
        Self { source, geometry, table, slices, bitmaps: Cache::new((CACHE / BITMAP_SLICE) as usize) }
    }

    fn error(&self, entry: u64, reason: Reason) -> Error {
        self.source.damaged(self.table.offset + entry * ENTRY, reason)
    }

    fn slice(&self, number: u64) -> Result<Arc<[Entry]>> {
        self.slices.get_or_make(number, || {
            bat::entries(&self.source, self.table, number * SLICE, SLICE).map(Arc::from)
        })
    }

    /// Hands on the pieces of `range`, all of which lies in one block.
    fn visit_block(&self, block: u64, entry: Entry, range: Range<u64>, see: See<Infallible>) -> Result<()> {
        let start = range.start % self.geometry.block();
        let place = match entry.state() {
            State::NotPresent => Place::Absent,
            State::Undefined | State::Zero | State::Unmapped => Place::Zero,
            State::FullyPresent => Place::Stored(self.data(block, entry)? + start),
            State::PartiallyPresent if self.geometry.has_parent() => {
                let data = self.data(block, entry)?;
                return self.visit_sectors(block, data, range, see);
            }
            State::PartiallyPresent => return Err(self.state_error(block, 7)),
            State::Reserved(state) => return Err(self.state_error(block, state)),
        };
        see(Piece { range, place })
    }

    /// How many blocks behind `block`, whose entry is the first of `entries`, are not present as it is not: disks of
    /// many TiB are mostly that.
    fn alike(&self, block: u64, entries: &[Entry]) -> u64 {
        let ratio = self.geometry.chunk_ratio();
        let of_chunk = entries.iter().take((ratio - block % ratio) as usize);
        (of_chunk.take_while(|entry| **entry == Entry::default()).count() as u64).saturating_sub(1)
    }

    fn state_error(&self, block: u64, state: u8) -> Error {
        self.error(self.geometry.payload_entry(block), Reason::BlockState { block, state })
    }

    /// Where the block's data begins, if it can be there.
    fn data(&self, block: u64, entry: Entry) -> Result<u64> {
        let (offset, range) = (entry.offset(), self.geometry.block_range(block));
        // The last block of a disk need not be whole.
        if offset < SECTION || !self.source.holds(offset, range.end - range.start) {
            return Err(self.error(self.geometry.payload_entry(block), Reason::Block { block }));
        }
        Ok(offset)
    }

    /// Hands on the pieces of `range` of a partially present block, which begins at byte `data` of the file.
    fn visit_sectors(&self, block: u64, data: u64, range: Range<u64>, see: See<Infallible>) -> Result<()> {
        let bits = self.bitmap(block)?;
        let (first, sector) = (block * self.geometry.block(), self.geometry.sector());
        let mut start = range.start;
        while start < range.end {
            let number = (start - first) / sector;
            let (present, after) = self.run(bits, number, (range.end - first).div_ceil(sector))?;
            let end = (first + after * sector).min(range.end);
            let place = if present { Place::Stored(data + (start - first)) } else { Place::Absent };
            see(Piece { range: start..end, place })?;
            start = end;
        }
        Ok(())
    }

    /// Where in the file the bits of a block begin, in bytes.
    fn bitmap(&self, block: u64) -> Result<u64> {
        let number = self.geometry.bitmap_entry(block / self.geometry.chunk_ratio());
        let slice = self.slice(number / SLICE)?;
        let entry = slice.get((number % SLICE) as usize).copied().unwrap_or_default();
        let offset = entry.offset();
        if !entry.is_bitmap_present() || offset < SECTION || !self.source.holds(offset, BITMAP) {
            return Err(self.error(number, Reason::Bitmap { block }));
        }
        Ok(offset + self.geometry.bitmap_offset(block))
    }

    /// Whether the sector `number` of a block is present, and up to which sector, at most `limit`, all are or none is.
    fn run(&self, bits: u64, number: u64, limit: u64) -> Result<(bool, u64)> {
        let mut byte = self.bitmap_byte(bits + number / 8)?;
        let present = byte >> (number % 8) & 1 != 0;
        let (whole, mut next) = (if present { 0xff } else { 0 }, number + 1);
        while next < limit {
            if next.is_multiple_of(8) {
                byte = self.bitmap_byte(bits + next / 8)?;
                if byte == whole {
                    next += 8;
                    continue;
                }
            }
            if (byte >> (next % 8) & 1 != 0) != present {
                break;
            }
            next += 1;
        }
        Ok((present, next.min(limit)))
    }

    fn bitmap_byte(&self, offset: u64) -> Result<u8> {
        let slice = self.bitmaps.get_or_make(offset / BITMAP_SLICE, || {
            let start = offset / BITMAP_SLICE * BITMAP_SLICE;
            self.source.bytes(start, BITMAP_SLICE).map(Arc::<[u8]>::from)
        })?;
        Ok(slice.get((offset % BITMAP_SLICE) as usize).copied().unwrap_or(0))
    }
}

impl Mapping for Blocks {
    type Packed = Infallible;

    fn source(&self) -> &Source {
        &self.source
    }

    fn size(&self) -> u64 {
        self.geometry.size()
    }

    fn visit(&self, range: Range<u64>, see: See<Infallible>) -> Result<()> {
        let mut slice: Option<(u64, Arc<[Entry]>)> = None;
        let mut start = range.start;
        while start < range.end {
            let block = start / self.geometry.block();
            let number = self.geometry.payload_entry(block);
            let entries = match slice.take() {
                Some((index, entries)) if index == number / SLICE => entries,
                _ => self.slice(number / SLICE)?,
            };
            let rest = entries.get((number % SLICE) as usize..).unwrap_or_default();
            let entry = rest.first().copied().unwrap_or_default();
            let last = block + self.alike(block, rest);
            let end = self.geometry.block_range(last).end.min(range.end);
            self.visit_block(block, entry, start..end, see)?;
            slice = Some((number / SLICE, entries));
            start = end;
        }
        Ok(())
    }

    fn read_packed(&self, packed: Infallible, _offset: u64, _buf: &mut [u8]) -> Result<()> {
        match packed {}
    }
}
