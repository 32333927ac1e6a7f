//! The tables of both levels (QEMU `block/qcow.c`): [`Tables`].

use super::Reason;
use super::compressed::{Packed, Unpacker};
use super::header::Header;
use crate::bytes::Bytes;
use crate::error::Result;
use crate::mapping::{Mapping, Place, See};
use crate::source::Source;
use crate::table::{TwoLevels, Words};
use std::ops::Range;
use zerocopy::big_endian::U64;

/// The cluster is compressed.
const COMPRESSED: u64 = 1 << 63;
/// How many bytes of tables of the second level are kept.
const CACHE_BYTES: u64 = 4 << 20;
/// How many bytes of the table of the first level are kept.
const L1_CACHE_BYTES: u64 = 256 << 10;

/// The image's own clusters; tables are read where they are looked at.
pub(super) struct Tables {
    source: Source,
    header: Header,
    l1: Words<U64>,
    l2: Words<U64>,
    unpacker: Unpacker,
}

impl Tables {
    pub(super) fn new(source: Source, header: Header) -> Self {
        let unpacker = Unpacker::new(header.cluster());
        Self { source, header, l1: Words::new(L1_CACHE_BYTES), l2: Words::new(CACHE_BYTES), unpacker }
    }

    /// What an entry with the compressed bit says: the upper bits are the length.
    fn packed(&self, cluster: u64, entry: u64) -> Result<Packed> {
        let split = 63 - self.header.cluster_bits;
        let offset = entry & ((1 << split) - 1);
        let length = (entry >> split) & (self.header.cluster() - 1);
        match self.source.size().checked_sub(offset) {
            Some(available) if available > 0 => Ok(Packed { cluster, offset, length: length.min(available) }),
            _ => Err(self.source.error(Some(offset), Reason::Cluster { cluster })),
        }
    }
}

impl TwoLevels for Tables {
    type Packed = Packed;

    fn shape(&self) -> (u64, u64) {
        (self.header.cluster(), self.header.l2_entries())
    }

    fn table(&self, index: u64) -> Result<Option<u64>> {
        let entry = self.l1.get(&self.source, self.header.l1_offset, self.header.l1_entries(), index)?;
        match entry.map_or(0, U64::get) {
            0 => Ok(None),
            offset if self.source.holds(offset, self.header.l2_entries() * 8) => Ok(Some(offset)),
            offset => Err(self.source.error(Some(offset), Reason::L2 { table: index })),
        }
    }

    fn cluster(&self, table: u64, cluster: u64) -> Result<Place<Packed>> {
        let entries = self.header.l2_entries();
        let entry = self.l2.get(&self.source, table, entries, cluster % entries)?;
        let offset = match entry.map_or(0, U64::get) {
            0 => return Ok(Place::Absent),
            entry if entry & COMPRESSED != 0 => return self.packed(cluster, entry).map(Place::Packed),
            offset => offset,
        };
        // The last cluster's tail behind the disk's end need not be in the file.
        let needed = (self.header.size - cluster * self.header.cluster()).min(self.header.cluster());
        if !self.source.holds(offset, needed) {
            return Err(self.source.error(Some(offset), Reason::Cluster { cluster }));
        }
        Ok(Place::Stored(offset))
    }
}

impl Mapping for Tables {
    type Packed = Packed;

    fn source(&self) -> &Source {
        &self.source
    }

    fn size(&self) -> u64 {
        self.header.size
    }

    fn visit(&self, range: Range<u64>, see: See<Packed>) -> Result<()> {
        self.visit_clusters(range, see)
    }

    fn read_packed(&self, packed: Packed, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.unpacker.read(&self.source, packed, offset % self.header.cluster(), buf)
    }
}
