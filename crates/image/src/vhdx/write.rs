//! Laying out a new VHDX: [`VhdxLayout`].
//!
//! The headers and region tables, the log, the metadata and the block allocation table come first, then the blocks in
//! the order of the disk, everything at multiples of 1 MiB. The table is written as it fills, and the headers last: a
//! file that was not finished is no image.
//!
//! A block is all in the file as soon as one of its units is, the others being holes. In a differencing disk it is
//! partially present instead, and the sector bitmap says which of its sectors are the image's own.

use super::bat::{BITMAP, BLOCK_SIZES, Entry, Geometry};
use super::file::MIB;
use super::header::{self, Header, LogPlace, SECTION};
use super::locator::ParentLocator;
use super::region::{self, Region};
use super::table::TableWriter;
use super::{identifier, metadata};
use crate::copy::{Files, Layout, Place};
use crate::create::{NewImage, NewParent};
use crate::error::{Error, Result};
use std::io;
use std::ops::Range;
use uuid::Uuid;
use zerocopy::IntoBytes;

/// Bytes of a logical sector: what every guest boots from.
const LOGICAL_SECTOR: u32 = 512;
/// The unit in which zeroes are left out within a block: holes of the file, and whole bytes of a sector bitmap.
const UNIT: u64 = 4096;
/// Where the log is: as long as the format allows at least.
const LOG: LogPlace = LogPlace { offset: SECTION, length: MIB };
/// Where the metadata is.
const METADATA: Region = Region { offset: 2 * MIB, length: MIB };
/// Where the block allocation table begins, in bytes.
const TABLE: u64 = 3 * MIB;
/// The block size that Hyper-V gives a new dynamic disk, in bytes.
const LARGEST_BLOCK: u64 = 32 * MIB;
/// How many blocks a disk may have, with smaller blocks than that, so that its table stays at 1 MiB.
const BLOCKS: u64 = MIB / 8 - 64;

/// Which kind of disk is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Dynamic,
    Fixed,
    Differencing,
}

/// Where the blocks of a new image go.
pub(super) struct VhdxLayout {
    name: String,
    kind: Kind,
    geometry: Geometry,
    parent: Option<ParentLocator>,
    /// Whether room is reserved for all of a fixed image.
    preallocate: bool,
    table: TableWriter,
    /// The block to which data was added last.
    current: Option<Block>,
    /// The last chunk that has a sector bitmap block, and where that is in the file.
    bitmap: Option<(u64, u64)>,
    /// The first unused byte of the file.
    end: u64,
}

/// A block that is being filled.
struct Block {
    number: u64,
    /// Where it is in the file, once it is there.
    offset: Option<u64>,
    /// Which sectors are the image's own, one a bit. Only used in a differencing disk.
    present: Vec<u8>,
}

impl VhdxLayout {
    /// The layout of an image of a disk of `size` bytes, rounded up to whole sectors.
    pub(super) fn new(size: u64, name: &str, new: &NewImage) -> Result<Self> {
        Self::with_sector(size, name, new, LOGICAL_SECTOR)
    }

    /// [`new`](Self::new), with logical sectors of `sector` bytes.
    pub(super) fn with_sector(size: u64, name: &str, new: &NewImage, sector: u32) -> Result<Self> {
        new.refuse_compression()?;
        new.refuse_data_file()?;
        let parent = new.parent.as_ref().map(|parent| locator(new, parent)).transpose()?;
        let kind = match (new.subformat()?, &parent) {
            ("fixed", Some(_)) => return Err(new.refused("parent for a fixed disk")),
            ("fixed", None) => Kind::Fixed,
            (_, Some(_)) => Kind::Differencing,
            (_, None) => Kind::Dynamic,
        };
        if new.preallocate && kind != Kind::Fixed {
            return Err(new.refused("preallocation of a dynamic disk; the subformat fixed has"));
        }
        let too_large = || Error::TooLarge { size, format: "vhdx" };
        let rounded = size.checked_next_multiple_of(sector.into()).ok_or_else(too_large)?;
        let block = block_size(rounded, new)?;
        let geometry = Geometry::new(rounded, block, sector, parent.is_some()).map_err(|_| too_large())?;
        let table = Region { offset: TABLE, length: geometry.table_length() };
        let end = table.offset + table.length;
        Ok(Self {
            name: name.to_owned(),
            kind,
            geometry,
            parent,
            preallocate: new.preallocate,
            table: TableWriter::new(table),
            current: None,
            bitmap: None,
            end,
        })
    }

