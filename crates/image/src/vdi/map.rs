//! The block map (VirtualBox `src/VBox/Storage/VDICore.h`: `VDIIMAGEBLOCKPOINTER`): [`BlockMap`].

use super::Reason;
use super::header::Header;
use crate::bytes::Bytes;
use crate::error::Result;
use crate::mapping::{Mapping, Piece, Place, See};
use crate::source::Source;
use crate::table::Words;
use std::convert::Infallible;
use std::ops::Range;
use zerocopy::little_endian::U32;

/// The block is not in this image: the parent's, and zeroes without one.
pub(super) const ABSENT: u32 = u32::MAX;
/// The block is all zeroes.
pub(super) const ZERO: u32 = u32::MAX - 1;
/// How many bytes of the map are kept.
const CACHE_BYTES: u64 = 1 << 20;

/// Which block is where; the map is read where it is looked at.
pub(super) struct BlockMap {
    source: Source,
    header: Header,
    words: Words<U32>,
}

impl BlockMap {
    /// The map of the image in `source`.
    pub(super) fn new(source: Source, header: Header) -> Self {
        Self { source, header, words: Words::new(CACHE_BYTES) }
    }

    /// Hands on every block's entry, in order.
    pub(super) fn entries(&self, see: &mut dyn FnMut(u64, u32)) -> Result<()> {
        let blocks = self.header.blocks();
        let mut block = 0;
        while block < blocks {
            for entry in self.entries_from(block)?.words() {
                see(block, entry.get());
                block += 1;
            }
        }
        Ok(())
    }

    fn entries_from(&self, block: u64) -> Result<crate::table::Run<U32>> {
        let run = self.words.from(&self.source, self.header.map_offset, self.header.blocks(), block)?;
        if run.words().is_empty() {
            return Err(self.source.error(None, Reason::Truncated { what: "block map" }));
        }
        Ok(run)
    }

    /// Where the bytes from `start` on lie that are in `block`, whose entry is `entry`.
    fn place(&self, block: u64, start: u64, entry: u32) -> Result<Place<Infallible>> {
        match entry {
            ABSENT => return Ok(Place::Absent),
            ZERO => return Ok(Place::Zero),
            _ => {}
        }
        let offset = self.header.block_offset(entry);
        let block_start = block * self.header.block;
        // The last block's tail behind the disk's end need not be in the file.
        let needed = (self.header.size - block_start).min(self.header.block);
        if !self.source.holds(offset, needed) {
            return Err(self.source.error(Some(offset), Reason::BlockOutside { block, place: entry }));
        }
        Ok(Place::Stored(offset + (start - block_start)))
    }
}

impl Mapping for BlockMap {
    type Packed = Infallible;

    fn source(&self) -> &Source {
        &self.source
    }

    fn size(&self) -> u64 {
        self.header.size
    }

    fn visit(&self, range: Range<u64>, see: See<Infallible>) -> Result<()> {
        let mut start = range.start;
        while start < range.end {
            let first = start / self.header.block;
            for (block, entry) in (first..).zip(self.entries_from(first)?.words()) {
                let end = ((block + 1) * self.header.block).min(range.end);
                see(Piece { range: start..end, place: self.place(block, start, entry.get())? })?;
                start = end;
                if start == range.end {
                    break;
                }
            }
        }
        Ok(())
    }

    fn read_packed(&self, packed: Infallible, _offset: u64, _buf: &mut [u8]) -> Result<()> {
        match packed {}
    }
}
