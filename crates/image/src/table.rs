//! Tables of words of one width, read piece by piece where they are looked at: [`Words`]; and tables of tables:
//! [`TwoLevels`].

use crate::bytes::Bytes;
use crate::cache::Cache;
use crate::error::Result;
use crate::mapping::{Piece, Place, See};
use crate::source::Source;
use std::ops::Range;
use std::sync::Arc;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// How much of a table is read and kept as one, in bytes: whole words of any width.
const SLICE: u64 = 4096;

/// A word of a table as it lies in the file.
pub(crate) trait Word: FromBytes + Immutable + KnownLayout + Unaligned + Copy + Send + Sync {}

impl<W: FromBytes + Immutable + KnownLayout + Unaligned + Copy + Send + Sync> Word for W {}

/// Reads the words of a file's tables, and keeps what was read last.
pub(crate) struct Words<W> {
    cache: Cache<Arc<[W]>>,
}

/// Words of a table in a row.
pub(crate) struct Run<W> {
    slice: Arc<[W]>,
    first: usize,
}

impl<W> Run<W> {
    /// The words.
    pub(crate) fn words(&self) -> &[W] {
        self.slice.get(self.first..).unwrap_or_default()
    }
}

impl<W: Word> Words<W> {
    /// Keeps about `bytes` of tables.
    pub(crate) fn new(bytes: u64) -> Self {
        Self { cache: Cache::new((bytes / SLICE) as usize) }
    }

    /// Words from `index` on of the table of `count` words at byte `table`, which lies in the file: at least one as
    /// long as `index` is below `count`, and as many as were read at once.
    pub(crate) fn from(&self, source: &Source, table: u64, count: u64, index: u64) -> Result<Run<W>> {
        let width = size_of::<W>() as u64;
        let slice = index * width / SLICE * SLICE;
        let length = SLICE.min((count * width).saturating_sub(slice));
        let place = table + slice;
        // Neighbours go to different shards of the cache, which tells them by the lowest bits.
        let slice_words = self.cache.get_or_make(place.rotate_right(SLICE.ilog2()), || -> Result<_> {
            let bytes = source.bytes(place, length)?;
            Ok(<[W]>::ref_from_bytes(&bytes).unwrap_or_default().into())
        })?;
        Ok(Run { slice: slice_words, first: ((index * width - slice) / width) as usize })
    }

    /// The word `index` of the table of `count` words at byte `table`, which lies in the file.
    pub(crate) fn get(&self, source: &Source, table: u64, count: u64, index: u64) -> Result<Option<W>> {
        Ok(self.from(source, table, count, index)?.words().first().copied())
    }
}

/// A disk whose clusters are found through a table of tables.
pub(crate) trait TwoLevels {
    /// How the format describes a compressed cluster.
    type Packed: Copy;

    /// How many bytes a cluster has, and how many clusters a table of the second level tells of.
    fn shape(&self) -> (u64, u64);

    /// Where in the file the table `index` of the second level is, in bytes; `None` when all its clusters are absent.
    /// It lies in the file.
    fn table(&self, index: u64) -> Result<Option<u64>>;

    /// Where the disk's cluster `cluster` begins, of which the table at byte `table` of the file tells.
    fn cluster(&self, table: u64, cluster: u64) -> Result<Place<Self::Packed>>;

    /// Hands on the pieces of `range`, as [`Mapping::visit`](crate::mapping::Mapping::visit) does.
    fn visit_clusters(&self, range: Range<u64>, see: See<Self::Packed>) -> Result<()> {
        let (size, entries) = self.shape();
        let mut start = range.start;
        while start < range.end {
            let index = start / size / entries;
            let table_end = (index + 1).saturating_mul(size.saturating_mul(entries)).min(range.end);
            let Some(table) = self.table(index)? else {
                see(Piece { range: start..table_end, place: Place::Absent })?;
                start = table_end;
                continue;
            };
            while start < table_end {
                let cluster = start / size;
                let end = (cluster + 1).saturating_mul(size).min(table_end);
                let place = match self.cluster(table, cluster)? {
                    Place::Stored(offset) => Place::Stored(offset + start % size),
                    other => other,
                };
                see(Piece { range: start..end, place })?;
                start = end;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::MemoryDisk;
    use std::path::PathBuf;
    use zerocopy::little_endian::U32;

    #[test]
    fn words_are_those_of_the_file_wherever_the_table_begins() {
        let table: Vec<u8> = (0..5000_u32).flat_map(u32::to_le_bytes).collect();
        for offset in [0, 64, 511] {
            let bytes = [vec![0xee; offset], table.clone()].concat();
            let source =
                Source { disk: Arc::new(MemoryDisk::from_bytes(bytes)), path: PathBuf::from("table") };
            let words = Words::<U32>::new(64 << 10);
            let mut index = 0;
            while index < 5000 {
                let run = words.from(&source, offset as u64, 5000, index).unwrap();
                assert!(!run.words().is_empty());
                for word in run.words() {
                    assert_eq!(u64::from(word.get()), index);
                    index += 1;
                }
            }
            let last = words.get(&source, offset as u64, 5000, 4999).unwrap();
            assert_eq!(last.map(U32::get), Some(4999));
        }
    }
}