    /// Where the blocks of a fixed disk begin, one behind the other, in bytes.
    fn blocks_start(&self) -> u64 {
        self.table.region().offset + self.table.region().length
    }

    fn allocate(&mut self, length: u64) -> u64 {
        let offset = self.end;
        self.end += length;
        offset
    }

    /// Makes `number` the block to which data is added.
    fn turn_to(&mut self, files: &dyn Files, number: u64) -> io::Result<()> {
        if self.current.as_ref().is_some_and(|block| block.number == number) {
            return Ok(());
        }
        self.close(files)?;
        let bits = if self.kind == Kind::Differencing { self.geometry.block_bitmap() } else { 0 };
        self.current = Some(Block { number, offset: None, present: vec![0; bits as usize] });
        Ok(())
    }

    /// Notes that `range` of the disk, which lies in the current block, is the image's own.
    fn mark(&mut self, range: &Range<u64>) {
        let (block, sector) = (self.geometry.block(), self.geometry.sector());
        let sectors =
            range.start % block / sector..(range.end - range.start / block * block).div_ceil(sector);
        let Some(current) = &mut self.current else { return };
        for number in sectors {
            if let Some(byte) = current.present.get_mut((number / 8) as usize) {
                *byte |= 1 << (number % 8);
            }
        }
    }

    /// Enters the current block, which will not change any more, into the table.
    fn close(&mut self, files: &dyn Files) -> io::Result<()> {
        let Some(block) = self.current.take() else { return Ok(()) };
        let range = self.geometry.block_range(block.number);
        let sectors = (range.end - range.start) / self.geometry.sector();
        let present: u64 = block.present.iter().map(|byte| u64::from(byte.count_ones())).sum();
        let whole = self.kind != Kind::Differencing || present == sectors;
        let entry = match block.offset {
            Some(offset) if whole => Entry::new(Entry::FULLY_PRESENT, offset),
            None if whole => Entry::ZERO,
            offset => {
                let offset = offset.unwrap_or_else(|| self.allocate(self.geometry.block()));
                self.write_bitmap(files, &block)?;
                Entry::new(Entry::PARTIALLY_PRESENT, offset)
            }
        };
        self.enter(files, block.number, entry)
    }

    /// Writes the part of a sector bitmap block that is about `block`.
    fn write_bitmap(&mut self, files: &dyn Files, block: &Block) -> io::Result<()> {
        let chunk = block.number / self.geometry.chunk_ratio();
        let offset = match self.bitmap {
            Some((last, offset)) if last == chunk => offset,
            _ => {
                self.enter_bitmap(files)?;
                let offset = self.allocate(BITMAP);
                self.bitmap = Some((chunk, offset));
                offset
            }
        };
        files.write(&block.present, Place::first(offset + self.geometry.bitmap_offset(block.number)))
    }

    /// Enters a payload block into the table, and before it the sector bitmap block of an earlier chunk: entries are
    /// written in their order.
    fn enter(&mut self, files: &dyn Files, block: u64, entry: Entry) -> io::Result<()> {
        let chunk = block / self.geometry.chunk_ratio();
        if self.bitmap.is_some_and(|(last, _)| last < chunk) {
            self.enter_bitmap(files)?;
        }
        self.table.set(files, self.geometry.payload_entry(block), entry)
    }

    fn enter_bitmap(&mut self, files: &dyn Files) -> io::Result<()> {
        let Some((chunk, offset)) = self.bitmap.take() else { return Ok(()) };
        let entry = Entry::new(Entry::BITMAP_PRESENT, offset);
        self.table.set(files, self.geometry.bitmap_entry(chunk), entry)
    }

