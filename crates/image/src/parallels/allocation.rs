//! The block allocation table (QEMU `docs/interop/parallels.rst`, "BAT"): [`AllocationTable`].

use super::Reason;
use super::header::{Header, LENGTH};
use crate::bytes::Bytes;
use crate::error::Result;
use crate::mapping::{Mapping, Piece, Place, See};
use crate::source::Source;
use crate::table::{Run, Words};
use std::convert::Infallible;
use std::ops::Range;
use zerocopy::little_endian::U32;

/// How many bytes of the table are kept.
const CACHE_BYTES: u64 = 1 << 20;

/// Which cluster is where; the table is read where it is looked at.
pub(super) struct AllocationTable {
    source: Source,
    header: Header,
    words: Words<U32>,
}

impl AllocationTable {
    /// The table of the image in `source`.
    pub(super) fn new(source: Source, header: Header) -> Self {
        Self { source, header, words: Words::new(CACHE_BYTES) }
    }

    /// Hands on each cluster's number and its place in the file in bytes, in the order of the disk, without those
    /// that are absent.
    pub(super) fn present(&self, see: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let entries = self.header.used_entries();
        let mut cluster = 0;
        while cluster < entries {
            for entry in self.entries_from(cluster)?.words().iter().take((entries - cluster) as usize) {
                if entry.get() != 0 {
                    see(cluster, u64::from(entry.get()) * self.header.entry_unit);
                }
                cluster += 1;
            }
        }
        Ok(())
    }

    fn entries_from(&self, cluster: u64) -> Result<Run<U32>> {
        let run = self.words.from(&self.source, LENGTH, self.header.entries, cluster)?;
        if run.words().is_empty() {
            return Err(self.source.error(None, Reason::Truncated { what: "allocation table" }));
        }
        Ok(run)
    }

    /// Where the bytes from `start` on lie that are in `cluster`, whose entry is `entry`.
    fn place(&self, cluster: u64, start: u64, entry: u32) -> Result<Place<Infallible>> {
        if entry == 0 {
            return Ok(Place::Absent);
        }
        let offset = u64::from(entry) * self.header.entry_unit;
        let cluster_start = cluster * self.header.cluster;
        // The last cluster's tail behind the disk's end need not be in the file.
        let needed = (self.header.size - cluster_start).min(self.header.cluster);
        if !self.source.holds(offset, needed) {
            return Err(self.source.error(Some(offset), Reason::ClusterOutside { cluster }));
        }
        Ok(Place::Stored(offset + (start - cluster_start)))
    }
}

impl Mapping for AllocationTable {
    type Packed = Infallible;

    fn source(&self) -> &Source {
        &self.source
    }

    fn size(&self) -> u64 {
        self.header.size
    }

    fn visit(&self, range: Range<u64>, see: See<Infallible>) -> Result<()> {
        let mut start = range.start;
        while start < range.end {
            let first = start / self.header.cluster;
            if first >= self.header.entries {
                return see(Piece { range: start..range.end, place: Place::Absent });
            }
            for (cluster, entry) in (first..).zip(self.entries_from(first)?.words()) {
                let end = ((cluster + 1) * self.header.cluster).min(range.end);
                see(Piece { range: start..end, place: self.place(cluster, start, entry.get())? })?;
                start = end;
                if start == range.end {
                    break;
                }
            }
        }
        Ok(())
    }

    fn read_packed(&self, packed: Infallible, _offset: u64, _buf: &mut [u8]) -> Result<()> {
        match packed {}
    }
}
