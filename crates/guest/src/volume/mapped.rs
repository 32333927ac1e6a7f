//! A disk put together from pieces of others: what LVM2 calls linear and striped segments.

use block::{BlockRead, BlockWrite, Error, Extent, Result, check_range};
use std::ops::Range;
use std::sync::Arc;

/// A run of the mapped disk. One stripe is a linear run; with more, its bytes go round the stripes in turn.
pub(crate) struct Segment {
    /// Which bytes of the mapped disk; a multiple of `chunk * stripes.len()` long when there are several stripes.
    pub(crate) range: Range<u64>,
    /// How many bytes lie on one stripe before the next one's turn; not zero.
    pub(crate) chunk: u64,
    /// Where the stripes start: disk and byte; at least one.
    pub(crate) stripes: Vec<(Arc<dyn BlockWrite>, u64)>,
}

/// A disk made of [`Segment`]s that follow one another from byte 0.
pub(crate) struct Mapped {
    segments: Vec<Segment>,
}

/// A piece of a request that lies in one run of one disk.
struct Piece<'a> {
    device: &'a Arc<dyn BlockWrite>,
    offset: u64,
    length: u64,
}

impl Mapped {
    /// `None` when the segments leave gaps, overlap, or lie outside their disks.
    pub(crate) fn new(segments: Vec<Segment>) -> Option<Self> {
        let mut end = 0;
        for segment in &segments {
            if segment.range.start != end || segment.range.is_empty() || segment.chunk == 0 {
                return None;
            }
            end = segment.range.end;
            let count = u64::try_from(segment.stripes.len()).ok().filter(|&count| count > 0)?;
            let length = segment.range.end - segment.range.start;
            if count > 1 && length % count.checked_mul(segment.chunk)? != 0 {
                return None;
            }
            let each = length / count;
            for (device, start) in &segment.stripes {
                check_range(*start, each, device.size()).ok()?;
            }
        }
        Some(Self { segments })
    }

    /// The piece that starts at `offset`, at most `length` bytes long.
    fn piece(&self, offset: u64, length: u64) -> Result<Piece<'_>> {
        let outside = || Error::OutOfRange { offset, length, size: self.size() };
        let index = self.segments.partition_point(|segment| segment.range.end <= offset);
        let segment = self.segments.get(index).ok_or_else(outside)?;
        let within = offset - segment.range.start;
        let left = (segment.range.end - offset).min(length);
        let count = segment.stripes.len() as u64;
        if count == 1 {
            let (device, start) = segment.stripes.first().ok_or_else(outside)?;
            return Ok(Piece { device, offset: start + within, length: left });
        }
        let (turn, inside) = (within / segment.chunk, within % segment.chunk);
        let (device, start) = segment.stripes.get((turn % count) as usize).ok_or_else(outside)?;
        Ok(Piece {
            device,
            offset: start + (turn / count) * segment.chunk + inside,
            length: left.min(segment.chunk - inside),
        })
    }

    /// Calls `each` with every piece of `range`, and with where it starts in the mapped disk.
    fn for_each(
        &self,
        range: Range<u64>,
        mut each: impl FnMut(&Arc<dyn BlockWrite>, Range<u64>, u64) -> Result<()>,
    ) -> Result<()> {
        check_range(range.start, range.end.saturating_sub(range.start), self.size())?;
        let mut at = range.start;
        while at < range.end {
            let piece = self.piece(at, range.end - at)?;
            each(piece.device, piece.offset..piece.offset + piece.length, at)?;
            at += piece.length;
        }
        Ok(())
    }
}

impl BlockRead for Mapped {
    fn size(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.range.end)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size())?;
        let mut rest = buf;
        self.for_each(offset..offset + rest.len() as u64, |device, piece, _| {
            let (now, later) = std::mem::take(&mut rest).split_at_mut((piece.end - piece.start) as usize);
            rest = later;
            device.read_at(now, piece.start)
        })
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        let mut extents = Vec::new();
        self.for_each(range, |device, piece, at| {
            for extent in device.extents(piece.clone())? {
                let start = extent.range.start - piece.start + at;
                extents.push(Extent { range: start..start + extent.len(), kind: extent.kind });
            }
            Ok(())
        })?;
        Ok(extents)
    }
}

impl BlockWrite for Mapped {
    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        check_range(offset, data.len() as u64, self.size())?;
        let mut rest = data;
        self.for_each(offset..offset + data.len() as u64, |device, piece, _| {
            let (now, later) = rest.split_at((piece.end - piece.start) as usize);
            rest = later;
            device.write_at(now, piece.start)
        })
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.for_each(range, |device, piece, _| device.zero(piece))
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        self.for_each(range, |device, piece, _| device.discard(piece))
    }

    fn flush(&self) -> Result<()> {
        // A disk may stand behind several segments; flushing it again is cheap.
        self.segments.iter().flat_map(|segment| &segment.stripes).try_for_each(|(device, _)| device.flush())
    }
}

/// A volume that is known and cannot be put together: every access says why.
pub(crate) struct Unassembled {
    pub(crate) size: u64,
    pub(crate) reason: Unsupported,
}

/// Why a volume cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{volume} cannot be read: {reason}")]
pub(crate) struct Unsupported {
    /// The volume.
    pub(crate) volume: String,
    /// What stands in the way.
    pub(crate) reason: String,
}

impl Unassembled {
    fn refuse<T>(&self) -> Result<T> {
        Err(Error::backend(self.reason.clone()))
    }
}

impl BlockRead for Unassembled {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_at(&self, _: &mut [u8], _: u64) -> Result<()> {
        self.refuse()
    }
    fn extents(&self, _: Range<u64>) -> Result<Vec<Extent>> {
        self.refuse()
    }
}

impl BlockWrite for Unassembled {
    fn write_at(&self, _: &[u8], _: u64) -> Result<()> {
        self.refuse()
    }
    fn zero(&self, _: Range<u64>) -> Result<()> {
        self.refuse()
    }
    fn discard(&self, _: Range<u64>) -> Result<()> {
        self.refuse()
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}
