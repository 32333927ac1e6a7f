//! A sparse disk in memory.

use crate::{BlockRead, BlockWrite, Extent, Extents, Result, check_range, check_span, is_zero};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The unit in which memory is taken, in bytes.
const BLOCK: u64 = 64 << 10;

type Blocks = BTreeMap<u64, Box<[u8]>>;

/// A disk in memory that holds only what was written to it. Nothing about it is durable.
#[derive(Debug)]
pub struct MemoryDisk {
    size: u64,
    blocks: RwLock<Blocks>,
}

impl MemoryDisk {
    /// A disk of `size` zero bytes, which takes no memory yet.
    pub fn new(size: u64) -> Self {
        Self { size, blocks: RwLock::default() }
    }

    /// A disk that holds `bytes`.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let mut blocks = Blocks::new();
        for (index, chunk) in (0..).zip(bytes.chunks(BLOCK as usize)) {
            if !is_zero(chunk) {
                let mut block = empty_block();
                block[..chunk.len()].copy_from_slice(chunk);
                blocks.insert(index, block);
            }
        }
        Self { size: bytes.len() as u64, blocks: RwLock::new(blocks) }
    }

    /// Everything on the disk. Takes as much memory as the disk is large.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.size as usize];
        for piece in pieces(0..self.size) {
            if let Some(block) = self.shared().get(&piece.index) {
                bytes[piece.outer].copy_from_slice(&block[piece.inner]);
            }
        }
        bytes
    }

    // A panic in another thread leaves no half-made block behind: the disk stays usable.
    fn shared(&self) -> RwLockReadGuard<'_, Blocks> {
        self.blocks.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, Blocks> {
        self.blocks.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for MemoryDisk {
    fn clone(&self) -> Self {
        Self { size: self.size, blocks: RwLock::new(self.shared().clone()) }
    }
}

fn empty_block() -> Box<[u8]> {
    vec![0; BLOCK as usize].into_boxed_slice()
}

/// The part of a request that lies in one block.
struct Piece {
    index: u64,
    /// Within the block.
    inner: Range<usize>,
    /// Within the request.
    outer: Range<usize>,
}

fn pieces(range: Range<u64>) -> impl Iterator<Item = Piece> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let index = start / BLOCK;
        let end = index.saturating_add(1).saturating_mul(BLOCK).min(range.end);
        let piece = Piece {
            index,
            inner: (start - index * BLOCK) as usize..(end.saturating_sub(index * BLOCK)) as usize,
            outer: (start - range.start) as usize..(end.saturating_sub(range.start)) as usize,
        };
        let more = start < range.end;
        start = end;
        more.then_some(piece)
    })
}

impl BlockRead for MemoryDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        let blocks = self.shared();
        for piece in pieces(offset..offset + buf.len() as u64) {
            match blocks.get(&piece.index) {
                Some(block) => buf[piece.outer].copy_from_slice(&block[piece.inner]),
                None => buf[piece.outer].fill(0),
            }
        }
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        check_span(&range, self.size)?;
        let mut extents = Extents::new();
        let mut start = range.start;
        for index in
            self.shared().range(range.start / BLOCK..range.end.div_ceil(BLOCK)).map(|(index, _)| *index)
        {
            let first = (index * BLOCK).max(range.start);
            let end = index.saturating_add(1).saturating_mul(BLOCK).min(range.end);
            extents.push(Extent::zero(start..first));
            extents.push(Extent::data(first..end));
            start = end;
        }
        extents.push(Extent::zero(start..range.end));
        Ok(extents.into_vec())
    }
}

impl BlockWrite for MemoryDisk {
    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        check_range(offset, data.len() as u64, self.size)?;
        let mut blocks = self.exclusive();
        for piece in pieces(offset..offset + data.len() as u64) {
            let block = blocks.entry(piece.index).or_insert_with(empty_block);
            block[piece.inner].copy_from_slice(&data[piece.outer]);
        }
        Ok(())
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        check_span(&range, self.size)?;
        let mut blocks = self.exclusive();
        let touched: Vec<u64> =
            blocks.range(range.start / BLOCK..range.end.div_ceil(BLOCK)).map(|(index, _)| *index).collect();
        for index in touched {
            let start = index * BLOCK;
            let inner = range.start.saturating_sub(start)..(range.end - start).min(BLOCK);
            if inner == (0..BLOCK) {
                blocks.remove(&index);
            } else if let Some(block) = blocks.get_mut(&index) {
                block[inner.start as usize..inner.end as usize].fill(0);
            }
        }
        Ok(())
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        self.zero(range)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn conforms() {
        let bytes = conformance::sample(300_001, 11);
        conformance::read(&MemoryDisk::from_bytes(bytes.clone()), &bytes);
        conformance::write(MemoryDisk::new);
        conformance::parallel(MemoryDisk::new);
    }

    #[test]
    fn the_largest_disk_costs_nothing() {
        let disk = MemoryDisk::new(u64::MAX);
        disk.write_at(b"end", u64::MAX - 3).unwrap();
        disk.zero(0..u64::MAX - 2).unwrap();
        let mut end = [9; 4];
        disk.read_at(&mut end, u64::MAX - 4).unwrap();
        assert_eq!(&end, b"\0\0nd");
        assert_eq!(disk.extents(0..u64::MAX).unwrap().len(), 2);
    }
}
