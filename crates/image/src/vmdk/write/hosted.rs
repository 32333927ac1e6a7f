//! Laying out disks of sparse extents: [`HostedLayout`] (`monolithicSparse`, `twoGbMaxExtentSparse`).

use super::descriptor::{NewExtent, render};
use super::sparse::SparseWriter;
use super::{Identity, NewDisk, SPLIT, SPLIT_SPARSE};
use crate::copy::{Files, Layout, Place};
use crate::vmdk::arrangement::GRAIN;
use crate::vmdk::header::SECTOR;
use std::io;
use std::ops::Range;

/// Sparse extents: one with the descriptor in it, or several beside the descriptor.
pub(super) struct HostedLayout {
    name: String,
    extents: Vec<NewExtent>,
    /// The descriptor's text, and whether it is in the extent.
    descriptor: String,
    embedded: bool,
    /// Bytes of each extent but the last, which may be shorter.
    span: u64,
    /// Which extent is being written, and how far it is.
    index: usize,
    writer: SparseWriter,
}

impl HostedLayout {
    /// The layout of `disk`.
    pub(super) fn new(disk: NewDisk) -> Self {
        let embedded = disk.subformat != SPLIT_SPARSE;
        let span = if embedded { (disk.sectors * SECTOR).max(SECTOR) } else { SPLIT };
        let extent = |(index, sectors): (usize, u64)| {
            let file = if embedded { disk.name.clone() } else { disk.file(&format!("-s{:03}", index + 1)) };
            NewExtent { sectors, kind: "SPARSE", file }
        };
        let extents: Vec<NewExtent> = disk.split(span / SECTOR).into_iter().enumerate().map(extent).collect();
        let descriptor = render(&disk, &extents, &Identity::new(), false);
        let writer = writer(&extents, embedded.then_some(descriptor.len()), 0);
        Self { name: disk.name, extents, descriptor, embedded, span, index: 0, writer }
    }

    /// Goes on to the extent in which byte `start` of the disk is; those before are finished. The range is then
    /// within that extent.
    fn advance(&mut self, files: &dyn Files, start: u64) -> io::Result<()> {
        let wanted = (start / self.span) as usize;
        while self.index < wanted {
            self.next(files)?;
        }
        Ok(())
    }

    fn next(&mut self, files: &dyn Files) -> io::Result<()> {
        self.writer.finish(files, self.descriptor.as_bytes())?;
        self.index += 1;
        self.writer = writer(&self.extents, None, self.index);
        Ok(())
    }
}

/// What writes extent `index`.
fn writer(extents: &[NewExtent], descriptor: Option<usize>, index: usize) -> SparseWriter {
    let sectors = extents.get(index).map_or(0, |extent| extent.sectors);
    let file = if descriptor.is_some() { 0 } else { 1 + index };
    SparseWriter::new(file, sectors, descriptor)
}

impl Layout for HostedLayout {
    fn files(&self) -> Vec<String> {
        let extents = self.extents.iter().map(|extent| extent.file.clone());
        std::iter::once(self.name.clone()).chain(extents.filter(|_| !self.embedded)).collect()
    }

    fn unit(&self) -> u64 {
        GRAIN
    }

    fn place(&mut self, files: &dyn Files, run: Range<u64>) -> io::Result<Place> {
        self.advance(files, run.start)?;
        // A chunk, in which a run lies, never spans two extents: they are whole MiB.
        let first = self.index as u64 * self.span;
        self.writer.place(files, run.start - first..run.end - first)
    }

    fn zero(&mut self, files: &dyn Files, range: Range<u64>) -> io::Result<()> {
        // Only disks of one extent have parents.
        self.writer.zero(files, range)
    }

    fn finish(&mut self, files: &dyn Files) -> io::Result<()> {
        while self.index + 1 < self.extents.len() {
            self.next(files)?;
        }
        self.writer.finish(files, self.descriptor.as_bytes())?;
        if !self.embedded {
            files.write(self.descriptor.as_bytes(), Place::first(0))?;
        }
        Ok(())
    }
}
