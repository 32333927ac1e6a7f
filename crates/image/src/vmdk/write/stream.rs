//! Laying out stream-optimized disks: [`StreamLayout`] ("Virtual Disk Format 5.0", Stream-Optimized Compressed Sparse
//! Extents).
//!
//! The header and the descriptor, then the compressed grains in the order of the disk, each behind its marker, each
//! grain table behind its grains, the grain directory, the footer and the end-of-stream marker. The header says that the
//! directory is at the end, as in every stream that was written from front to back; it is nevertheless written last.

use super::descriptor::{NewExtent, render};
use super::packer::GrainPacker;
use super::sparse::{GrainTable, sector};
use super::{Identity, NewDisk};
use crate::copy::{Files, Layout, Packers, Place};
use crate::vmdk::arrangement::{GRAIN, TABLE_SPAN};
use crate::vmdk::header::{
    COMPRESSION_DEFLATE, FLAG_COMPRESSED, FLAG_MARKERS, GD_AT_END, SECTOR, SparseHeader,
};
use crate::vmdk::marker::{END_OF_STREAM, FOOTER, GRAIN_DIRECTORY, GRAIN_TABLE, metadata};
use std::io;
use std::ops::Range;
use zerocopy::IntoBytes;

/// The version of the header of a stream: what VMware and QEMU write.
const VERSION: u32 = 3;
/// Sectors of the descriptor, and sectors before the first grain: what VMware and QEMU write.
const DESCRIPTOR_SECTORS: u64 = 20;
const OVERHEAD: u64 = GRAIN / SECTOR;

/// Compressed grains, one behind the other.
pub(super) struct StreamLayout {
    disk: NewDisk,
    /// The sector of each table, 0 for none.
    directory: Vec<u32>,
    current: Option<GrainTable>,
    /// The first unused byte of the file.
    end: u64,
}

impl StreamLayout {
    /// The layout of `disk`.
    pub(super) fn new(disk: NewDisk) -> Self {
        let tables = (disk.sectors * SECTOR).div_ceil(TABLE_SPAN) as usize;
        Self { disk, directory: vec![0; tables], current: None, end: OVERHEAD * SECTOR }
    }

    /// Puts `data` behind its marker at the end; answers with its sector, that of the marker not counted.
    fn append(&mut self, files: &dyn Files, kind: u32, data: &[u8]) -> io::Result<u32> {
        let sectors = (data.len() as u64).div_ceil(SECTOR);
        files.write(&metadata(kind, sectors), Place::first(self.end))?;
        let start = self.end + SECTOR;
        files.write(data, Place::first(start))?;
        self.end = start + sectors * SECTOR;
        sector(start)
    }

    fn write_table(&mut self, files: &dyn Files) -> io::Result<()> {
        let Some(table) = self.current.take() else { return Ok(()) };
        let place = self.append(files, GRAIN_TABLE, &table.to_bytes())?;
        if let Some(entry) = self.directory.get_mut(table.index as usize) {
            *entry = place;
        }
        Ok(())
    }

    fn header(&self, directory: u64) -> SparseHeader {
        SparseHeader {
            descriptor_offset: 1.into(),
            descriptor_size: DESCRIPTOR_SECTORS.into(),
            directory: directory.into(),
            overhead: OVERHEAD.into(),
            compression: COMPRESSION_DEFLATE.into(),
            ..SparseHeader::new(VERSION, FLAG_COMPRESSED | FLAG_MARKERS, self.disk.sectors)
        }
    }
}

impl Layout for StreamLayout {
    fn files(&self) -> Vec<String> {
        vec![self.disk.name.clone()]
    }

    fn unit(&self) -> u64 {
        GRAIN
    }

    fn place(&mut self, _files: &dyn Files, _run: Range<u64>) -> io::Result<Place> {
        Err(io::Error::other("a stream holds no grain that is not compressed"))
    }

    fn packers(&self) -> Option<Packers> {
        Some(Box::new(|| Box::new(GrainPacker::new())))
    }

    fn place_packed(&mut self, files: &dyn Files, unit: Range<u64>, length: u64) -> io::Result<Place> {
        let index = unit.start / TABLE_SPAN;
        if self.current.as_ref().is_some_and(|table| table.index != index) {
            self.write_table(files)?;
        }
        let place = Place::first(self.end);
        let sector = sector(self.end)?;
        let table = self.current.get_or_insert_with(|| GrainTable::new(index));
        table.enter(unit.start, std::iter::once(sector));
        self.end += length;
        Ok(place)
    }

    fn finish(&mut self, files: &dyn Files) -> io::Result<()> {
        self.write_table(files)?;
        let directory: Vec<u8> = self.directory.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        let directory = self.append(files, GRAIN_DIRECTORY, &directory)?;
        let footer = self.header(directory.into());
        self.append(files, FOOTER, footer.as_bytes())?;
        files.write(&metadata(END_OF_STREAM, 0), Place::first(self.end))?;
        // What a marker's data lacks to whole sectors was never written, and reads as zeroes.
        files.set_len(0, self.end + SECTOR)?;
        let extent = NewExtent { sectors: self.disk.sectors, kind: "SPARSE", file: self.disk.name.clone() };
        let text = render(&self.disk, &[extent], &Identity::new(), false);
        files.write(text.as_bytes(), Place::first(SECTOR))?;
        files.write(self.header(GD_AT_END).as_bytes(), Place::first(0))
    }
}
