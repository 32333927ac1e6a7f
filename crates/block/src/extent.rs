//! What lies where on a disk.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

/// A run of bytes of one kind.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Which bytes of the disk; never empty.
    pub range: Range<u64>,
    /// What they are.
    pub kind: ExtentKind,
}

/// What a run of bytes is.
#[derive(Clone, Debug)]
pub enum ExtentKind {
    /// Stored bytes; with where they lie, uncompressed and in order, in a host file, when they do.
    Data(Option<FileLocation>),
    /// Zeroes, and nothing need be read to know it.
    Zero,
    /// Nothing of this layer: the parent decides, and without a parent it reads as zeroes.
    Absent,
}

/// A place in a host file: what lets the copy engine clone or copy ranges instead of reading and writing them.
#[derive(Clone, Debug)]
pub struct FileLocation {
    /// The open file.
    pub file: Arc<File>,
    /// Where the extent's first byte lies in it, in bytes.
    pub offset: u64,
}

impl Extent {
    /// Stored bytes that lie nowhere in particular.
    pub fn data(range: Range<u64>) -> Self {
        Self { range, kind: ExtentKind::Data(None) }
    }

    /// Zeroes.
    pub fn zero(range: Range<u64>) -> Self {
        Self { range, kind: ExtentKind::Zero }
    }

    /// Bytes that the parent decides.
    pub fn absent(range: Range<u64>) -> Self {
        Self { range, kind: ExtentKind::Absent }
    }

    /// How many bytes the extent covers.
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether it covers nothing.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Whether its bytes have to be read to be known.
    pub fn is_data(&self) -> bool {
        matches!(self.kind, ExtentKind::Data(_))
    }
}

impl Extent {
    /// The part of the extent that lies within `range`, its location moved along; `None` when there is none.
    pub fn clipped(&self, range: &Range<u64>) -> Option<Self> {
        let start = self.range.start.max(range.start);
        let end = self.range.end.min(range.end);
        if start >= end {
            return None;
        }
        let skipped = start - self.range.start;
        let kind = match &self.kind {
            ExtentKind::Data(Some(location)) => ExtentKind::Data(Some(FileLocation {
                file: Arc::clone(&location.file),
                offset: location.offset.saturating_add(skipped),
            })),
            other => other.clone(),
        };
        Some(Self { range: start..end, kind })
    }

    /// The same extent, said of a disk on which its first byte stands at `start`.
    pub fn moved_to(self, start: u64) -> Self {
        let length = self.len();
        Self { range: start..start.saturating_add(length), kind: self.kind }
    }

    /// The same extent for a disk that has no parent: what is absent reads as zeroes.
    pub fn without_parent(self) -> Self {
        let kind = match self.kind {
            ExtentKind::Absent => ExtentKind::Zero,
            other => other,
        };
        Self { range: self.range, kind }
    }

    /// Whether `next` starts where this one ends and is of the same kind, in the same place.
    fn continues_with(&self, next: &Self) -> bool {
        if self.range.end != next.range.start {
            return false;
        }
        match (&self.kind, &next.kind) {
            (ExtentKind::Zero, ExtentKind::Zero)
            | (ExtentKind::Absent, ExtentKind::Absent)
            | (ExtentKind::Data(None), ExtentKind::Data(None)) => true,
            (ExtentKind::Data(Some(here)), ExtentKind::Data(Some(there))) => {
                Arc::ptr_eq(&here.file, &there.file)
                    && here.offset.checked_add(self.len()) == Some(there.offset)
            }
            _ => false,
        }
    }
}

/// Collects extents in ascending order and joins neighbours of one kind.
#[derive(Debug, Default)]
pub struct Extents {
    list: Vec<Extent>,
}

impl Extents {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next extent; an empty one is left out.
    pub fn push(&mut self, next: Extent) {
        if next.is_empty() {
            return;
        }
        match self.list.last_mut() {
            Some(last) if last.continues_with(&next) => last.range.end = next.range.end,
            _ => self.list.push(next),
        }
    }

    /// The extents that were collected.
    pub fn into_vec(self) -> Vec<Extent> {
        self.list
    }
}

impl Extend<Extent> for Extents {
    fn extend<I: IntoIterator<Item = Extent>>(&mut self, extents: I) {
        extents.into_iter().for_each(|extent| self.push(extent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(range: Range<u64>, file: &Arc<File>, offset: u64) -> Extent {
        Extent { range, kind: ExtentKind::Data(Some(FileLocation { file: Arc::clone(file), offset })) }
    }

    #[test]
    fn neighbours_of_one_kind_become_one_extent() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let mut extents = Extents::new();
        extents.push(Extent::zero(0..5));
        extents.push(Extent::zero(5..5));
        extents.push(Extent::zero(5..9));
        extents.push(located(9..10, &file, 100));
        extents.push(located(10..12, &file, 101));
        extents.push(located(12..13, &file, 104));
        let ranges: Vec<_> = extents.into_vec().into_iter().map(|extent| extent.range).collect();
        assert_eq!(ranges, [0..9, 9..12, 12..13]);
    }

    #[test]
    fn clipping_moves_the_location_along() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let clipped = located(10..20, &file, 100).clipped(&(13..15)).unwrap();
        assert_eq!(clipped.range, 13..15);
        assert!(matches!(clipped.kind, ExtentKind::Data(Some(location)) if location.offset == 103));
        assert!(Extent::zero(10..20).clipped(&(20..30)).is_none());
    }
}
