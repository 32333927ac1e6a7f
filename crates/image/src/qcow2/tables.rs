//! The L1 and L2 tables (QEMU `docs/interop/qcow2.rst`, "Cluster mapping"): [`Tables`].

use super::Reason;
use super::compressed::{Packed, Unpacker};
use super::geometry::{COMPRESSED, COPIED, Geometry, OFFSET, SUBCLUSTERS, ZERO};
use super::header::{EXTERNAL_DATA, Header, TablePlace};
use super::luks::Volume;
use crate::bytes::Bytes;
use crate::cache::Cache;
use crate::error::Result;
use crate::mapping::{Mapped, Mapping, Piece, Place, See};
use crate::source::Source;
use std::ops::Range;
use std::sync::Arc;

/// How much of an L2 table is read and kept as one, in bytes.
const SLICE: u64 = 4096;
/// How many bytes of L2 tables are kept.
const CACHE_BYTES: u64 = 4 << 20;

/// The image's own clusters, as the active L1 table or that of a snapshot has them.
pub(super) struct Tables {
    files: Files,
    geometry: Geometry,
    /// Whether a bit of L2 entries says that a cluster is zeroes.
    zero_bit: bool,
    external: bool,
    /// The disk's size in bytes.
    size: u64,
    l1: Vec<u64>,
    slices: Cache<Arc<[u64]>>,
    unpacker: Unpacker,
}

/// Where the tables and the data are.
pub(super) struct Files {
    /// The file that holds the tables.
    pub(super) tables: Source,
    /// The file that holds the data: the same, but for an external data file.
    pub(super) data: Source,
    /// What decrypts clusters of data.
    pub(super) volume: Option<Volume>,
}

/// How a cluster is stored that does not lie in the file as it is.
#[derive(Clone, Copy)]
pub(super) enum Stored {
    Compressed(Packed),
    /// Encrypted; its first byte is here in the file, in bytes.
    Encrypted(u64),
}

/// An L2 entry; without extended entries `bitmap` is 0.
#[derive(Clone, Copy, Default)]
struct Entry {
    descriptor: u64,
    bitmap: u64,
}

impl Tables {
    /// Reads the table `l1` of the image in `files`, which maps a disk of `size` bytes; L2
    /// tables are read when they are needed.
    pub(super) fn read(files: Files, header: &Header, l1: TablePlace, size: u64) -> Result<Mapped<Self>> {
        let geometry = header.geometry;
        let l1 = files.tables.words(l1.offset, geometry.l1_entries(size))?;
        Ok(Mapped(Self {
            files,
            geometry,
            zero_bit: header.version >= 3,
            external: header.has(EXTERNAL_DATA),
            size,
            l1,
            slices: Cache::new((CACHE_BYTES / SLICE) as usize),
            unpacker: Unpacker::new(geometry, header.compression),
        }))
    }

    /// Where the L2 table `index` is; `None` when none of its clusters exists.
    fn l2_offset(&self, index: u64) -> Result<Option<u64>> {
        let entry = usize::try_from(index).ok().and_then(|index| self.l1.get(index)).copied().unwrap_or(0);
        let offset = entry & OFFSET;
        if offset == 0 {
            return Ok(None);
        }
        let cluster = self.geometry.cluster();
        if !offset.is_multiple_of(cluster) || !self.files.tables.holds(offset, cluster) {
            return Err(self.files.tables.error(Some(offset), Reason::L2 { table: index }));
        }
        Ok(Some(offset))
    }

    /// Bytes of a slice.
    fn slice_bytes(&self) -> u64 {
        SLICE.min(self.geometry.cluster())
    }

    /// The words of a slice, by its number in the L2 table `table`, which is at `offset`.
    fn slice(&self, table: u64, offset: u64, slice: u64) -> Result<Arc<[u64]>> {
        let length = self.slice_bytes();
        let key = table * (self.geometry.cluster() / length) + slice;
        self.slices
            .get_or_make(key, || Ok(self.files.tables.words(offset + slice * length, length / 8)?.into()))
    }

