//! Several disks in a row as one: the extents of a split image, the segments of a logical volume.

use crate::{BlockRead, BlockWrite, Extent, Extents, Result, check_range, check_span};
use std::ops::Range;

/// Disks in a row, as one disk. Locations in host files are kept.
#[derive(Clone, Debug)]
pub struct Concat<D> {
    parts: Vec<Part<D>>,
    size: u64,
}

#[derive(Clone, Debug)]
struct Part<D> {
    disk: D,
    range: Range<u64>,
}

/// A piece of a request: which part it concerns, which bytes of that part, and which bytes of the request.
struct Piece<'a, D> {
    part: &'a Part<D>,
    inner: Range<u64>,
    outer: Range<u64>,
}

impl<D: BlockRead> Concat<D> {
    /// The disks, one after the other. No disks at all make a disk of no bytes.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) when their sizes together exceed 2^64 bytes.
    pub fn new(disks: Vec<D>) -> Result<Self> {
        let mut size = 0;
        let mut parts = Vec::with_capacity(disks.len());
        for disk in disks {
            let length = disk.size();
            check_range(size, length, u64::MAX)?;
            if length > 0 {
                parts.push(Part { disk, range: size..size + length });
            }
            size += length;
        }
        Ok(Self { parts, size })
    }

    /// The pieces of `range`, which lies within the disk, in order.
    fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = Piece<'_, D>> {
        let first = self.parts.partition_point(|part| part.range.end <= range.start);
        self.parts.iter().skip(first).map_while(move |part| {
            let outer = part.range.start.max(range.start)..part.range.end.min(range.end);
            let inner =
                outer.start.checked_sub(part.range.start)?..outer.end.checked_sub(part.range.start)?;
            (!outer.is_empty()).then_some(Piece { part, inner, outer })
        })
    }
}

impl<D: BlockRead> BlockRead for Concat<D> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        let mut rest = &mut *buf;
        for piece in self.pieces(offset..offset + rest.len() as u64) {
            let (head, tail) = rest.split_at_mut((piece.inner.end - piece.inner.start) as usize);
            piece.part.disk.read_at(head, piece.inner.start)?;
            rest = tail;
        }
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        check_span(&range, self.size)?;
        let mut extents = Extents::new();
        for piece in self.pieces(range) {
            for extent in piece.part.disk.extents(piece.inner)? {
                let start = piece.part.range.start + extent.range.start;
                extents.push(extent.moved_to(start));
            }
        }
        Ok(extents.into_vec())
    }
}

impl<D: BlockWrite> BlockWrite for Concat<D> {
    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        check_range(offset, data.len() as u64, self.size)?;
        for piece in self.pieces(offset..offset + data.len() as u64) {
            let within = (piece.outer.start - offset) as usize..(piece.outer.end - offset) as usize;
            piece.part.disk.write_at(&data[within], piece.inner.start)?;
        }
        Ok(())
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        check_span(&range, self.size)?;
        self.pieces(range).try_for_each(|piece| piece.part.disk.zero(piece.inner))
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        check_span(&range, self.size)?;
        self.pieces(range).try_for_each(|piece| piece.part.disk.discard(piece.inner))
    }

    fn flush(&self) -> Result<()> {
        self.parts.iter().try_for_each(|part| part.disk.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryDisk, ZeroDisk, conformance};
    use std::sync::Arc;

    #[test]
    fn conforms() {
        let bytes = conformance::sample(300_000, 3);
        let cuts = [0, 1, 1, 70_000, 131_072, 299_999, 300_000];
        let parts = cuts.windows(2).map(|cut| MemoryDisk::from_bytes(bytes[cut[0]..cut[1]].to_vec()));
        conformance::read(&Concat::new(parts.collect()).unwrap(), &bytes);
        conformance::write(|size| {
            let third = size / 3;
            let sizes = [third, 0, third, size - 2 * third];
            Concat::new(sizes.into_iter().map(MemoryDisk::new).collect()).unwrap()
        });
    }

    #[test]
    fn nothing_is_a_disk_of_no_bytes() {
        conformance::read(&Concat::<ZeroDisk>::new(Vec::new()).unwrap(), &[]);
    }

    #[test]
    fn a_size_beyond_64_bits_is_refused() {
        let parts: Vec<Arc<dyn BlockRead>> =
            vec![Arc::new(ZeroDisk::new(u64::MAX)), Arc::new(ZeroDisk::new(1))];
        assert!(Concat::new(parts).is_err());
    }
}
