//! Laying out a new raw image: [`RawLayout`].

use crate::copy::{Files, Layout, Place};
use std::io;
use std::ops::Range;

/// The unit in which zeroes are left out: a page, which is what filesystems make holes of.
const UNIT: u64 = 4096;

/// Every byte at its own place; zeroes are holes, or room that is reserved and reads as zeroes.
pub(crate) struct RawLayout {
    size: u64,
    name: String,
    preallocate: bool,
}

impl RawLayout {
    /// The layout of an image of a disk of `size` bytes.
    pub(crate) fn new(size: u64, name: &str, preallocate: bool) -> Self {
        Self { size, name: name.to_owned(), preallocate }
    }
}

impl Layout for RawLayout {
    fn files(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn unit(&self) -> u64 {
        UNIT
    }

    fn place(&mut self, _files: &dyn Files, run: Range<u64>) -> io::Result<Place> {
        Ok(Place::first(run.start))
    }

    fn finish(&mut self, files: &dyn Files) -> io::Result<()> {
        files.set_len(0, self.size)?;
        if self.preallocate && self.size > 0 { files.allocate(0, 0..self.size) } else { Ok(()) }
    }
}
