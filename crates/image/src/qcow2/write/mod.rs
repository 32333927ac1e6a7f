//! Laying out a new qcow2 image: [`Qcow2Layout`] (QEMU `docs/interop/qcow2.rst`).
//!
//! The header's cluster comes first, then the L1 table, then L2 tables, data and refcount blocks in the order of the
//! disk, then the refcount table. What is known of the past is kept in a few bytes: the L1 table, one L2 table, and
//! the counts that are not one. The header is written last: a file that was not finished is no image.

mod clusters;
mod header;
mod packer;
mod plan;
#[cfg(test)]
mod tests;

use super::geometry::{COPIED, Geometry, OFFSET, ZERO};
use crate::copy::{Files, Layout, Packers, Place};
use crate::create::NewImage;
use crate::error::Result;
use clusters::Clusters;
use plan::{Data, Plan};
use std::io;
use std::ops::Range;

/// The largest unit that the copy engine takes, in bytes.
const LARGEST_UNIT: u64 = crate::copy::CHUNK;
/// The unit in which zeroes are left out where every byte has its place already, in bytes.
const PAGE: u64 = 4096;

/// Where the clusters of a new image go.
pub(super) struct Qcow2Layout {
    plan: Plan,
    geometry: Geometry,
    clusters: Clusters,
    /// Offsets of the L2 tables with their flags.
    l1: Vec<u64>,
    /// The L2 table that is being filled.
    current: Option<Table>,
    /// Whether room was reserved where that was asked for.
    reserved: bool,
}

/// An L2 table: which, where it will be, and its entries.
struct Table {
    index: u64,
    offset: u64,
    entries: Vec<u64>,
}

impl Qcow2Layout {
    /// The layout of an image of a disk of `size` bytes, rounded up to whole sectors, in a file called `name`.
    pub(super) fn new(size: u64, name: &str, new: &NewImage) -> Result<Self> {
        let plan = Plan::new(size, name, new)?;
        let geometry = plan.geometry;
        let clusters = Clusters::new(geometry.cluster(), plan.data_start() + plan.reserved_bytes());
        let l1 = vec![0; plan.l1_entries() as usize];
        Ok(Self { plan, geometry, clusters, l1, current: None, reserved: false })
    }

    /// The entries from that of the disk's byte `start` to the end of its L2 table, which becomes the current one.
    fn entries(&mut self, files: &dyn Files, start: u64) -> io::Result<&mut [u64]> {
        let index = start / self.geometry.l2_span();
        let table = match self.current.take() {
            Some(table) if table.index == index => table,
            other => {
                self.write_table(files, other)?;
                let offset = self.clusters.allocate(files, 1)?;
                Table { index, offset, entries: vec![0; self.geometry.l2_entries() as usize] }
            }
        };
        let first = (start % self.geometry.l2_span()) / self.geometry.cluster();
        let table = self.current.insert(table);
        Ok(table.entries.get_mut(first as usize..).unwrap_or_default())
    }

    fn write_table(&mut self, files: &dyn Files, table: Option<Table>) -> io::Result<()> {
        let Some(table) = table else { return Ok(()) };
        if let Some(entry) = self.l1.get_mut(table.index as usize) {
            *entry = table.offset | COPIED;
        }
        files.write(&big_endian(&table.entries), Place::first(table.offset))
    }

    /// Maps the clusters of `run`, the first of which lies at byte `first`, and the others behind it.
    fn map(&mut self, files: &dyn Files, run: &Range<u64>, first: u64) -> io::Result<()> {
        let cluster = self.geometry.cluster();
        let mut start = run.start / cluster * cluster;
        let mut offset = first;
        while start < run.end {
            for entry in self.entries(files, start)? {
                if start >= run.end {
                    break;
                }
                *entry = offset | COPIED;
                (start, offset) = (start + cluster, offset + cluster);
            }
        }
        Ok(())
    }

