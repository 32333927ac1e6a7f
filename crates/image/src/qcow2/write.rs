//! Laying out a new qcow2 image: [`Qcow2Layout`] (QEMU `docs/interop/qcow2.rst`).
//!
//! The header's cluster comes first, then the L1 table, then L2 tables and data in the order of the disk, then
//! the refcounts. Everything is used exactly once, so every reference count is 1 and nothing need be kept but the
//! L1 table and one L2 table. The header is written last: a file that was not finished is no image.

use super::header::{HeaderTail, HeaderV2, HeaderV3, MAGIC, WRITTEN};
use crate::copy::{Files, Layout, Place};
use crate::error::{Error, Result};
use std::io;
use std::ops::Range;
use zerocopy::IntoBytes;

/// Bits of a cluster's size: QEMU's own choice.
const CLUSTER_BITS: u32 = 16;
/// Bytes of a cluster.
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries of an L2 table.
const L2_ENTRIES: u64 = CLUSTER / 8;
/// Bytes of the disk that an L2 table covers.
const L2_SPAN: u64 = CLUSTER * L2_ENTRIES;
/// Bits of a reference count, as a power of two: 16.
const REFCOUNT_ORDER: u32 = 4;
/// Reference counts in a refcount block.
const REFCOUNTS: u64 = CLUSTER / 2;
/// The largest L1 table that QEMU reads, in entries.
const MAX_L1_ENTRIES: u64 = (32 << 20) / 8;
/// The reference count of the cluster is exactly one.
const COPIED: u64 = 1 << 63;

/// Where the clusters of a new image go.
pub(crate) struct Qcow2Layout {
    name: String,
    /// The disk's size in bytes: whole sectors, which is what QEMU counts in.
    size: u64,
    /// Offsets of the L2 tables with their flags.
    l1: Vec<u64>,
    /// The L2 table that is being filled: which, and where it will be.
    current: Option<Table>,
    /// The first unused byte of the file.
    end: u64,
}

struct Table {
    index: u64,
    offset: u64,
    entries: Vec<u64>,
}

impl Qcow2Layout {
    /// The layout of an image of a disk of `size` bytes, rounded up to whole sectors.
    pub(crate) fn new(size: u64, name: &str) -> Result<Self> {
        let too_large = Error::TooLarge { size, format: "qcow2" };
        let Some(rounded) = size.checked_next_multiple_of(512) else { return Err(too_large) };
        let entries = rounded.div_ceil(L2_SPAN).max(1);
        if entries > MAX_L1_ENTRIES {
            return Err(too_large);
        }
        let end = CLUSTER + (entries * 8).next_multiple_of(CLUSTER);
        Ok(Self { name: name.to_owned(), size: rounded, l1: vec![0; entries as usize], current: None, end })
    }

    fn allocate(&mut self) -> u64 {
        let offset = self.end;
        self.end += CLUSTER;
        offset
    }

    fn write_table(&mut self, files: &dyn Files) -> io::Result<()> {
        let Some(table) = self.current.take() else { return Ok(()) };
        if let Some(entry) = self.l1.get_mut(table.index as usize) {
            *entry = table.offset | COPIED;
        }
        files.write(&big_endian(&table.entries), Place::first(table.offset))
    }

    /// Writes the refcount table and blocks behind everything else; answers where and how long, in clusters, the
    /// table is.
    fn write_refcounts(&mut self, files: &dyn Files) -> io::Result<(u64, u64)> {
        let used = self.end / CLUSTER;
        let (blocks, table_clusters) = refcount_clusters(used);
        let first_block = self.end;
        let ones = [0_u8, 1].repeat(REFCOUNTS as usize);
        let mut left = used + blocks + table_clusters;
        for block in 0..blocks {
            let count = left.min(REFCOUNTS);
            let mut counts = ones.get(..count as usize * 2).unwrap_or_default().to_vec();
            counts.resize(CLUSTER as usize, 0);
            files.write(&counts, Place::first(first_block + block * CLUSTER))?;
            left -= count;
        }
        let table_offset = first_block + blocks * CLUSTER;
        let offsets: Vec<u64> = (0..blocks).map(|block| first_block + block * CLUSTER).collect();
        files.write(&big_endian(&offsets), Place::first(table_offset))?;
        self.end = table_offset + table_clusters * CLUSTER;
        Ok((table_offset, table_clusters))
    }

