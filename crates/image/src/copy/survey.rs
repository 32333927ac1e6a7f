//! What there is to do: a disk cut into chunks that hold something and stretches that do not ([`Survey`]).

use super::clone::Cloner;
use super::{CHUNK, source_error};
use crate::error::Result;
use block::{BlockRead, Extent, ExtentKind, FileLocation};
use std::collections::VecDeque;
use std::ops::Range;

/// How much of the disk extents are asked for at once, in bytes: little while there is data, as the answer grows
/// with it, more and more while there is none. The most bounds the answer for a disk that turns dense.
const WINDOW: Range<u64> = 64 << 20..1 << 30;
/// An answer of so few extents says that more can be asked for.
const SPARSE: usize = 4;

/// What is copied.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    /// A disk as a guest sees it.
    Flat(&'a dyn BlockRead),
    /// One image of a chain.
    Layer {
        /// What it holds itself.
        own: &'a dyn BlockRead,
        /// What a guest would see that used it.
        whole: &'a dyn BlockRead,
    },
}

impl<'a> Content<'a> {
    /// Whose extents count.
    pub(super) fn own(self) -> &'a dyn BlockRead {
        match self {
            Self::Flat(disk) => disk,
            Self::Layer { own, .. } => own,
        }
    }

    /// Who is read.
    pub(super) fn whole(self) -> &'a dyn BlockRead {
        match self {
            Self::Flat(disk) => disk,
            Self::Layer { whole, .. } => whole,
        }
    }

    pub(super) fn is_layer(self) -> bool {
        matches!(self, Self::Layer { .. })
    }

    /// Whether the extent is something to copy: data, and in a layer zeroes too, which hide what the parent holds.
    pub(super) fn holds(self, extent: &Extent) -> bool {
        extent.is_data() || self.is_layer() && matches!(extent.kind, ExtentKind::Zero)
    }
}

/// A stretch of the disk for one worker.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// At most a chunk, with extents that cover it and of which at least one holds something.
    Chunk {
        /// Starts at a chunk's start, and ends at its end or the disk's.
        range: Range<u64>,
        /// What lies where in it.
        extents: Vec<Extent>,
    },
    /// Whole chunks of data that lie in a host file from which the target can clone them.
    Located {
        /// Starts and ends at chunks' starts.
        range: Range<u64>,
        /// Where the first byte is.
        location: FileLocation,
    },
    /// Zeroes: starts at a chunk's start, and ends at one or at the disk's end.
    Zero(Range<u64>),
    /// Nothing of a layer's own: starts and ends as zeroes do.
    Absent(Range<u64>),
}

/// The extents of a disk in order, asked for piece by piece.
pub(super) struct Walk<'a> {
    source: &'a dyn BlockRead,
    position: u64,
    window: u64,
    known: VecDeque<Extent>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(source: &'a dyn BlockRead) -> Self {
        Self { source, position: 0, window: WINDOW.start, known: VecDeque::new() }
    }

    /// The next extent, `None` at the end of the disk.
    pub(super) fn peek(&mut self) -> Result<Option<&Extent>> {
        if self.known.is_empty() && self.position < self.source.size() {
            let end = self.position.saturating_add(self.window).min(self.source.size());
            let range = self.position..end;
            let found = self.source.extents(range).map_err(|error| source_error(self.position, error))?;
            let grown = if found.len() <= SPARSE { self.window * 2 } else { WINDOW.start };
            self.window = grown.min(WINDOW.end);
            self.known.extend(found);
            self.position = end;
        }
        Ok(self.known.front())
    }

    /// Forgets what lies before `offset`.
    pub(super) fn skip(&mut self, offset: u64) {
        while self.known.front().is_some_and(|extent| extent.range.end <= offset) {
            self.known.pop_front();
        }
    }
}

/// Cuts a disk into items.
pub(super) struct Survey<'a> {
    content: Content<'a>,
    walk: Walk<'a>,
    cloner: Option<&'a Cloner<'a>>,
    /// The most bytes of an item that is cloned.
    most: u64,
    position: u64,
}

impl<'a> Survey<'a> {
    pub(super) fn new(content: Content<'a>) -> Self {
        Self { content, walk: Walk::new(content.own()), cloner: None, most: CHUNK, position: 0 }
    }

    /// Lets `cloner` clone what it can, up to `most` bytes at a time.
    pub(super) fn with_cloner(self, cloner: Option<&'a Cloner<'a>>, most: u64) -> Self {
        Self { cloner, most, ..self }
    }