    /// Hands on the pieces of `range`, which lies in what the L2 table `table` at `offset` covers.
    fn visit_table(&self, table: u64, offset: u64, range: Range<u64>, see: See<Stored>) -> Result<()> {
        let entries = self.slice_bytes() / self.geometry.l2_entry();
        let words = (self.geometry.l2_entry() / 8) as usize;
        let first = table * self.geometry.l2_entries();
        let mut start = range.start;
        while start < range.end {
            let index = start / self.geometry.cluster() - first;
            let slice = self.slice(table, offset, index / entries)?;
            let skipped = (index % entries) as usize * words;
            for entry in slice.get(skipped..).unwrap_or_default().chunks_exact(words) {
                let cluster = start / self.geometry.cluster();
                let end = ((cluster + 1) * self.geometry.cluster()).min(range.end);
                let at = |place: usize| entry.get(place).copied().unwrap_or(0);
                self.visit_cluster(cluster, Entry { descriptor: at(0), bitmap: at(1) }, start..end, see)?;
                start = end;
                if start >= range.end {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Hands on the pieces of `range`, all of which lies in the disk's cluster `cluster`.
    fn visit_cluster(&self, cluster: u64, entry: Entry, range: Range<u64>, see: See<Stored>) -> Result<()> {
        let size = self.geometry.cluster();
        let start = cluster * size;
        if entry.descriptor & COMPRESSED != 0 {
            if self.external {
                return Err(self.files.tables.error(None, Reason::Cluster { cluster }));
            }
            let packed = self.unpacker.locate(&self.files.tables, cluster, entry.descriptor)?;
            return see(Piece { range, place: Place::Packed(Stored::Compressed(packed)) });
        }
        if !self.geometry.extended_l2 {
            let place = if self.zero_bit && entry.descriptor & ZERO != 0 {
                Place::Zero
            } else if self.is_absent(entry.descriptor) {
                Place::Absent
            } else {
                let offset = entry.descriptor & OFFSET;
                self.stored(self.check(cluster, offset, 0..size)? + (range.start - start))
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
                self.stored(self.check(cluster, entry.descriptor & OFFSET, subcluster)? + (from - start))
            };
            see(Piece { range: from..end, place })?;
            from = end;
        }
        Ok(())
    }

    /// The place of what is at byte `offset` of the file.
    fn stored(&self, offset: u64) -> Place<Stored> {
        match self.files.volume {
            Some(_) => Place::Packed(Stored::Encrypted(offset)),
            None => Place::Stored(offset),
        }
    }

    /// Whether an entry leads nowhere. In an external data file a cluster may well begin at byte 0.
    fn is_absent(&self, descriptor: u64) -> bool {
        descriptor & OFFSET == 0 && !(self.external && descriptor & COPIED != 0)
    }

    /// `offset`, if the bytes `part` of a cluster of data can be there. A file may end behind the last subcluster
    /// that was written.
    fn check(&self, cluster: u64, offset: u64, part: Range<u64>) -> Result<u64> {
        let size = self.geometry.cluster();
        // The last cluster's tail behind the disk's end need not be in the file.
        let needed = (self.size - cluster * size).min(part.end);
        let nowhere = offset == 0 && !self.external;
        if nowhere || !offset.is_multiple_of(size) || !self.files.data.holds(offset, needed) {
            return Err(self.files.data.error(Some(offset), Reason::Cluster { cluster }));
        }
        Ok(offset)
    }
}

impl Mapping for Tables {
    type Packed = Stored;

    fn source(&self) -> &Source {
        &self.files.data
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn visit(&self, range: Range<u64>, see: See<Stored>) -> Result<()> {
        let span = self.geometry.l2_span();
        let mut start = range.start;
        while start < range.end {
            let table = start / span;
            let end = ((table + 1) * span).min(range.end);
            match self.l2_offset(table)? {
                Some(offset) => self.visit_table(table, offset, start..end, see)?,
                None => see(Piece { range: start..end, place: Place::Absent })?,
            }
            start = end;
        }
        Ok(())
    }

    fn read_packed(&self, stored: Stored, offset: u64, buf: &mut [u8]) -> Result<()> {
        match (stored, &self.files.volume) {
            (Stored::Compressed(packed), _) => {
                self.unpacker.read(&self.files.tables, packed, offset % self.geometry.cluster(), buf)
            }
            (Stored::Encrypted(place), Some(volume)) => volume.read(&self.files.data, place, buf),
            (Stored::Encrypted(place), None) => self.files.data.read(buf, place),
        }
    }
}
