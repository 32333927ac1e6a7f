//! Laying out disks whose data is kept as it is: [`FlatLayout`] (`monolithicFlat`, `twoGbMaxExtentFlat`, `vmfs`).
//!
//! A small descriptor, and beside it one file of data or several, in which every byte is at its own place and zeroes are
//! holes. The descriptor gets its name last: without it nobody opens the rest.

use super::descriptor::{NewExtent, render};
use super::{Identity, NewDisk, SPLIT, SPLIT_FLAT, VMFS};
use crate::copy::{Files, Layout, Place};
use crate::vmdk::header::SECTOR;
use std::io;
use std::ops::Range;

/// The unit in which zeroes are left out: a page, which is what filesystems make holes of.
const UNIT: u64 = 4096;

/// Every byte at its own place, beside a descriptor.
pub(super) struct FlatLayout {
    disk: NewDisk,
    extents: Vec<NewExtent>,
    /// Bytes of each extent but the last, which may be shorter.
    span: u64,
    /// Whether room for all of the disk is reserved, and whether that is still to be done.
    preallocate: bool,
    reserve: bool,
}

impl FlatLayout {
    /// The layout of `disk`.
    pub(super) fn new(disk: NewDisk, preallocate: bool) -> Self {
        let split = disk.subformat == SPLIT_FLAT;
        let span = if split { SPLIT } else { (disk.sectors * SECTOR).max(SECTOR) };
        let kind = if disk.subformat == VMFS { "VMFS" } else { "FLAT" };
        let extent = |(index, sectors): (usize, u64)| {
            let suffix = if split { format!("-f{:03}", index + 1) } else { "-flat".to_owned() };
            NewExtent { sectors, kind, file: disk.file(&suffix) }
        };
        let extents = disk.split(span / SECTOR).into_iter().enumerate().map(extent).collect();
        Self { disk, extents, span, preallocate, reserve: preallocate }
    }

    /// Reserves room before anything is written, so that what does not fit is known at once.
    fn reserve(&mut self, files: &dyn Files) -> io::Result<()> {
        if std::mem::take(&mut self.reserve) {
            for (file, extent) in (1..).zip(&self.extents).filter(|(_, extent)| extent.sectors > 0) {
                files.allocate(file, 0..extent.sectors * SECTOR)?;
            }
        }
        Ok(())
    }
}

impl Layout for FlatLayout {
    fn files(&self) -> Vec<String> {
        let extents = self.extents.iter().map(|extent| extent.file.clone());
        std::iter::once(self.disk.name.clone()).chain(extents).collect()
    }

    fn unit(&self) -> u64 {
        UNIT
    }

    fn place(&mut self, files: &dyn Files, run: Range<u64>) -> io::Result<Place> {
        self.reserve(files)?;
        // A chunk, in which a run lies, never spans two extents: they are whole MiB.
        Ok(Place { file: 1 + (run.start / self.span) as usize, offset: run.start % self.span })
    }

    fn finish(&mut self, files: &dyn Files) -> io::Result<()> {
        self.reserve(files)?;
        for (file, extent) in (1..).zip(&self.extents) {
            files.set_len(file, extent.sectors * SECTOR)?;
        }
        let thin = self.disk.subformat == VMFS && !self.preallocate;
        let text = render(&self.disk, &self.extents, &Identity::new(), thin);
        files.write(text.as_bytes(), Place::first(0))
    }
}
