//! A disk inside a VMA: [`Device`].

use super::archive::{BLOCK, CLUSTER, DeviceIndex, Run};
use block::{BlockRead, Extent, ExtentKind, Extents};
use std::ops::Range;
use std::sync::Arc;

/// A disk whose blocks lie in an archive.
pub(super) struct Device {
    file: Arc<dyn BlockRead>,
    index: DeviceIndex,
}

/// A piece of the disk: where in the archive it begins; none for zeroes.
struct Piece {
    range: Range<u64>,
    offset: Option<u64>,
}

impl Device {
    pub(super) fn new(file: Arc<dyn BlockRead>, index: DeviceIndex) -> Self {
        Self { file, index }
    }

    fn check(&self, offset: u64, length: u64) -> block::Result<()> {
        let size = self.index.size;
        let fits = offset.checked_add(length).is_some_and(|end| end <= size);
        if fits { Ok(()) } else { Err(block::Error::OutOfRange { offset, length, size }) }
    }

    /// The run that holds the cluster, or the first behind it.
    fn run(&self, cluster: u64) -> Option<&Run> {
        let end = |run: &Run| u64::from(run.cluster) + u64::from(run.count);
        let at = self.index.runs.partition_point(|run| end(run) <= cluster);
        self.index.runs.get(at)
    }

    /// What lies at `at`, up to `end` at most.
    fn piece(&self, at: u64, end: u64) -> Piece {
        let Some(run) = self.run(at / CLUSTER) else { return Piece { range: at..end, offset: None } };
        let start = u64::from(run.cluster) * CLUSTER;
        if at < start {
            return Piece { range: at..end.min(start), offset: None };
        }
        if run.mask == u16::MAX {
            let stop = start + u64::from(run.count) * CLUSTER;
            return Piece { range: at..end.min(stop), offset: Some(run.offset + (at - start)) };
        }
        // Blocks of one cluster, of which some are stored.
        let block = (at - start) / BLOCK;
        let is_stored = |block: u64| run.mask >> block & 1 == 1;
        let stop = (block..16).find(|next| is_stored(*next) != is_stored(block)).unwrap_or(16);
        let before = u64::from((run.mask & ((1_u16 << block) - 1)).count_ones());
        let offset = run.offset + before * BLOCK + (at - start) % BLOCK;
        Piece { range: at..end.min(start + stop * BLOCK), offset: is_stored(block).then_some(offset) }
    }

    fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = Piece> {
        let mut at = range.start;
        std::iter::from_fn(move || {
            (at < range.end).then(|| {
                let piece = self.piece(at, range.end);
                at = piece.range.end;
                piece
            })
        })
    }
}

impl BlockRead for Device {
    fn size(&self) -> u64 {
        self.index.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        let length = buf.len() as u64;
        self.check(offset, length)?;
        let mut rest = buf;
        for piece in self.pieces(offset..offset + length) {
            let size = usize::try_from(piece.range.end - piece.range.start).unwrap_or(rest.len());
            let Some((part, after)) = rest.split_at_mut_checked(size) else { break };
            match piece.offset {
                Some(at) => self.file.read_at(part, at)?,
                None => part.fill(0),
            }
            rest = after;
        }
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        self.check(range.start, range.end.saturating_sub(range.start))?;
        let mut extents = Extents::new();
        for piece in self.pieces(range) {
            let Some(offset) = piece.offset else {
                extents.push(Extent { range: piece.range, kind: ExtentKind::Zero });
                continue;
            };
            let length = piece.range.end - piece.range.start;
            for stored in self.file.extents(offset..offset + length)? {
                let place = |at: u64| piece.range.start + (at - offset);
                extents.push(Extent {
                    range: place(stored.range.start)..place(stored.range.end),
                    kind: stored.kind,
                });
            }
        }
        Ok(extents.into_vec())
    }
}