    /// The next item, `None` at the end of the disk.
    pub(super) fn next(&mut self) -> Result<Option<Item>> {
        let (start, size) = (self.position, self.content.own().size());
        if start >= size {
            return Ok(None);
        }
        let chunk = start..start.saturating_add(CHUNK).min(size);
        let item = match self.walk.peek()?.and_then(|extent| extent.clipped(&(start..size))) {
            Some(extent) if extent.range.end >= chunk.end => self.large(extent, size),
            _ => None,
        };
        let item = match item {
            Some(item) => item,
            None => self.chunk(chunk)?,
        };
        self.position = item.range().end;
        self.walk.skip(self.position);
        Ok(Some(item))
    }

    /// The item that `extent`, which covers a chunk at least, makes by itself; `None` when it has to be read.
    fn large(&self, extent: Extent, size: u64) -> Option<Item> {
        let Range { start, end } = extent.range;
        let aligned = end / CHUNK * CHUNK;
        let range = start..if end == size { size } else { aligned };
        match extent.kind {
            ExtentKind::Zero => Some(Item::Zero(range)),
            ExtentKind::Absent if self.content.is_layer() => Some(Item::Absent(range)),
            ExtentKind::Absent => Some(Item::Zero(range)),
            ExtentKind::Data(Some(location)) if self.cloner?.accepts(&location) => {
                let range = start..aligned.min(start + self.most);
                (!range.is_empty()).then_some(Item::Located { range, location })
            }
            ExtentKind::Data(_) => None,
        }
    }

    fn chunk(&mut self, chunk: Range<u64>) -> Result<Item> {
        let mut extents = Vec::new();
        let mut position = chunk.start;
        while position < chunk.end {
            let Some(extent) = self.walk.peek()? else { break };
            extents.extend(extent.clipped(&(position..chunk.end)));
            position = extent.range.end;
            self.walk.skip(position.min(chunk.end));
        }
        if extents.iter().any(|extent| self.content.holds(extent)) {
            return Ok(Item::Chunk { range: chunk, extents });
        }
        Ok(if self.content.is_layer() { Item::Absent(chunk) } else { Item::Zero(chunk) })
    }
}

impl Item {
    /// Which bytes of the disk it covers.
    pub(super) fn range(&self) -> &Range<u64> {
        match self {
            Self::Chunk { range, .. } | Self::Located { range, .. } => range,
            Self::Zero(range) | Self::Absent(range) => range,
        }
    }
}

/// How many bytes of data `source` says that it has.
pub(super) fn data_bytes(source: &dyn BlockRead) -> Result<u64> {
    let mut extents = Walk::new(source);
    let mut total = 0;
    while let Some(extent) = extents.peek()? {
        let (end, data) = (extent.range.end, if extent.is_data() { extent.len() } else { 0 });
        total += data;
        extents.skip(end);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::{BlockWrite, MemoryDisk, ZeroDisk};

    /// Each item's range, and the extents of data in it.
    fn items(source: &dyn BlockRead) -> Vec<(Range<u64>, Vec<Range<u64>>)> {
        let mut survey = Survey::new(Content::Flat(source));
        let data = |item: &Item| match item {
            Item::Chunk { extents, .. } => {
                extents.iter().filter(|extent| extent.is_data()).map(|extent| extent.range.clone()).collect()
            }
            _ => Vec::new(),
        };
        std::iter::from_fn(|| survey.next().unwrap())
            .map(|item| (item.range().clone(), data(&item)))
            .collect()
    }

    #[test]
    fn items_cover_the_disk_and_data_is_where_data_is() {
        let disk = MemoryDisk::new(10 * CHUNK + 5);
        disk.write_at(b"x", 3 * CHUNK + 200_000).unwrap();
        disk.write_at(b"x", 4 * CHUNK).unwrap();
        disk.write_at(b"x", 10 * CHUNK + 4).unwrap();
        let block = 65_536;
        let first = 3 * CHUNK + 200_000 / block * block;
        let one = |range: Range<u64>| vec![range];
        assert_eq!(
            items(&disk),
            [
                (0..3 * CHUNK, vec![]),
                (3 * CHUNK..4 * CHUNK, one(first..first + block)),
                (4 * CHUNK..5 * CHUNK, one(4 * CHUNK..4 * CHUNK + block)),
                (5 * CHUNK..10 * CHUNK, vec![]),
                (10 * CHUNK..10 * CHUNK + 5, one(10 * CHUNK..10 * CHUNK + 5)),
            ]
        );
        assert_eq!(data_bytes(&disk).unwrap(), 2 * block + 5);
    }

    #[test]
    fn an_empty_disk_of_64_tib_is_few_items() {
        assert!(items(&ZeroDisk::new(64 << 40)).len() < 70_000);
        assert_eq!(data_bytes(&ZeroDisk::new(64 << 40)).unwrap(), 0);
        assert_eq!(items(&ZeroDisk::new(0)), []);
    }
}
