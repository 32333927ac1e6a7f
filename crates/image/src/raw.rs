//! Laying out a new raw image: [`RawLayout`].

use crate::copy::Layout;
use std::fs::File;
use std::io;
use std::ops::Range;

/// The unit in which zeroes are left out: a page, which is what filesystems make holes of.
const UNIT: u64 = 4096;

/// Every byte at its own place; zeroes are holes.
pub(crate) struct RawLayout {
    size: u64,
}

impl RawLayout {
    /// The layout of an image of a disk of `size` bytes.
    pub(crate) fn new(size: u64) -> Self {
        Self { size }
    }
}

impl Layout for RawLayout {
    fn unit(&self) -> u64 {
        UNIT
    }

    fn place(&mut self, _file: &File, run: Range<u64>) -> io::Result<u64> {
        Ok(run.start)
    }

    fn finish(&mut self, file: &File) -> io::Result<()> {
        file.set_len(self.size)
    }
}
