//! The clusters of a new image's file and their reference counts ([`Clusters`]; QEMU `docs/interop/qcow2.rst`, "Host
//! cluster management").

use super::super::geometry::MAX_REFCOUNT_TABLE;
use super::big_endian;
use crate::copy::{Files, Place};
use std::io;
use std::ops::Range;

/// Bits of a reference count, as a power of two: 16, which is QEMU's own choice.
pub(super) const REFCOUNT_ORDER: u32 = 4;
/// Bytes of a reference count.
const REFCOUNT: u64 = 2;

/// Gives out clusters in ascending order and writes their counts as soon as they are final.
pub(super) struct Clusters {
    /// Bytes of a cluster.
    size: u64,
    /// The first unused byte of the file: a cluster's start.
    end: u64,
    /// Where the next compressed cluster goes; at a cluster's start none is begun.
    packed_end: u64,
    /// By ascending number the clusters of compressed data, with how many compressed clusters they hold parts of.
    /// All others have a count of one. Only those whose refcount block is not written yet.
    packed: Vec<(u64, u16)>,
    /// Where the refcount blocks are that are written.
    blocks: Vec<u64>,
}

/// Where the refcount table is.
#[derive(Clone, Copy, Debug)]
pub(super) struct RefcountTable {
    /// In bytes.
    pub(super) offset: u64,
    pub(super) clusters: u64,
}

impl Clusters {
    /// Clusters of `size` bytes, those before `end` taken.
    pub(super) fn new(size: u64, end: u64) -> Self {
        Self { size, end, packed_end: end, packed: Vec::new(), blocks: Vec::new() }
    }

    /// The first unused byte of the file.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Takes `count` clusters in a row; answers with the first one's offset.
    pub(super) fn allocate(&mut self, files: &dyn Files, count: u64) -> io::Result<u64> {
        self.settle(files)?;
        let offset = self.end;
        self.end += count * self.size;
        Ok(offset)
    }

    /// Takes room for `length` bytes of a compressed cluster behind the last one; answers with its offset.
    pub(super) fn pack(&mut self, files: &dyn Files, length: u64) -> io::Result<u64> {
        let boundary = self.packed_end.next_multiple_of(self.size);
        let full = self.packed.last().is_some_and(|(_, count)| *count == u16::MAX);
        if self.packed_end + length > boundary || full {
            // It goes on in the next cluster, or starts there when that one is not free.
            if boundary != self.end || full {
                self.packed_end = self.end;
            }
            let more = (self.packed_end + length).next_multiple_of(self.size) - self.end;
            self.end += more;
        }
        let offset = self.packed_end;
        self.packed_end += length;
        for cluster in offset / self.size..self.packed_end.div_ceil(self.size) {
            match self.packed.last_mut() {
                Some((last, count)) if *last == cluster => *count += 1,
                _ => self.packed.push((cluster, 1)),
            }
        }
        self.settle(files)?;
        Ok(offset)
    }

    /// How many clusters a refcount block counts.
    fn counts(&self) -> u64 {
        self.size / REFCOUNT
    }

    /// Writes the blocks whose counts do not change any more.
    fn settle(&mut self, files: &dyn Files) -> io::Result<()> {
        loop {
            let block_end = (self.blocks.len() as u64 + 1) * self.counts();
            let settled = self.end.min(if self.packing() { self.packed_end } else { self.end }) / self.size;
            if block_end > settled {
                return Ok(());
            }
            let offset = self.end;
            self.end += self.size;
            self.write_block(files, offset, block_end - self.counts()..block_end)?;
        }
    }

    /// Whether a cluster of compressed data has room left.
    fn packing(&self) -> bool {
        !self.packed_end.is_multiple_of(self.size)
    }

    /// Writes the block of the counts of `clusters` to `offset`.
    fn write_block(&mut self, files: &dyn Files, offset: u64, clusters: Range<u64>) -> io::Result<()> {
        let mut counts = vec![0; self.size as usize];
        let used = ((clusters.end - clusters.start) * REFCOUNT) as usize;
        for count in counts.get_mut(..used).unwrap_or_default().as_chunks_mut::<2>().0 {
            *count = 1_u16.to_be_bytes();
        }
        let known = self.packed.partition_point(|(cluster, _)| *cluster < clusters.end);
        for (cluster, count) in self.packed.drain(..known) {
            let place = (cluster - clusters.start) as usize;
            if let Some(entry) = counts.as_chunks_mut::<2>().0.get_mut(place) {
                *entry = count.to_be_bytes();
            }
        }
        self.blocks.push(offset);
        files.write(&counts, Place::first(offset))
    }

    /// Writes the counts of everything else and of themselves, and the table; nothing is given out any more.
    pub(super) fn finish(&mut self, files: &dyn Files) -> io::Result<RefcountTable> {
        self.packed_end = self.packed_end.next_multiple_of(self.size);
        let written = self.blocks.len() as u64;
        let (blocks, clusters) = self.remaining();
        let first = self.end;
        self.end += (blocks + clusters) * self.size;
        let used = self.end / self.size;
        for block in 0..blocks {
            let start = (written + block) * self.counts();
            self.write_block(files, first + block * self.size, start..used.min(start + self.counts()))?;
        }
        if (written + blocks) * 8 > MAX_REFCOUNT_TABLE {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the file is too large for its clusters: QEMU would not read the refcount table",
            ));
        }
        let offset = first + blocks * self.size;
        files.write(&big_endian(&self.blocks), Place::first(offset))?;
        Ok(RefcountTable { offset, clusters })
    }

    /// How many more blocks, and clusters of the table, count what there is and themselves.
    fn remaining(&self) -> (u64, u64) {
        let (written, used) = (self.blocks.len() as u64, self.end / self.size);
        let (mut blocks, mut table) = (0, 0);
        loop {
            let all = (used + blocks + table).div_ceil(self.counts());
            let next = (all.saturating_sub(written), (all.max(written) * 8).div_ceil(self.size));
            if next == (blocks, table) {
                return next;
            }
            (blocks, table) = next;
        }
    }
}
