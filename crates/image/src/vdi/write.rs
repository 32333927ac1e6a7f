//! Laying out a new VDI: [`VdiLayout`].
//!
//! The header's sector, the block map at 1 MiB, then blocks of 1 MiB in the order of the disk, aligned to their size as
//! VirtualBox aligns them. The map is written as it fills and the header last.

use super::header::{Kind, RawHeader};
use super::map::ABSENT;
use crate::copy::{Files, Layout, Place};
use crate::create::NewImage;
use crate::error::{Error, Result};
use std::io;
use std::ops::Range;
use uuid::Uuid;
use zerocopy::IntoBytes;

/// Bytes of a block: the only size that QEMU and 7-Zip read.
pub(super) const BLOCK: u64 = 1 << 20;
/// Where the block map begins, in bytes.
const MAP_OFFSET: u64 = 1 << 20;
/// The unit in which zeroes are left out within a block: holes of the file.
const UNIT: u64 = 4096;
/// How much of the map is written at once, in bytes.
const MAP_PIECE: usize = 256 << 10;

/// Where the blocks of a new image go.
pub(super) struct VdiLayout {
    name: String,
    kind: Kind,
    /// The disk's size in bytes: whole sectors.
    size: u64,
    data_offset: u32,
    /// Whether room is reserved for all of a fixed image.
    preallocate: bool,
    /// The identifier that the image is to have.
    identifier: Option<Uuid>,
    map: MapWriter,
    /// How many blocks the file has.
    allocated: u32,
}

impl VdiLayout {
    /// The layout of an image of a disk of `size` bytes, rounded up to whole sectors.
    pub(super) fn new(size: u64, name: &str, new: &NewImage) -> Result<Self> {
        let kind = if new.subformat()? == Kind::Fixed.name() { Kind::Fixed } else { Kind::Dynamic };
        if new.preallocate && kind == Kind::Dynamic {
            return Err(new.refused("preallocation of a dynamic image; the subformat fixed has"));
        }
        if new.cluster_size.is_some_and(|bytes| bytes != BLOCK) {
            return Err(new.refused("block size but 1 MiB"));
        }
        let too_large = || Error::TooLarge { size, format: "vdi" };
        let rounded = size.checked_next_multiple_of(512).ok_or_else(too_large)?;
        let data_offset = data_offset(MAP_OFFSET, rounded.div_ceil(BLOCK)).ok_or_else(too_large)?;
        let map = MapWriter { next: 0, pending: Vec::new() };
        let (name, preallocate, identifier) = (name.to_owned(), new.preallocate, new.identifier);
        Ok(Self { name, kind, size: rounded, data_offset, preallocate, identifier, map, allocated: 0 })
    }

    fn blocks(&self) -> u64 {
        self.size.div_ceil(BLOCK)
    }

    /// The place in the file of the disk's `block`, which is the last that was placed or a new one.
    fn block(&mut self, files: &dyn Files, block: u64) -> io::Result<u64> {
        if self.kind == Kind::Fixed {
            return Ok(block);
        }
        if block >= self.map.next {
            self.map.absent_until(files, block)?;
            self.map.add(files, self.allocated)?;
            self.allocated += 1;
        }
        Ok(u64::from(self.allocated) - 1)
    }
}

/// Where data begins behind a map at `map_offset` for `blocks` blocks, in bytes; `None` when there are too many.
pub(super) fn data_offset(map_offset: u64, blocks: u64) -> Option<u32> {
    u32::try_from(map_offset.checked_add(blocks.checked_mul(4)?)?.checked_next_multiple_of(BLOCK)?).ok()
}

/// Writes the block map piece by piece.
struct MapWriter {
    /// The block of which the entry comes next.
    next: u64,
    /// Entries up to there that are not yet written.
    pending: Vec<u8>,
}

impl MapWriter {
    fn add(&mut self, files: &dyn Files, entry: u32) -> io::Result<()> {
        self.pending.extend_from_slice(&entry.to_le_bytes());
        self.next += 1;
        if self.pending.len() < MAP_PIECE { Ok(()) } else { self.write(files) }
    }

    /// Notes that no block before `block` is there of which the entry was not yet added.
    fn absent_until(&mut self, files: &dyn Files, block: u64) -> io::Result<()> {
        while self.next < block {
            let room = (MAP_PIECE.saturating_sub(self.pending.len())) as u64 / 4;
            let count = (block - self.next).min(room);
            self.pending.resize(self.pending.len() + count as usize * 4, ABSENT.to_le_bytes()[0]);
            self.next += count;
            if self.pending.len() >= MAP_PIECE {
                self.write(files)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, files: &dyn Files) -> io::Result<()> {
        let offset = MAP_OFFSET + self.next * 4 - self.pending.len() as u64;
        files.write(&self.pending, Place::first(offset))?;
        self.pending.clear();
        Ok(())
    }
}

impl Layout for VdiLayout {
    fn files(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn unit(&self) -> u64 {
        UNIT
    }

    fn place(&mut self, files: &dyn Files, run: Range<u64>) -> io::Result<Place> {
        // A run lies within a chunk, and a chunk is a block.
        let place = self.block(files, run.start / BLOCK)?;
        Ok(Place::first(u64::from(self.data_offset) + place * BLOCK + run.start % BLOCK))
    }

    fn finish(&mut self, files: &dyn Files) -> io::Result<()> {
        let blocks = self.blocks();
        if self.kind == Kind::Fixed {
            for block in 0..blocks {
                self.map.add(files, block as u32)?;
            }
            self.allocated = blocks as u32;
        }
        self.map.absent_until(files, blocks)?;
        self.map.write(files)?;
        let data = u64::from(self.data_offset);
        let end = data + u64::from(self.allocated) * BLOCK;
        if self.preallocate && end > data {
            files.allocate(0, data..end)?;
        }
        files.set_len(0, end)?;
        let mut header = RawHeader::new(
            self.kind,
            self.size,
            MAP_OFFSET as u32,
            self.data_offset,
            BLOCK as u32,
            self.allocated,
        );
        if let Some(identifier) = self.identifier {
            header.identify(identifier);
        }
        files.write(header.as_bytes(), Place::first(0))
    }
}

const _: () = assert!(BLOCK == crate::copy::CHUNK && MAP_PIECE.is_multiple_of(4));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_beyond_the_format_is_refused() {
        let new = NewImage::new(&super::super::FORMAT);
        // What is left of 4 GiB in front of the first block holds the map.
        let most = ((4095 << 20) - MAP_OFFSET) / 4 * BLOCK;
        assert!(VdiLayout::new(most, "x", &new).is_ok());
        for size in [most + 1, u64::MAX] {
            assert!(matches!(VdiLayout::new(size, "x", &new), Err(Error::TooLarge { .. })));
        }
    }
}
