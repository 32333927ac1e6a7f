//! The block allocation table and the sector bitmaps ("Virtual Hard Disk Image Format Specification", Block Allocation
//! Table and Data Blocks): [`Blocks`].

use super::Reason;
use super::footer::SECTOR;
use super::header::Header;
use crate::bytes::Bytes;
use crate::cache::Cache;
use crate::error::Result;
use crate::mapping::{Mapping, Piece, Place, See};
use crate::source::Source;
use crate::table::Words;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;
use zerocopy::big_endian::U32;

/// The entry of a block that is not in the file.
pub(super) const UNUSED: u32 = u32::MAX;
/// How many bytes of the table, and how many of sector bitmaps, are kept.
const CACHE_BYTES: u64 = 1 << 20;

/// Which block is where, and which of its sectors were written.
pub(super) struct Blocks {
    source: Source,
    header: Header,
    /// The disk's size in bytes.
    size: u64,
    /// What a sector is that was never written: the parent's, or zeroes.
    unwritten: Place<Infallible>,
    table: Words<U32>,
    bitmaps: Cache<Arc<[u8]>>,
}

impl Blocks {
    /// The blocks of the image in `source`, which has a parent or not. Both the table and the bitmaps are read where
    /// they are looked at.
    pub(super) fn new(source: Source, header: Header, size: u64, has_parent: bool) -> Self {
        let unwritten = if has_parent { Place::Absent } else { Place::Zero };
        let bitmaps = Cache::new((CACHE_BYTES / header.bitmap()) as usize);
        Self { source, header, size, unwritten, table: Words::new(CACHE_BYTES), bitmaps }
    }

    /// Where the data of `block` begins in the file, whose entry is `sector`.
    fn data(&self, block: u64, sector: u32) -> Result<u64> {
        let data = u64::from(sector) * SECTOR + self.header.bitmap();
        // The last block's tail behind the disk's end need not be in the file.
        let needed = (self.size - block * self.header.block).min(self.header.block);
        if self.source.holds(data, needed) {
            return Ok(data);
        }
        let offset = self.header.table_offset + block * 4;
        Err(self.source.error(Some(offset), Reason::BlockOutside { block, sector }))
    }

    /// Hands on the pieces of `range`, which lies in `block`, whose entry is `sector`.
    fn visit_block(&self, block: u64, sector: u32, range: Range<u64>, see: See<Infallible>) -> Result<()> {
        if sector == UNUSED {
            return see(Piece { range, place: self.unwritten });
        }
        let data = self.data(block, sector)?;
        // QEMU does not look at the bitmap of an image without a parent, and sets all of it. The specification, Windows,
        // XenServer and libvhdi go by it: where nothing was written, a volume's former contents may stand.
        let bitmap = self.bitmaps.get_or_make(block, || -> Result<Arc<[u8]>> {
            Ok(self.source.bytes(data - self.header.bitmap(), self.header.bitmap())?.into())
        })?;
        let block_start = block * self.header.block;
        let end = (range.end - block_start).div_ceil(SECTOR);
        let mut start = range.start;
        while start < range.end {
            let within = start - block_start;
            let (written, run_end) = run(&bitmap, within / SECTOR, end);
            let place = if written { Place::Stored(data + within) } else { self.unwritten };
            let piece = start..(block_start + run_end * SECTOR).min(range.end);
            start = piece.end;
            see(Piece { range: piece, place })?;
        }
        Ok(())
    }
}

/// Whether the bit of sector `from` is set in `bitmap`, and where the run of sectors ends that are like it, at most
/// `end`. The first sector is the highest bit of the first byte.
fn run(bitmap: &[u8], from: u64, end: u64) -> (bool, u64) {
    let byte = |sector: u64| bitmap.get((sector / 8) as usize).copied().unwrap_or(0);
    let is_set = |sector: u64| byte(sector) & (0x80 >> (sector % 8)) != 0;
    let written = is_set(from);
    let same = if written { 0xff } else { 0 };
    let mut sector = from + 1;
    while sector < end {
        if sector.is_multiple_of(8) && byte(sector) == same {
            sector += 8;
        } else if is_set(sector) == written {
            sector += 1;
        } else {
            break;
        }
    }
    (written, sector.min(end))
}

impl Mapping for Blocks {
    type Packed = Infallible;

    fn source(&self) -> &Source {
        &self.source
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn visit(&self, range: Range<u64>, see: See<Infallible>) -> Result<()> {
        let mut start = range.start;
        while start < range.end {
            let first = start / self.header.block;
            let entries =
                self.table.from(&self.source, self.header.table_offset, self.header.blocks, first)?;
            if entries.words().is_empty() {
                let reason = Reason::Truncated { what: "block allocation table" };
                return Err(self.source.error(None, reason));
            }
            for (block, sector) in (first..).zip(entries.words()) {
                let end = ((block + 1) * self.header.block).min(range.end);
                self.visit_block(block, sector.get(), start..end, see)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_bits_begin_at_the_highest_and_end_where_they_change() {
        let bitmap = [0xff, 0xff, 0xe0, 0x00, 0x01];
        assert_eq!(run(&bitmap, 0, 40), (true, 19));
        assert_eq!(run(&bitmap, 17, 18), (true, 18));
        assert_eq!(run(&bitmap, 19, 40), (false, 39));
        assert_eq!(run(&bitmap, 39, 40), (true, 40));
        assert_eq!(run(&bitmap, 100, 200), (false, 200));
    }
}