    /// Places `run` where it is from the start, which is as far behind `base` as it is from the disk's start.
    fn place_fixed(&mut self, files: &dyn Files, run: &Range<u64>, base: Place) -> io::Result<Place> {
        self.reserve(files)?;
        if !self.plan.preallocate {
            let inside = run.start % self.geometry.cluster();
            self.map(files, run, base.offset + run.start - inside)?;
        }
        Ok(Place { file: base.file, offset: base.offset + run.start })
    }

    /// Places `run` behind what there is, or into the cluster that an earlier part of it has.
    fn place_next(&mut self, files: &dyn Files, run: &Range<u64>) -> io::Result<Place> {
        let cluster = self.geometry.cluster();
        let inside = run.start % cluster;
        let present = self.entries(files, run.start)?.first().copied().unwrap_or(0) & OFFSET;
        if present != 0 {
            return Ok(Place::first(present + inside));
        }
        // In one piece, so that the tables which it needs come before or behind it.
        let first = self.clusters.allocate(files, (inside + run.end - run.start).div_ceil(cluster))?;
        self.map(files, run, first)?;
        Ok(Place::first(first + inside))
    }

    /// Reserves room for all of the disk, once.
    fn reserve(&mut self, files: &dyn Files) -> io::Result<()> {
        let Data::Fixed(base) = self.plan.data else { return Ok(()) };
        if self.plan.preallocate && !std::mem::replace(&mut self.reserved, true) && self.plan.size > 0 {
            files.allocate(base.file, base.offset..base.offset + self.plan.size)?;
        }
        Ok(())
    }
}

impl Layout for Qcow2Layout {
    fn files(&self) -> Vec<String> {
        self.plan.files()
    }

    fn unit(&self) -> u64 {
        match self.plan.data {
            Data::Fixed(_) => PAGE.min(self.geometry.cluster()),
            Data::Next => self.geometry.cluster().min(LARGEST_UNIT),
        }
    }

    fn place(&mut self, files: &dyn Files, run: Range<u64>) -> io::Result<Place> {
        match self.plan.data {
            Data::Fixed(base) => self.place_fixed(files, &run, base),
            Data::Next => self.place_next(files, &run),
        }
    }

    fn zero(&mut self, files: &dyn Files, range: Range<u64>) -> io::Result<()> {
        // Behind the parent's end there are zeroes anyway.
        let end = range.end.min(self.plan.parent_size());
        let (cluster, span) = (self.geometry.cluster(), self.geometry.l2_span());
        let mut start = range.start;
        while start < end {
            let table_end = (start / span + 1) * span;
            let count = (end.min(table_end) - start).div_ceil(cluster);
            self.entries(files, start)?.iter_mut().take(count as usize).for_each(|entry| *entry = ZERO);
            start = table_end;
        }
        Ok(())
    }

    fn packers(&self) -> Option<Packers> {
        self.plan.compression.map(|compression| packer::packers(compression, self.geometry))
    }

    fn place_packed(&mut self, files: &dyn Files, unit: Range<u64>, length: u64) -> io::Result<Place> {
        let offset = self.clusters.pack(files, length)?;
        let packed = self.geometry.compressed_entry(offset, length);
        let packed =
            packed.ok_or_else(|| io::Error::other("the file is too large for compressed clusters"))?;
        if let Some(entry) = self.entries(files, unit.start)?.first_mut() {
            *entry = packed;
        }
        Ok(Place::first(offset))
    }

    fn finish(&mut self, files: &dyn Files) -> io::Result<()> {
        self.reserve(files)?;
        if let (true, Data::Fixed(base)) = (self.plan.preallocate, self.plan.data) {
            self.map(files, &(0..self.plan.size), base.offset)?;
        }
        let last = self.current.take();
        self.write_table(files, last)?;
        let refcounts = self.clusters.finish(files)?;
        files.write(&big_endian(&self.l1), Place::first(self.geometry.cluster()))?;
        // The last cluster of data and the tables' clusters are whole in the file, though not written to the end.
        files.set_len(0, self.clusters.end())?;
        if let Data::Fixed(Place { file: file @ 1.., .. }) = self.plan.data {
            files.set_len(file, self.plan.size)?;
        }
        files.write(&header::header(&self.plan, refcounts), Place::first(0))
    }
}

fn big_endian(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}