    /// Enters every block of a fixed disk into the table.
    fn enter_fixed(&mut self, files: &dyn Files) -> io::Result<()> {
        let start = self.blocks_start();
        for block in 0..self.geometry.blocks() {
            let entry = Entry::new(Entry::FULLY_PRESENT, start + block * self.geometry.block());
            self.table.set(files, self.geometry.payload_entry(block), entry)?;
        }
        self.end = start + self.geometry.blocks() * self.geometry.block();
        if self.preallocate && self.geometry.size() > 0 {
            files.allocate(0, start..start + self.geometry.size())?;
        }
        Ok(())
    }
}

/// The locator of the parent of a new image.
fn locator(new: &NewImage, parent: &NewParent) -> Result<ParentLocator> {
    let content_id = parent.content_id.as_deref().and_then(|id| Uuid::try_parse(id).ok());
    match content_id {
        Some(content_id) if parent.format == "vhdx" => Ok(ParentLocator::new(&parent.name, content_id)),
        _ => Err(new.refused("parent that is not a VHDX")),
    }
}

/// Bytes of the blocks of a new disk of `size` bytes.
///
/// Blocks are as small as a table of 1 MiB allows, at most as large as Hyper-V's own: where files have no holes (they
/// have none on Windows), a block takes all its room as soon as a byte of it is written. Microsoft, too, advises
/// blocks of 1 MiB for Linux guests, whose filesystems spread what they write.
fn block_size(size: u64, new: &NewImage) -> Result<u32> {
    let block = match new.cluster_size {
        None => size.div_ceil(BLOCKS).next_power_of_two().clamp(MIB, LARGEST_BLOCK),
        Some(bytes) if BLOCK_SIZES.contains(&bytes) && bytes.is_power_of_two() => bytes,
        Some(bytes) => {
            let what = format!("block size of {bytes} bytes; powers of two from 1 MiB to 256 MiB");
            return Err(new.refused(what));
        }
    };
    Ok(block as u32)
}

impl Layout for VhdxLayout {
    fn files(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn unit(&self) -> u64 {
        UNIT
    }

    fn place(&mut self, files: &dyn Files, run: Range<u64>) -> io::Result<Place> {
        let (number, start) = (run.start / self.geometry.block(), run.start % self.geometry.block());
        if self.kind == Kind::Fixed {
            return Ok(Place::first(self.blocks_start() + run.start));
        }
        self.turn_to(files, number)?;
        self.mark(&run);
        let offset = match self.current.as_ref().and_then(|block| block.offset) {
            Some(offset) => offset,
            None => self.allocate(self.geometry.block()),
        };
        if let Some(block) = &mut self.current {
            block.offset = Some(offset);
        }
        Ok(Place::first(offset + start))
    }

    fn zero(&mut self, files: &dyn Files, range: Range<u64>) -> io::Result<()> {
        if self.kind != Kind::Differencing {
            return Ok(());
        }
        let mut start = range.start;
        let limit = range.end.next_multiple_of(self.geometry.sector());
        while start < limit {
            let number = start / self.geometry.block();
            let block = self.geometry.block_range(number);
            let end = block.end.min(limit);
            if (start..end) == block {
                self.close(files)?;
                self.enter(files, number, Entry::ZERO)?;
            } else {
                self.turn_to(files, number)?;
                self.mark(&(start..end));
            }
            start = end;
        }
        Ok(())
    }

    fn finish(&mut self, files: &dyn Files) -> io::Result<()> {
        self.close(files)?;
        self.enter_bitmap(files)?;
        if self.kind == Kind::Fixed {
            self.enter_fixed(files)?;
        }
        self.table.finish(files)?;
        let metadata = metadata::region(&self.geometry, self.kind == Kind::Fixed, self.parent.as_ref());
        files.write(&metadata, Place::first(METADATA.offset))?;
        let regions = region::table(self.table.region(), METADATA);
        for offset in region::OFFSETS {
            files.write(&regions, Place::first(offset))?;
        }
        // The last block is whole in the file, though it may not be written to its end.
        files.set_len(0, self.end)?;
        let header = Header::new(LOG);
        for (number, offset) in (1..).zip(header::OFFSETS) {
            files.write(header.numbered(number).as_bytes(), Place::first(offset))?;
        }
        let creator = concat!("Anyvisor ", env!("CARGO_PKG_VERSION"));
        files.write(&identifier::identifier(creator), Place::first(0))
    }
}
