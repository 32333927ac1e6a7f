//! Several copies of the same bytes as one disk: [`Mirror`].

use block::{BlockRead, BlockWrite, Extent, Result};
use std::ops::Range;
use std::sync::Arc;

/// Disks of the same contents. The first is read, all are written.
pub(super) struct Mirror {
    first: Arc<dyn BlockWrite>,
    others: Vec<Arc<dyn BlockWrite>>,
}

impl Mirror {
    /// `None` when there is no disk, or they differ in size.
    pub(super) fn new(disks: Vec<Arc<dyn BlockWrite>>) -> Option<Self> {
        let mut disks = disks.into_iter();
        let first = disks.next()?;
        let others: Vec<_> = disks.collect();
        others.iter().all(|disk| disk.size() == first.size()).then_some(Self { first, others })
    }

    /// Calls `write` on every disk; the first failure ends it.
    fn each(&self, mut write: impl FnMut(&dyn BlockWrite) -> Result<()>) -> Result<()> {
        std::iter::once(&self.first).chain(&self.others).try_for_each(|disk| write(disk.as_ref()))
    }
}

impl BlockRead for Mirror {
    fn size(&self) -> u64 {
        self.first.size()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.first.read_at(buf, offset)
    }
    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        self.first.extents(range)
    }
}

impl BlockWrite for Mirror {
    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        self.each(|disk| disk.write_at(data, offset))
    }
    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.each(|disk| disk.zero(range.clone()))
    }
    fn discard(&self, range: Range<u64>) -> Result<()> {
        self.each(|disk| disk.discard(range.clone()))
    }
    fn flush(&self) -> Result<()> {
        self.each(|disk| disk.flush())
    }
}
