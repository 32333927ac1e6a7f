//! Laying out new VHDs: [`FixedLayout`] and [`BlockLayout`], by [`create`].

mod fixed;
mod table;

use super::blocks::UNUSED;
use super::footer::{self, FOOTER, Kind, RawFooter, SECTOR};
use super::header::{HEADER, RawHeader, bitmap_length};
use super::parent::Locators;
use crate::copy::{Files, Layout, Place};
use crate::create::{NewImage, NewParent};
use crate::error::{Error, Result};
use fixed::FixedLayout;
use std::io;
use std::ops::Range;
use table::TableWriter;
use uuid::Uuid;
use zerocopy::IntoBytes;

/// The largest disk that the format and Hyper-V have, in bytes.
pub(super) const MAX_SIZE: u64 = 2040 << 30;
/// How far a file can be reached by the table, in bytes.
const MAX_FILE: u64 = UNUSED as u64 * SECTOR;
/// Bytes of a block where nothing else is asked for: what every product makes.
const BLOCK: u64 = 2 << 20;
/// The sizes of blocks that are written, in bytes. A run of the copy engine must lie within one.
const BLOCKS: [u64; 2] = [1 << 20, 2 << 20];
/// What the data of a block is aligned to in the file, in bytes: then filesystems can share it. Its bitmap stands
/// right before.
const ALIGNMENT: u64 = 4096;
/// The unit in which zeroes are left out within a block: holes of the file.
const UNIT: u64 = 4096;

/// The layout of a new image of a disk of `size` bytes, rounded up to whole sectors.
pub(super) fn create(size: u64, name: &str, new: &NewImage) -> Result<Box<dyn Layout>> {
    new.refuse_compression()?;
    new.refuse_data_file()?;
    let is_fixed = new.subformat()? == Kind::Fixed.name();
    let rounded = size.checked_next_multiple_of(SECTOR).filter(|rounded| *rounded <= MAX_SIZE);
    let rounded = rounded.ok_or(Error::TooLarge { size, format: "vhd" })?;
    if is_fixed {
        if new.parent.is_some() {
            return Err(new.refused("fixed image with a parent"));
        }
        new.refuse_cluster_size()?;
        return Ok(Box::new(FixedLayout::new(rounded, name, new.preallocate)));
    }
    if new.preallocate {
        return Err(new.refused("preallocation of an image that grows; the subformat fixed has"));
    }
    Ok(Box::new(BlockLayout::new(rounded, name, new)?))
}

/// Where the blocks of a new dynamic or differencing image go: a copy of the footer, the header, the names of the parent,
/// the block allocation table, blocks in the order of the disk, the footer.
///
/// The table is written as it fills, and the copy of the footer last: without it, a file that was not finished is
/// nothing. All bits of a dynamic image's bitmaps are set, as by Windows and QEMU: 7-Zip and QEMU read what has been
/// written to a block and the zeroes around it alike.
struct BlockLayout {
    name: String,
    footer: RawFooter,
    header: RawHeader,
    /// The names of the parent, behind the header.
    names: Vec<u8>,
    is_differencing: bool,
    /// Bytes of a block.
    block: u64,
    table: TableWriter,
    /// The block that is being filled.
    current: Option<Current>,
    /// The first unused byte of the file.
    end: u64,
}

/// A block that is being filled.
struct Current {
    block: u64,
    /// Where its data begins in the file, in bytes.
    data: u64,
    bitmap: Vec<u8>,
}

impl BlockLayout {
    fn new(size: u64, name: &str, new: &NewImage) -> Result<Self> {
        let block = new.cluster_size.unwrap_or(BLOCK);
        if !BLOCKS.contains(&block) {
            return Err(
                new.refused(format!("block of {block} bytes to write; there are 1048576 and 2097152"))
            );
        }
        let locators = new.parent.as_ref().map(|parent| locators(size, new, parent)).transpose()?;
        let names_offset = FOOTER + HEADER;
        let table_offset = names_offset + locators.as_ref().map_or(0, |(locators, _)| locators.room());
        let blocks = size.div_ceil(block);
        let mut header = RawHeader::new(table_offset, blocks as u32, block as u32);
        let mut names = Vec::new();
        if let (Some((locators, parent_id)), Some(parent)) = (&locators, &new.parent) {
            names = locators.note(&mut header, names_offset);
            header.parent_id = parent_id.into_bytes();
            header.parent_timestamp = footer::timestamp(parent.modified).into();
        }
        let table = TableWriter::new(table_offset, blocks);
        let end = table.end();
        // A full disk of the largest size still fits.
        if blocks.saturating_mul(block + ALIGNMENT.max(bitmap_length(block))) > MAX_FILE - end - ALIGNMENT {
            return Err(Error::TooLarge { size, format: "vhd" });
        }
        let is_differencing = new.parent.is_some();
        let kind = if is_differencing { Kind::Differencing } else { Kind::Dynamic };
        let footer = RawFooter::new(kind, size);
        let name = name.to_owned();
        Ok(Self { name, footer, header, names, is_differencing, block, table, current: None, end })
    }

