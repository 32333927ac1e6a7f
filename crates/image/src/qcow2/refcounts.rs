//! The reference counts as they stand in the file ([`Refcounts`]; QEMU `docs/interop/qcow2.rst`, "Host cluster
//! management").

use super::header::Header;
use crate::bytes::Bytes;
use crate::error::Result;

/// Where a refcount table's entry leads to, in bytes.
const BLOCK: u64 = 0xffff_ffff_ffff_fe00;

/// The refcount table.
pub(super) struct Refcounts {
    /// Offsets of the blocks, 0 for those that do not exist; misplaced ones are left out.
    pub(super) blocks: Vec<u64>,
    /// Which blocks are misplaced, and where they would be.
    pub(super) misplaced: Vec<(u64, u64)>,
    order: u32,
    cluster: u64,
}

impl Refcounts {
    /// Reads the table; `None` when it cannot be where the header says.
    pub(super) fn read(file: &impl Bytes, header: &Header) -> Result<Option<Self>> {
        if !header.holds_refcounts(file) {
            return Ok(None);
        }
        let (order, cluster) = (header.refcount_order, header.geometry.cluster());
        let mut blocks = file.words(header.refcounts.offset, header.refcounts.entries)?;
        let mut misplaced = Vec::new();
        for (index, block) in (0..).zip(&mut blocks) {
            *block &= BLOCK;
            if !block.is_multiple_of(cluster) || !file.holds(*block, cluster) {
                misplaced.push((index, std::mem::take(block)));
            }
        }
        Ok(Some(Self { blocks, misplaced, order, cluster }))
    }

    /// How many clusters a block counts.
    pub(super) fn per_block(&self) -> u64 {
        per_block(self.cluster, self.order)
    }

    /// The block at `offset`.
    pub(super) fn block(&self, file: &impl Bytes, offset: u64) -> Result<Block> {
        Ok(Block { bytes: file.bytes(offset, self.cluster)?, order: self.order })
    }
}

/// A refcount block.
pub(super) struct Block {
    bytes: Vec<u8>,
    order: u32,
}

impl Block {
    /// Its counts, in order.
    pub(super) fn counts(&self) -> impl Iterator<Item = u64> {
        (0..per_block(self.bytes.len() as u64, self.order)).map(|index| get(&self.bytes, index, self.order))
    }
}

/// How many clusters a block of `cluster` bytes counts with counts of 2^`order` bits.
pub(super) fn per_block(cluster: u64, order: u32) -> u64 {
    (cluster * 8) >> order
}

/// The largest count of 2^`order` bits.
pub(super) fn largest(order: u32) -> u64 {
    match order {
        0..=5 => (1 << (1_u32 << order)) - 1,
        _ => u64::MAX,
    }
}

/// The count `index` of a block. Those of less than a byte begin with the lowest bits.
fn get(block: &[u8], index: u64, order: u32) -> u64 {
    if order < 3 {
        let bit = index << order;
        let byte = block.get((bit / 8) as usize).copied().unwrap_or(0);
        return u64::from(byte) >> (bit % 8) & largest(order);
    }
    let length = 1_usize << (order - 3);
    let bytes = block.get(index as usize * length..).and_then(|rest| rest.get(..length)).unwrap_or_default();
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Makes the count `index` of a block, which is 0, `count`.
pub(super) fn put(block: &mut [u8], index: u64, order: u32, count: u64) {
    if order < 3 {
        let bit = index << order;
        if let Some(byte) = block.get_mut((bit / 8) as usize) {
            *byte |= ((count & largest(order)) << (bit % 8)) as u8;
        }
        return;
    }
    let length = 1_usize << (order - 3);
    let bytes = count.to_be_bytes();
    let place = block.get_mut(index as usize * length..).and_then(|rest| rest.get_mut(..length));
    if let (Some(place), Some(bytes)) = (place, bytes.get(8 - length..)) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_every_width_are_read_as_they_were_written() {
        for order in 0..=6 {
            let mut block = vec![0; 512];
            let count = |index: u64| (index.wrapping_mul(0x9e37_79b9_7f4a_7c15)) & largest(order);
            let all = per_block(512, order);
            (0..all).for_each(|index| put(&mut block, index, order, count(index)));
            assert!((0..all).all(|index| get(&block, index, order) == count(index)), "{order}");
        }
        assert_eq!((largest(0), largest(4), largest(6)), (1, 65_535, u64::MAX));
        assert_eq!(per_block(65_536, 4), 32_768);
    }
}