    fn header(&self, refcount_table: u64, refcount_clusters: u64) -> Vec<u8> {
        let common = HeaderV2 {
            magic: MAGIC,
            version: 3.into(),
            backing_file_offset: 0.into(),
            backing_file_size: 0.into(),
            cluster_bits: CLUSTER_BITS.into(),
            size: self.size.into(),
            crypt_method: 0.into(),
            l1_size: (self.l1.len() as u32).into(),
            l1_table_offset: CLUSTER.into(),
            refcount_table_offset: refcount_table.into(),
            refcount_table_clusters: (refcount_clusters as u32).into(),
            nb_snapshots: 0.into(),
            snapshots_offset: 0.into(),
        };
        let extra = HeaderV3 {
            incompatible_features: 0.into(),
            compatible_features: 0.into(),
            autoclear_features: 0.into(),
            refcount_order: REFCOUNT_ORDER.into(),
            header_length: WRITTEN.into(),
        };
        let tail = HeaderTail { compression_type: 0, padding: [0; 7] };
        [common.as_bytes(), extra.as_bytes(), tail.as_bytes()].concat()
    }
}

/// How many clusters the refcount blocks and the refcount table take that count `used` clusters and themselves.
fn refcount_clusters(used: u64) -> (u64, u64) {
    let (mut blocks, mut table) = (0, 0);
    loop {
        let next_blocks = (used + blocks + table).div_ceil(REFCOUNTS);
        let next_table = (next_blocks * 8).div_ceil(CLUSTER);
        if (next_blocks, next_table) == (blocks, table) {
            return (blocks, table);
        }
        (blocks, table) = (next_blocks, next_table);
    }
}

fn big_endian(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

impl Layout for Qcow2Layout {
    fn files(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn unit(&self) -> u64 {
        CLUSTER
    }

    fn place(&mut self, files: &dyn Files, run: Range<u64>) -> io::Result<Place> {
        let index = run.start / L2_SPAN;
        if self.current.as_ref().is_none_or(|table| table.index != index) {
            self.write_table(files)?;
            let offset = self.allocate();
            self.current = Some(Table { index, offset, entries: vec![0; L2_ENTRIES as usize] });
        }
        let first = self.end;
        let clusters = (run.end - run.start).div_ceil(CLUSTER);
        self.end += clusters * CLUSTER;
        let entry = (run.start % L2_SPAN) / CLUSTER;
        let entries = self.current.as_mut().and_then(|table| table.entries.get_mut(entry as usize..));
        for (number, entry) in (0..clusters).zip(entries.into_iter().flatten()) {
            *entry = (first + number * CLUSTER) | COPIED;
        }
        Ok(Place::first(first))
    }

    fn finish(&mut self, files: &dyn Files) -> io::Result<()> {
        self.write_table(files)?;
        let (table, clusters) = self.write_refcounts(files)?;
        files.write(&big_endian(&self.l1), Place::first(CLUSTER))?;
        // The last cluster of data and the tables' clusters are whole in the file, though not written to the end.
        files.set_len(0, self.end)?;
        files.write(&self.header(table, clusters), Place::first(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refcounts_count_themselves() {
        for used in [1, 2, 32_766, 32_767, 32_768, 65_535, 1 << 20, (1 << 28) - 1, 1 << 28] {
            let (blocks, table) = refcount_clusters(used);
            assert!(blocks * REFCOUNTS >= used + blocks + table, "{used}");
            assert!(table * CLUSTER >= blocks * 8, "{used}");
        }
    }

    #[test]
    fn a_disk_beyond_the_format_is_refused() {
        assert!(Qcow2Layout::new(MAX_L1_ENTRIES * L2_SPAN, "x").is_ok());
        assert!(matches!(Qcow2Layout::new(MAX_L1_ENTRIES * L2_SPAN + 1, "x"), Err(Error::TooLarge { .. })));
        assert!(matches!(Qcow2Layout::new(u64::MAX, "x"), Err(Error::TooLarge { .. })));
    }
}
