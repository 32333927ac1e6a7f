//! A range of a disk as a disk: a partition, a member of an archive, a logical volume's segment.

use crate::{BlockRead, BlockWrite, Extent, Result, check_range, check_span};
use std::ops::Range;

/// A range of a disk as a disk of its own. Locations in host files are kept.
#[derive(Clone, Debug)]
pub struct Window<D> {
    disk: D,
    start: u64,
    size: u64,
}

impl<D: BlockRead> Window<D> {
    /// The bytes `range` of `disk`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) when the range does not lie within the disk.
    pub fn new(disk: D, range: Range<u64>) -> Result<Self> {
        check_span(&range, disk.size())?;
        Ok(Self { disk, start: range.start, size: range.end - range.start })
    }

    fn outer(&self, range: &Range<u64>) -> Result<Range<u64>> {
        check_span(range, self.size)?;
        Ok(self.start + range.start..self.start + range.end)
    }
}

impl<D: BlockRead> BlockRead for Window<D> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        self.disk.read_at(buf, self.start + offset)
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        let mut extents = self.disk.extents(self.outer(&range)?)?;
        for extent in &mut extents {
            extent.range = extent.range.start - self.start..extent.range.end - self.start;
        }
        Ok(extents)
    }
}

impl<D: BlockWrite> BlockWrite for Window<D> {
    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        check_range(offset, data.len() as u64, self.size)?;
        self.disk.write_at(data, self.start + offset)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.disk.zero(self.outer(&range)?)
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        self.disk.discard(self.outer(&range)?)
    }

    fn flush(&self) -> Result<()> {
        self.disk.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, MemoryDisk, ZeroDisk, conformance};

    #[test]
    fn conforms() {
        let bytes = conformance::sample(200_000, 7);
        let window = Window::new(MemoryDisk::from_bytes(bytes.clone()), 513..150_001).unwrap();
        conformance::read(&window, &bytes[513..150_001]);
        conformance::write(|size| Window::new(MemoryDisk::new(size + 1000), 300..300 + size).unwrap());
    }

    #[test]
    fn what_lies_outside_is_neither_read_nor_written() {
        let disk = std::sync::Arc::new(MemoryDisk::from_bytes(vec![1; 3000]));
        let window = Window::new(std::sync::Arc::clone(&disk), 1000..2000).unwrap();
        assert!(matches!(window.write_at(&[0; 2], 999), Err(Error::OutOfRange { .. })));
        window.zero(0..1000).unwrap();
        assert_eq!(disk.to_bytes(), [vec![1; 1000], vec![0; 1000], vec![1; 1000]].concat());
    }

    #[test]
    fn a_range_outside_the_disk_is_refused() {
        for range in [0..11, 11..11, u64::MAX - 1..u64::MAX] {
            assert!(Window::new(ZeroDisk::new(10), range).is_err());
        }
    }
}
