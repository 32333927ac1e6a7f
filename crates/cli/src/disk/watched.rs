//! A disk whose reading shows progress: [`Watched`].

use block::{BlockRead, Extent};
use image::copy::Progress;
use std::ops::Range;

/// A disk that tells of what is read, and of what is known to be zero without reading. It serves readers that ask once
/// for each part of the disk.
pub(super) struct Watched<'a, D> {
    disk: D,
    progress: &'a dyn Progress,
}

impl<'a, D: BlockRead> Watched<'a, D> {
    /// Reads `disk` and tells `progress`.
    pub(super) fn new(disk: D, progress: &'a dyn Progress) -> Self {
        Self { disk, progress }
    }
}

impl<D: BlockRead> BlockRead for Watched<'_, D> {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        self.disk.read_at(buf, offset)?;
        self.progress.advance(buf.len() as u64);
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        let extents = self.disk.extents(range)?;
        self.progress.advance(extents.iter().filter(|extent| !extent.is_data()).map(Extent::len).sum());
        Ok(extents)
    }
}
