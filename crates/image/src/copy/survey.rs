//! What there is to do: a disk cut into chunks of data and stretches of zeroes ([`Survey`]).

use super::{CHUNK, source_error};
use crate::error::Result;
use block::{BlockRead, Extent};
use std::collections::VecDeque;
use std::ops::Range;

/// How much of the disk extents are asked for at once, in bytes: little while there is data, as the answer grows
/// with it, more and more while there is none. The most bounds the answer for a disk that turns dense.
const WINDOW: Range<u64> = 64 << 20..1 << 30;
/// An answer of so few extents says that more can be asked for.
const SPARSE: usize = 4;

/// A stretch of the disk for one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// At most a chunk, with the bytes between the first and the last of data.
    Data {
        /// Starts at a chunk's start, and ends at its end or the disk's.
        range: Range<u64>,
        /// What has to be read; all else is zeroes.
        data: Range<u64>,
    },
    /// Zeroes: starts at a chunk's start, and ends at one or at the disk's end.
    Zero(Range<u64>),
}

/// The extents of a disk in order, asked for piece by piece.
struct Extents<'a> {
    source: &'a dyn BlockRead,
    position: u64,
    window: u64,
    known: VecDeque<Extent>,
}

impl Extents<'_> {
    /// The next extent, `None` at the end of the disk.
    fn peek(&mut self) -> Result<Option<&Extent>> {
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
    fn skip(&mut self, offset: u64) {
        while self.known.front().is_some_and(|extent| extent.range.end <= offset) {
            self.known.pop_front();
        }
    }
}

/// Cuts a disk into items.
pub(super) struct Survey<'a> {
    extents: Extents<'a>,
    position: u64,
}

impl<'a> Survey<'a> {
    pub(super) fn new(source: &'a dyn BlockRead) -> Self {
        let extents = Extents { source, position: 0, window: WINDOW.start, known: VecDeque::new() };
        Self { extents, position: 0 }
    }

    /// The next item, `None` at the end of the disk.
    pub(super) fn next(&mut self) -> Result<Option<Item>> {
        let size = self.extents.source.size();
        let start = self.position;
        if start >= size {
            return Ok(None);
        }
        let chunk = start..start.saturating_add(CHUNK).min(size);
        let mut data: Option<Range<u64>> = None;
        let mut position = start;
        while position < chunk.end {
            let Some(extent) = self.extents.peek()? else { break };
            let end = extent.range.end;
            if extent.is_data() {
                let from = data.as_ref().map_or(position, |data| data.start);
                data = Some(from..end.min(chunk.end));
            } else if position == start && end >= chunk.end {
                let end = if end == size { size } else { end / CHUNK * CHUNK };
                self.extents.skip(end);
                self.position = end;
                return Ok(Some(Item::Zero(start..end)));
            }
            position = end;
            self.extents.skip(position.min(chunk.end));
        }
        self.position = chunk.end;
        Ok(Some(match data {
            Some(data) => Item::Data { range: chunk, data },
            None => Item::Zero(chunk),
        }))
    }
}

/// How many bytes of data `source` says that it has.
pub(super) fn data_bytes(source: &dyn BlockRead) -> Result<u64> {
    let mut extents = Extents { source, position: 0, window: WINDOW.start, known: VecDeque::new() };
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

    fn items(source: &dyn BlockRead) -> Vec<Item> {
        let mut survey = Survey::new(source);
        std::iter::from_fn(|| survey.next().unwrap()).collect()
    }

    #[test]
    fn items_cover_the_disk_and_data_is_where_data_is() {
        let disk = MemoryDisk::new(10 * CHUNK + 5);
        disk.write_at(b"x", 3 * CHUNK + 200_000).unwrap();
        disk.write_at(b"x", 4 * CHUNK).unwrap();
        disk.write_at(b"x", 10 * CHUNK + 4).unwrap();
        let block = 65_536;
        let first = 3 * CHUNK + 200_000 / block * block;
        assert_eq!(
            items(&disk),
            [
                Item::Zero(0..3 * CHUNK),
                Item::Data { range: 3 * CHUNK..4 * CHUNK, data: first..first + block },
                Item::Data { range: 4 * CHUNK..5 * CHUNK, data: 4 * CHUNK..4 * CHUNK + block },
                Item::Zero(5 * CHUNK..10 * CHUNK),
                Item::Data { range: 10 * CHUNK..10 * CHUNK + 5, data: 10 * CHUNK..10 * CHUNK + 5 },
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
