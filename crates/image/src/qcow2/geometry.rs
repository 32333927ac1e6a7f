//! How a qcow2 image's tables are cut ([`Geometry`]), and what their entries hold (QEMU `docs/interop/qcow2.rst`,
//! "Cluster mapping").

/// Where an L1 or L2 entry leads to, in bytes.
pub(super) const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// The cluster that the entry leads to has a reference count of exactly one.
pub(super) const COPIED: u64 = 1 << 63;
/// The L2 entry's cluster is compressed.
pub(super) const COMPRESSED: u64 = 1 << 62;
/// The L2 entry's cluster reads as zeroes (version 3, without extended entries).
pub(super) const ZERO: u64 = 1;
/// Subclusters of a cluster with extended L2 entries.
pub(super) const SUBCLUSTERS: u64 = 32;
/// What a compressed cluster's length is counted in, in bytes.
pub(super) const SECTOR: u64 = 512;
/// The largest L1 table that QEMU reads, in bytes.
pub(super) const MAX_L1: u64 = 32 << 20;
/// The largest refcount table that QEMU reads, in bytes.
pub(super) const MAX_REFCOUNT_TABLE: u64 = 8 << 20;

/// The sizes of which everything else follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// A cluster's size as a power of two: 9 to 21.
    pub(super) cluster_bits: u32,
    /// Whether L2 entries are of 16 bytes and tell of 32 subclusters each.
    pub(super) extended_l2: bool,
}

/// Where the data of a compressed cluster lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CompressedRun {
    /// Where it begins, in bytes.
    pub(super) offset: u64,
    /// To the end of its last sector, in bytes; the data itself may end before.
    pub(super) length: u64,
}

impl Geometry {
    /// Bytes of a cluster.
    pub(super) fn cluster(self) -> u64 {
        1 << self.cluster_bits
    }

    /// Entries of an L2 table.
    pub(super) fn l2_entries(self) -> u64 {
        self.cluster() / self.l2_entry()
    }

    /// Bytes of an L2 entry.
    pub(super) fn l2_entry(self) -> u64 {
        if self.extended_l2 { 16 } else { 8 }
    }

    /// How many bytes of the disk an L2 table covers. At most 2^39.
    pub(super) fn l2_span(self) -> u64 {
        self.cluster() * self.l2_entries()
    }

    /// Entries of an L1 table for a disk of `size` bytes.
    pub(super) fn l1_entries(self, size: u64) -> u64 {
        size.div_ceil(self.l2_span())
    }

    /// The bit of a compressed cluster's L2 entry at which the number of sectors begins.
    fn sectors_shift(self) -> u32 {
        62 - (self.cluster_bits - 8)
    }

    /// What the L2 entry of a compressed cluster says.
    pub(super) fn compressed(self, entry: u64) -> CompressedRun {
        let shift = self.sectors_shift();
        let offset = entry & ((1 << shift) - 1);
        let sectors = (entry & (COMPRESSED - 1)) >> shift;
        CompressedRun { offset, length: (sectors + 1) * SECTOR - offset % SECTOR }
    }

    /// The L2 entry of a cluster whose `length` compressed bytes lie at byte `offset`; `None` when it cannot say so.
    pub(super) fn compressed_entry(self, offset: u64, length: u64) -> Option<u64> {
        let shift = self.sectors_shift();
        let sectors = (offset % SECTOR + length).div_ceil(SECTOR).checked_sub(1)?;
        let fits = offset >> shift == 0 && sectors < 1 << (62 - shift);
        fits.then_some(COMPRESSED | sectors << shift | offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_entry_says_what_it_was_made_of() {
        for cluster_bits in 9..=20 {
            let geometry = Geometry { cluster_bits, extended_l2: false };
            for (offset, length) in [(1 << 20, 1), (777, 511), (512, 512), (513, geometry.cluster() - 1)] {
                let run = geometry.compressed(geometry.compressed_entry(offset, length).unwrap());
                assert_eq!(run.offset, offset);
                assert!((length..length + SECTOR).contains(&run.length), "{length} {}", run.length);
                assert_eq!((run.offset + run.length) % SECTOR, 0);
            }
        }
        let geometry = Geometry { cluster_bits: 16, extended_l2: false };
        assert_eq!(geometry.compressed_entry(1 << 55, 512), None);
        assert_eq!(geometry.compressed_entry(0, 1 << 20), None);
        assert_eq!(geometry.compressed_entry(0, 0), None);
    }
}
