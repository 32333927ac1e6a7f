//! Laying out a new fixed VHD: [`FixedLayout`].

use super::super::footer::{Kind, RawFooter};
use crate::copy::{Files, Layout, Place};
use std::io;
use std::ops::Range;
use zerocopy::IntoBytes;

/// Every byte at its own place, zeroes as holes, and the footer behind.
pub(super) struct FixedLayout {
    name: String,
    /// The disk's size in bytes: whole sectors.
    size: u64,
    /// Whether room is reserved for all of it.
    preallocate: bool,
}

impl FixedLayout {
    pub(super) fn new(size: u64, name: &str, preallocate: bool) -> Self {
        Self { name: name.to_owned(), size, preallocate }
    }
}

impl Layout for FixedLayout {
    fn files(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn unit(&self) -> u64 {
        super::UNIT
    }

    fn place(&mut self, _files: &dyn Files, run: Range<u64>) -> io::Result<Place> {
        Ok(Place::first(run.start))
    }

    fn finish(&mut self, files: &dyn Files) -> io::Result<()> {
        if self.preallocate && self.size > 0 {
            files.allocate(0, 0..self.size)?;
        }
        files.write(RawFooter::new(Kind::Fixed, self.size).as_bytes(), Place::first(self.size))
    }
}