    /// The block of the disk that is being filled from now on: the current one, or a new one behind it.
    fn block(&mut self, files: &dyn Files, block: u64) -> io::Result<&mut Current> {
        if self.current.as_ref().is_some_and(|current| current.block != block) {
            self.close(files)?;
        }
        if self.current.is_none() {
            let length = bitmap_length(self.block);
            let data = (self.end + length).next_multiple_of(ALIGNMENT);
            self.table.add(files, block, ((data - length) / SECTOR) as u32)?;
            self.end = data + self.block;
            let bits = if self.is_differencing { 0 } else { 0xff };
            self.current = Some(Current { block, data, bitmap: vec![bits; length as usize] });
        }
        self.current.as_mut().ok_or_else(|| io::Error::other("there is no current block"))
    }

    /// Writes the bitmap of the current block.
    fn close(&mut self, files: &dyn Files) -> io::Result<()> {
        match self.current.take() {
            None => Ok(()),
            Some(Current { data, bitmap, .. }) => {
                files.write(&bitmap, Place::first(data - bitmap.len() as u64))
            }
        }
    }

    /// Sets the bits of the sectors of `range`, which lies in one block; answers where it begins in the file.
    fn write(&mut self, files: &dyn Files, range: Range<u64>) -> io::Result<u64> {
        let size = self.block;
        let block = range.start / size;
        let current = self.block(files, block)?;
        let within = range.start - block * size;
        let end = within + (range.end - range.start);
        for sector in within / SECTOR..end.div_ceil(SECTOR) {
            if let Some(byte) = current.bitmap.get_mut((sector / 8) as usize) {
                *byte |= 0x80 >> (sector % 8);
            }
        }
        Ok(current.data + within)
    }
}

/// The names of a new image's parent, and its unique ID.
fn locators(size: u64, new: &NewImage, parent: &NewParent) -> Result<(Locators, Uuid)> {
    let id = parent.content_id.as_deref().filter(|_| parent.format == "vhd");
    let id = id.and_then(|id| Uuid::parse_str(id).ok());
    let id = id.ok_or_else(|| new.refused("parent that is not a VHD itself"))?;
    if parent.virtual_size != size {
        return Err(new.refused("parent of another size"));
    }
    Ok((Locators::new(&parent.name, &parent.absolute), id))
}

