//! A layer over its parent: how a chain of images reads.

use crate::{BlockRead, Extent, ExtentKind, Extents, Result, check_range, check_span};
use std::ops::Range;
use std::sync::Arc;

/// A top layer whose [absent](ExtentKind::Absent) extents are answered by a parent.
///
/// The parent may be smaller than the top: behind its end there are zeroes. Without a parent every absent extent
/// is zeroes. A chain is built from its root upwards; every layer costs a call for each request, and what bounds
/// a chain's length is whoever follows it.
#[derive(Clone)]
pub struct Layered {
    top: Arc<dyn BlockRead>,
    parent: Option<Arc<dyn BlockRead>>,
}

impl Layered {
    /// `top` over `parent`; the size is that of `top`.
    pub fn new(top: Arc<dyn BlockRead>, parent: Option<Arc<dyn BlockRead>>) -> Self {
        Self { top, parent }
    }

    /// The part of `range` that the parent covers, with the parent. Behind it there are zeroes.
    fn covered(&self, range: &Range<u64>) -> Option<(&dyn BlockRead, Range<u64>)> {
        let parent = self.parent.as_deref()?;
        let end = range.end.min(parent.size());
        (range.start < end).then_some((parent, range.start..end))
    }

    fn read_below(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let covered = self.covered(&(offset..offset + buf.len() as u64));
        let length = covered.as_ref().map_or(0, |(_, range)| range.end - range.start);
        let (from_parent, beyond) = buf.split_at_mut(length as usize);
        if let Some((parent, _)) = covered {
            parent.read_at(from_parent, offset)?;
        }
        beyond.fill(0);
        Ok(())
    }
}

impl BlockRead for Layered {
    fn size(&self) -> u64 {
        self.top.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size())?;
        let mut rest = &mut *buf;
        for extent in self.top.extents(offset..offset + rest.len() as u64)? {
            let (head, tail) = rest.split_at_mut((extent.len() as usize).min(rest.len()));
            match extent.kind {
                ExtentKind::Data(_) => self.top.read_at(head, extent.range.start)?,
                ExtentKind::Zero => head.fill(0),
                ExtentKind::Absent => self.read_below(head, extent.range.start)?,
            }
            rest = tail;
        }
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        check_span(&range, self.size())?;
        let mut extents = Extents::new();
        for extent in self.top.extents(range)? {
            if !matches!(extent.kind, ExtentKind::Absent) {
                extents.push(extent);
                continue;
            }
            let mut beyond = extent.range.clone();
            if let Some((parent, covered)) = self.covered(&extent.range) {
                beyond.start = covered.end;
                extents.extend(parent.extents(covered)?.into_iter().map(Extent::without_parent));
            }
            extents.push(Extent::zero(beyond));
        }
        Ok(extents.into_vec())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{MemoryDisk, conformance};

    /// A layer in memory: `bytes`, of which every second piece of `grain` bytes is absent.
    pub(crate) struct Striped {
        pub(crate) bytes: Vec<u8>,
        pub(crate) grain: u64,
    }

    impl BlockRead for Striped {
        fn size(&self) -> u64 {
            self.bytes.len() as u64
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
            check_range(offset, buf.len() as u64, self.size())?;
            for (place, byte) in (offset..).zip(buf) {
                let absent = (place / self.grain) % 2 == 1;
                *byte = if absent { 0 } else { self.bytes[place as usize] };
            }
            Ok(())
        }

        fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
            check_span(&range, self.size())?;
            let mut extents = Extents::new();
            let mut start = range.start;
            while start < range.end {
                let end = ((start / self.grain + 1) * self.grain).min(range.end);
                let absent = (start / self.grain) % 2 == 1;
                extents.push(if absent { Extent::absent(start..end) } else { Extent::data(start..end) });
                start = end;
            }
            Ok(extents.into_vec())
        }
    }

    fn layer(size: usize, seed: u64, grain: u64) -> Arc<dyn BlockRead> {
        Arc::new(Striped { bytes: conformance::sample(size, seed), grain })
    }

    #[test]
    fn a_chain_reads_as_the_uppermost_layer_that_has_the_byte() {
        let root: Arc<dyn BlockRead> = Arc::new(MemoryDisk::from_bytes(conformance::sample(50_001, 1)));
        let middle: Arc<dyn BlockRead> = Arc::new(Layered::new(layer(100_000, 2, 8192), Some(root.clone())));
        let chain = Layered::new(layer(150_000, 3, 3000), Some(middle));

        let (root, middle, top) = (
            conformance::sample(50_001, 1),
            conformance::sample(100_000, 2),
            conformance::sample(150_000, 3),
        );
        let expected: Vec<u8> = (0..150_000)
            .map(|place| match place {
                _ if (place / 3000) % 2 == 0 => top[place],
                _ if place < middle.len() && (place / 8192) % 2 == 0 => middle[place],
                _ if place < middle.len() && place < root.len() => root[place],
                _ => 0,
            })
            .collect();
        conformance::read(&chain, &expected);
        assert!(
            !chain
                .extents(0..150_000)
                .unwrap()
                .iter()
                .any(|extent| matches!(extent.kind, ExtentKind::Absent))
        );
    }

    #[test]
    fn without_a_parent_absent_is_zero() {
        let top = Layered::new(layer(30_000, 5, 1000), None);
        let expected: Vec<u8> = conformance::sample(30_000, 5)
            .into_iter()
            .enumerate()
            .map(|(place, byte)| if (place / 1000) % 2 == 1 { 0 } else { byte })
            .collect();
        conformance::read(&top, &expected);
    }
}
