//! The L1 and L2 tables (QEMU `docs/interop/qcow2.rst`, "Cluster mapping"): [`Tables`].

use super::Reason;
use super::compressed::{Packed, Unpacker};
use super::header::Header;
use crate::cache::Cache;
use crate::error::Result;
use crate::mapping::{Mapped, Mapping, Piece, Place, See};
use crate::source::Source;
use std::ops::Range;
use std::sync::Arc;

/// Where an L1 or L2 entry leads to, in bytes.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// The L2 entry's cluster is compressed.
const COMPRESSED: u64 = 1 << 62;
/// The L2 entry's cluster reads as zeroes (version 3, without extended entries).
const ZERO: u64 = 1;
/// Subclusters of a cluster with extended L2 entries.
const SUBCLUSTERS: u64 = 32;
/// How much of an L2 table is read and kept as one, in bytes.
const SLICE: u64 = 4096;
/// How many bytes of L2 tables are kept.
const CACHE_BYTES: u64 = 4 << 20;

/// The image's own clusters.
pub(super) struct Tables {
    source: Source,
    header: Header,
    l1: Vec<u64>,
    slices: Cache<Arc<[u64]>>,
    unpacker: Unpacker,
}

/// An L2 entry; without extended entries `bitmap` is 0.
#[derive(Clone, Copy, Default)]
struct Entry {
    descriptor: u64,
    bitmap: u64,
}

impl Tables {
    /// Reads the L1 table of the image in `source`; L2 tables are read when they are needed.
    pub(super) fn read(source: Source, header: Header) -> Result<Mapped<Self>> {
        let used = header.size.div_ceil(header.l2_span());
        let bytes = source.bytes(header.l1_offset, used * 8)?;
        let l1 = bytes.as_chunks::<8>().0.iter().map(|entry| u64::from_be_bytes(*entry)).collect();
        let slices = Cache::new((CACHE_BYTES / SLICE) as usize);
        let unpacker = Unpacker::new(&header);
        Ok(Mapped(Self { source, header, l1, slices, unpacker }))
    }

    /// Where the L2 table `index` is; `None` when none of its clusters exists.
    fn l2_offset(&self, index: u64) -> Result<Option<u64>> {
        let entry = usize::try_from(index).ok().and_then(|index| self.l1.get(index)).copied().unwrap_or(0);
        let offset = entry & OFFSET;
        if offset == 0 {
            return Ok(None);
        }
        let cluster = self.header.cluster();
        if !offset.is_multiple_of(cluster) || !self.source.holds(offset, cluster) {
            return Err(super::error(&self.source, Some(offset), Reason::L2 { table: index }));
        }
        Ok(Some(offset))
    }

    /// The words of the slice of the L2 table at `offset` that holds the entry `index` of that table, and the
    /// entry's place in it.
    fn entry(&self, table: u64, offset: u64, index: u64) -> Result<Entry> {
        let length = SLICE.min(self.header.cluster());
        let byte = index * self.header.l2_entry();
        let slice = byte / length;
        let key = table * (self.header.cluster() / length) + slice;
        let words = self.slices.get_or_make(key, || -> Result<_> {
            let bytes = self.source.bytes(offset + slice * length, length)?;
            Ok(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_be_bytes(*word)).collect::<Arc<[u64]>>())
        })?;
        let word = ((byte % length) / 8) as usize;
        let at = |word: usize| words.get(word).copied().unwrap_or(0);
        let bitmap = if self.header.extended_l2 { at(word + 1) } else { 0 };
        Ok(Entry { descriptor: at(word), bitmap })
    }

    /// Hands on the pieces of `range`, all of which lies in the disk's cluster `cluster`.
    fn visit_cluster(&self, cluster: u64, entry: Entry, range: Range<u64>, see: See<Packed>) -> Result<()> {
        let size = self.header.cluster();
        let start = cluster * size;
        if entry.descriptor & COMPRESSED != 0 {
            let packed = self.unpacker.locate(&self.source, cluster, entry.descriptor)?;
            return see(Piece { range, place: Place::Packed(packed) });
        }
        if !self.header.extended_l2 {
            let zero = self.header.version >= 3 && entry.descriptor & ZERO != 0;
            let place = match entry.descriptor & OFFSET {
                _ if zero => Place::Zero,
                0 => Place::Absent,
                offset => Place::Stored(self.data(cluster, offset, 0..size)? + (range.start - start)),
            };
            return see(Piece { range, place });
        }
        let unit = size / SUBCLUSTERS;
        let mut from = range.start;
        while from < range.end {
            let index = (from - start) / unit;
            let end = (start + (index + 1) * unit).min(range.end);
            let place = if entry.bitmap >> (index + SUBCLUSTERS) & 1 != 0 {
                Place::Zero
            } else if entry.bitmap >> index & 1 == 0 {
                Place::Absent
            } else {
                let subcluster = index * unit..(index + 1) * unit;
                Place::Stored(self.data(cluster, entry.descriptor & OFFSET, subcluster)? + (from - start))
            };
            see(Piece { range: from..end, place })?;
            from = end;
        }
        Ok(())
    }

    /// `offset`, if the bytes `part` of a cluster of data can be there. A file may end behind the last subcluster
    /// that was written.
    fn data(&self, cluster: u64, offset: u64, part: Range<u64>) -> Result<u64> {
        let size = self.header.cluster();
        // The last cluster's tail behind the disk's end need not be in the file.
        let needed = (self.header.size - cluster * size).min(part.end);
        if offset == 0 || !offset.is_multiple_of(size) || !self.source.holds(offset, needed) {
            return Err(super::error(&self.source, Some(offset), Reason::Cluster { cluster }));
        }
        Ok(offset)
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
        let (span, size, entries) = (self.header.l2_span(), self.header.cluster(), self.header.l2_entries());
        let mut start = range.start;
        while start < range.end {
            let table = start / span;
            let table_end = ((table + 1) * span).min(range.end);
            let Some(offset) = self.l2_offset(table)? else {
                see(Piece { range: start..table_end, place: Place::Absent })?;
                start = table_end;
                continue;
            };
            while start < table_end {
                let cluster = start / size;
                let end = ((cluster + 1) * size).min(table_end);
                let entry = self.entry(table, offset, cluster % entries)?;
                self.visit_cluster(cluster, entry, start..end, see)?;
                start = end;
            }
        }
        Ok(())
    }

    fn read_packed(&self, packed: Packed, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.unpacker.read(&self.source, packed, offset % self.header.cluster(), buf)
    }
}