impl Layout for BlockLayout {
    fn files(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn unit(&self) -> u64 {
        UNIT
    }

    fn place(&mut self, files: &dyn Files, run: Range<u64>) -> io::Result<Place> {
        // A run lies within a chunk of 1 MiB, and so within a block.
        self.write(files, run).map(Place::first)
    }

    /// The format has no sign for zeroes: the sectors are this image's own, and holes of the file.
    fn zero(&mut self, files: &dyn Files, range: Range<u64>) -> io::Result<()> {
        let mut start = range.start;
        while start < range.end {
            let end = ((start / self.block + 1) * self.block).min(range.end);
            self.write(files, start..end)?;
            start = end;
        }
        Ok(())
    }

    fn finish(&mut self, files: &dyn Files) -> io::Result<()> {
        self.close(files)?;
        self.table.finish(files)?;
        files.write(self.header.sealed().as_bytes(), Place::first(FOOTER))?;
        files.write(&self.names, Place::first(FOOTER + HEADER))?;
        files.write(self.footer.as_bytes(), Place::first(self.end))?;
        files.write(self.footer.as_bytes(), Place::first(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Mapped;
    use crate::source::Source;
    use crate::vhd::FORMAT;
    use crate::vhd::blocks::Blocks;
    use crate::vhd::footer::Footer;
    use crate::vhd::header::Header;
    use block::{BlockRead, ExtentKind, MemoryDisk};
    use std::cell::RefCell;
    use std::path::PathBuf;
    use std::sync::Arc;

    /// A file in memory.
    #[derive(Default)]
    struct Memory(RefCell<Vec<u8>>);

    impl Files for Memory {
        fn write(&self, data: &[u8], place: Place) -> io::Result<()> {
            let mut bytes = self.0.borrow_mut();
            let (start, end) = (place.offset as usize, place.offset as usize + data.len());
            let length = bytes.len().max(end);
            bytes.resize(length, 0);
            bytes[start..end].copy_from_slice(data);
            Ok(())
        }
        fn set_len(&self, _file: usize, length: u64) -> io::Result<()> {
            self.0.borrow_mut().resize(length as usize, 0);
            Ok(())
        }
        fn allocate(&self, _file: usize, _range: Range<u64>) -> io::Result<()> {
            Ok(())
        }
    }

    fn new() -> NewImage {
        NewImage::new(&FORMAT)
    }

    #[test]
    fn a_disk_beyond_the_format_is_refused() {
        for block in BLOCKS {
            let new = NewImage { cluster_size: Some(block), ..new() };
            assert!(create(MAX_SIZE, "x", &new).is_ok());
            assert!(matches!(create(MAX_SIZE + 1, "x", &new), Err(Error::TooLarge { .. })));
            assert!(matches!(create(u64::MAX, "x", &new), Err(Error::TooLarge { .. })));
        }
    }

    const ID: &str = "00112233445566778899aabbccddeeff";

    fn parent(format: &'static str, size: u64, id: Option<&str>) -> NewParent {
        NewParent {
            name: "p.vhd".to_owned(),
            absolute: "/p.vhd".to_owned(),
            format,
            content_id: id.map(str::to_owned),
            virtual_size: size,
            modified: 0,
        }
    }

    #[test]
    fn zeroes_over_a_parent_are_the_childs_own() {
        const MIB: u64 = 1 << 20;
        let new = NewImage { parent: Some(parent("vhd", 9 * MIB + 512, Some(ID))), ..new() };
        let mut layout = create(9 * MIB + 512, "x", &new).unwrap();
        let files = Memory::default();
        let place = layout.place(&files, MIB..MIB + 4096).unwrap();
        files.write(&[7; 4096], place).unwrap();
        layout.zero(&files, MIB + 4096..7 * MIB).unwrap();
        layout.zero(&files, 9 * MIB..9 * MIB + 512).unwrap();
        layout.finish(&files).unwrap();
        let disk = Arc::new(MemoryDisk::from_bytes(files.0.into_inner()));
        let source = Source { disk, path: PathBuf::from("x") };
        let footer = Footer::read(&source).unwrap();
        let header = Header::read(&source, &footer).unwrap();
        let blocks = Mapped(Blocks::new(source, header, footer.size, true));
        let extents = blocks.extents(0..9 * MIB + 512).unwrap();
        let mut absent = extents.iter().filter(|extent| matches!(extent.kind, ExtentKind::Absent));
        assert_eq!(absent.next().unwrap().range, 0..MIB);
        assert_eq!(absent.next().unwrap().range, 7 * MIB..9 * MIB);
        assert!(absent.next().is_none());
        let mut expected = vec![0; 9 * MIB as usize + 512];
        expected[MIB as usize..MIB as usize + 4096].fill(7);
        let mut bytes = vec![1; expected.len()];
        blocks.read_at(&mut bytes, 0).unwrap();
        assert!(bytes == expected);
    }

    #[test]
    fn what_cannot_be_made_is_said() {
        let id = ID;
        let with = |parent| NewImage { parent: Some(parent), ..new() };
        assert!(create(512, "x", &with(parent("vhd", 512, Some(id)))).is_ok());
        for (new, reason) in [
            (with(parent("vhd", 1024, Some(id))), "vhd has no parent of another size"),
            (with(parent("vmdk", 512, Some(id))), "vhd has no parent that is not a VHD itself"),
            (with(parent("vhd", 512, None)), "vhd has no parent that is not a VHD itself"),
            (
                NewImage { subformat: Some("fixed".to_owned()), ..with(parent("vhd", 512, Some(id))) },
                "vhd has no fixed image with a parent",
            ),
            (NewImage { preallocate: true, ..new() }, "vhd has no preallocation of an image that grows"),
            (NewImage { cluster_size: Some(65_536), ..new() }, "vhd has no block of 65536 bytes to write"),
        ] {
            let message = create(512, "x", &new).err().unwrap().to_string();
            assert!(message.starts_with(reason), "{message}");
        }
    }
}
