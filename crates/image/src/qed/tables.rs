//! The tables of both levels (QEMU `docs/interop/qed_spec.rst`, "Tables"): [`Tables`].

use super::Reason;
use super::header::Header;
use crate::bytes::Bytes;
use crate::error::Result;
use crate::mapping::{Mapping, Place, See};
use crate::source::Source;
use crate::table::{TwoLevels, Words};
use std::convert::Infallible;
use std::ops::Range;
use zerocopy::little_endian::U64;

/// The cluster is absent: the backing file's, and zeroes without one.
const ABSENT: u64 = 0;
/// The cluster reads as zeroes.
const ZERO: u64 = 1;
/// How many bytes of tables are kept.
const CACHE_BYTES: u64 = 4 << 20;

/// The image's own clusters; tables are read where they are looked at.
pub(super) struct Tables {
    source: Source,
    header: Header,
    words: Words<U64>,
}

impl Tables {
    pub(super) fn new(source: Source, header: Header) -> Self {
        Self { source, header, words: Words::new(CACHE_BYTES) }
    }

    /// The entry `index` of the table at byte `table`.
    pub(super) fn entry(&self, table: u64, index: u64) -> Result<u64> {
        let word = self.words.get(&self.source, table, self.header.entries(), index)?;
        Ok(word.map_or(ABSENT, U64::get))
    }

    /// Where the data of a cluster is, as its entry says, in bytes; `None` when it has none.
    pub(super) fn data(&self, table: u64, cluster: u64) -> Result<Option<u64>> {
        let entry = self.entry(table, cluster % self.header.entries())?;
        Ok((entry > ZERO).then_some(entry))
    }
}

impl TwoLevels for Tables {
    type Packed = Infallible;

    fn shape(&self) -> (u64, u64) {
        (self.header.cluster, self.header.entries())
    }

    fn table(&self, index: u64) -> Result<Option<u64>> {
        match self.entry(self.header.l1_offset, index)? {
            ABSENT => Ok(None),
            offset if self.header.is_place(&self.source, offset, self.header.table_clusters) => {
                Ok(Some(offset))
            }
            offset => Err(self.source.error(Some(offset), Reason::L2 { table: index })),
        }
    }

    fn cluster(&self, table: u64, cluster: u64) -> Result<Place<Infallible>> {
        let offset = match self.entry(table, cluster % self.header.entries())? {
            ABSENT => return Ok(Place::Absent),
            ZERO => return Ok(Place::Zero),
            offset => offset,
        };
        // The last cluster's tail behind the disk's end need not be in the file.
        let needed = (self.header.size - cluster * self.header.cluster).min(self.header.cluster);
        if !offset.is_multiple_of(self.header.cluster) || !self.source.holds(offset, needed) {
            return Err(self.source.error(Some(offset), Reason::Cluster { cluster }));
        }
        Ok(Place::Stored(offset))
    }
}

impl Mapping for Tables {
    type Packed = Infallible;

    fn source(&self) -> &Source {
        &self.source
    }

    fn size(&self) -> u64 {
        self.header.size
    }

    fn visit(&self, range: Range<u64>, see: See<Infallible>) -> Result<()> {
        self.visit_clusters(range, see)
    }

    fn read_packed(&self, packed: Infallible, _offset: u64, _buf: &mut [u8]) -> Result<()> {
        match packed {}
    }
}
