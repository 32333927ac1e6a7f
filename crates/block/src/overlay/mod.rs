//! Copy-on-write over a base that is never written.

mod changed;
mod ranges;
mod store;
#[cfg(test)]
mod tests;

use crate::{BlockRead, BlockWrite, Extent, Extents, Result, check_range, check_span};
use changed::{Changed, Grain};
use ranges::RangeSet;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use store::Store;

/// What is copied up at the edge of a write and accounted, in bytes: a page, and the block of most filesystems.
const GRAIN: u64 = 4 << 10;
/// What room is taken for, in bytes: one entry for 16 grains.
const BLOCK: u64 = 64 << 10;
/// How many locks the blocks are spread over. Neighbouring blocks are under different ones.
const SHARDS: usize = 64;
/// What is written at a time where part of a grain is zeroed.
const ZEROES: [u8; GRAIN as usize] = [0; GRAIN as usize];

/// How much an overlay may keep where.
#[derive(Clone, Debug)]
pub struct OverlayOptions {
    /// How many bytes of changed data may lie in memory, in units of 64 KiB; what exceeds it goes to a spill file.
    pub memory_limit: u64,
    /// The directory of the spill file, which has no name and is gone with the overlay.
    pub spill_directory: PathBuf,
}

impl OverlayOptions {
    /// 64 MiB in memory, the rest in `spill_directory`.
    pub fn new(spill_directory: impl Into<PathBuf>) -> Self {
        Self { memory_limit: 64 << 20, spill_directory: spill_directory.into() }
    }
}

/// A writable disk over a base that is never written: what changed lies in memory and in a spill file, everything
/// else is read from the base.
///
/// Zeroes and discards are remembered as zeroes, so that what the base held there never returns. What an overlay
/// costs follows from what was changed, not from the size of the disk: the data, about 60 bytes for every 64 KiB
/// block that holds some, and about 40 bytes for every contiguous run of zeroed blocks.
///
/// Nothing here is durable; [`flush`](BlockWrite::flush) has nothing to do.
pub struct Overlay {
    base: Arc<dyn BlockRead>,
    size: u64,
    /// Which whole blocks were ever zeroed, in bytes. It only grows: a block's entry in a shard goes before it.
    ///
    /// Whoever finds no entry looks here while holding the shard's lock, and zeroing adds here before it
    /// removes entries: so no one finds neither and takes a zeroed block for the base's.
    zeroed: RwLock<RangeSet>,
    shards: Vec<RwLock<Shard>>,
    store: Store,
    data_grains: AtomicU64,
}

/// Some of the changed blocks, by their number.
type Shard = BTreeMap<u64, Changed>;

impl Overlay {
    /// An overlay without changes: it reads as `base`.
    pub fn new(base: Arc<dyn BlockRead>, options: OverlayOptions) -> Self {
        Self {
            size: base.size(),
            base,
            zeroed: RwLock::default(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            store: Store::new(options.memory_limit, options.spill_directory),
            data_grains: AtomicU64::new(0),
        }
    }

    /// How many bytes of data the overlay holds, in whole grains of 4 KiB; zeroes and discards hold none.
    pub fn changed_bytes(&self) -> u64 {
        self.data_grains.load(Ordering::Relaxed) * GRAIN
    }

    fn shard(&self, block: u64) -> &RwLock<Shard> {
        // SHARDS shards, so the remainder is in range.
        &self.shards[(block % SHARDS as u64) as usize]
    }

    /// The shards of these blocks, each once.
    fn shards(&self, blocks: &Range<u64>) -> impl Iterator<Item = &RwLock<Shard>> {
        blocks.clone().take(SHARDS).map(|block| self.shard(block))
    }

    fn is_zeroed(&self, block: u64) -> bool {
        shared(&self.zeroed).contains(block * BLOCK)
    }

    /// Makes a change to one block, under its shard's lock, and keeps the count of grains with data.
    fn change(&self, block: u64, change: impl FnOnce(&mut Changed) -> Result<()>) -> Result<()> {
        let mut shard = exclusive(self.shard(block));
        let changed = shard.entry(block).or_insert_with(|| Changed::new(self.is_zeroed(block)));
        let before = changed.data_grains();
        let result = change(changed);
        self.count(before, changed.data_grains());
        result
    }

    fn count(&self, before: u64, after: u64) {
        // Wrapping, so that a decrease is an addition too.
        self.data_grains.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }

    fn write_block(&self, piece: &Piece, data: &[u8]) -> Result<()> {
        self.change(piece.block, |changed| self.write_grains(changed, piece, data))
    }

    fn write_grains(&self, changed: &mut Changed, piece: &Piece, data: &[u8]) -> Result<()> {
        let grains = piece.inner.start / GRAIN..piece.inner.end.div_ceil(GRAIN);
        let (first, last) = (grains.start * GRAIN, (grains.end - 1) * GRAIN);
        let starts_within = piece.inner.start > first;
        let ends_within = piece.inner.end < grains.end * GRAIN && !self.ends_disk(piece);
        if starts_within {
            self.copy_up(changed, piece.block, first)?;
        }
        if ends_within && !(starts_within && first == last) {
            self.copy_up(changed, piece.block, last)?;
        }
        changed.write(&self.store, piece.inner.start, data)?;
        changed.set_data(grains);
        Ok(())
    }

    /// Makes the grain at `inner` (bytes of the block) data, holding what it reads as now.
    fn copy_up(&self, changed: &mut Changed, block: u64, inner: u64) -> Result<()> {
        let mut grain = ZEROES;
        match changed.grain(inner / GRAIN) {
            Grain::Data => return Ok(()),
            Grain::Zero => {}
            Grain::Base => {
                let offset = block * BLOCK + inner;
                let length = (self.size - offset).min(GRAIN) as usize;
                self.base.read_at(&mut grain[..length], offset)?;
            }
        }
        changed.write(&self.store, inner, &grain)?;
        changed.set_data(inner / GRAIN..inner / GRAIN + 1);
        Ok(())
    }

    fn ends_disk(&self, piece: &Piece) -> bool {
        piece.block * BLOCK + piece.inner.end == self.size
    }

    /// Zeroes part of a block: whole grains by their mask, the edges by writing.
    fn zero_block(&self, piece: &Piece) -> Result<()> {
        let end =
            if self.ends_disk(piece) { piece.inner.end.next_multiple_of(GRAIN) } else { piece.inner.end };
        let whole = piece.inner.start.div_ceil(GRAIN)..end / GRAIN;
        if whole.is_empty() {
            return self.zero_edge(piece.block, piece.inner.clone());
        }
        self.zero_edge(piece.block, piece.inner.start..whole.start * GRAIN)?;
        self.zero_edge(piece.block, whole.end * GRAIN..piece.inner.end)?;
        self.change(piece.block, |changed| {
            changed.set_zero(&self.store, whole);
            Ok(())
        })
    }

    /// Zeroes less than a grain on either side of at most one grain's boundary.
    fn zero_edge(&self, block: u64, inner: Range<u64>) -> Result<()> {
        let mut start = inner.start;
        while start < inner.end {
            let end = (start / GRAIN + 1).saturating_mul(GRAIN).min(inner.end);
            let piece = Piece { block, inner: start..end, outer: 0..0 };
            self.change(block, |changed| match changed.grain(start / GRAIN) {
                Grain::Zero => Ok(()),
                _ => self.write_grains(changed, &piece, &ZEROES[..(end - start) as usize]),
            })?;
            start = end;
        }
        Ok(())
    }

    /// Zeroes whole blocks: `range` starts at a block's start and ends at one's end or the disk's.
    fn zero_blocks(&self, range: Range<u64>) {
        let blocks = range.start / BLOCK..range.end.div_ceil(BLOCK);
        // The disk's last block is whole for the set, so that its contents are one question.
        exclusive(&self.zeroed).insert(range.start..blocks.end.saturating_mul(BLOCK));
        for shard in self.shards(&blocks) {
            let mut shard = exclusive(shard);
            let held: Vec<u64> = shard.range(blocks.clone()).map(|(block, _)| *block).collect();
            for block in held {
                if let Some(mut changed) = shard.remove(&block) {
                    self.count(changed.data_grains(), 0);
                    changed.release(&self.store);
                }
            }
        }
    }

    /// Fills what is the overlay's own of `buf`, a piece of a request, and adds what is the base's to `below`, as
    /// ranges of the disk, joined where they touch.
    fn read_block(&self, piece: &Piece, buf: &mut [u8], below: &mut Vec<Range<u64>>) -> Result<()> {
        let start = piece.block * BLOCK;
        let mut ask_base = |run: Range<u64>| match below.last_mut() {
            Some(last) if last.end == start + run.start => last.end = start + run.end,
            _ => below.push(start + run.start..start + run.end),
        };
        let shard = shared(self.shard(piece.block));
        let Some(changed) = shard.get(&piece.block) else {
            if self.is_zeroed(piece.block) {
                buf.fill(0);
            } else {
                ask_base(piece.inner.clone());
            }
            return Ok(());
        };
        for (part, kind) in changed.parts(piece.inner.clone()) {
            let place = (part.start - piece.inner.start) as usize..(part.end - piece.inner.start) as usize;
            match kind {
                Grain::Data => changed.read(&self.store, part.start, &mut buf[place])?,
                Grain::Zero => buf[place].fill(0),
                Grain::Base => ask_base(part),
            }
        }
        Ok(())
    }

    /// Who answers for what in `range`: parts in ascending order, together exactly `range`.
    fn parts(&self, range: &Range<u64>) -> Vec<(Range<u64>, Grain)> {
        // Entries first, then the zeroed blocks: see `zeroed`.
        let entries = self.entries(range);
        let zeroed = shared(&self.zeroed);
        let mut parts = Vec::new();
        let mut start = range.start;
        for (part, kind) in entries.into_iter().chain([(range.end..range.end, Grain::Base)]) {
            let gap = zeroed.split(start..part.start).into_iter();
            parts.extend(gap.map(|(part, zero)| (part, if zero { Grain::Zero } else { Grain::Base })));
            start = part.end;
            parts.push((part, kind));
        }
        parts
    }

    /// The parts of `range` that lie in blocks with an entry, in ascending order.
    fn entries(&self, range: &Range<u64>) -> Vec<(Range<u64>, Grain)> {
        let blocks = range.start / BLOCK..range.end.div_ceil(BLOCK);
        let mut entries = Vec::new();
        for shard in self.shards(&blocks) {
            for (block, changed) in shared(shard).range(blocks.clone()) {
                let start = block * BLOCK;
                let inner = range.start.saturating_sub(start)..(range.end - start).min(BLOCK);
                let parts = changed.parts(inner);
                entries.extend(parts.map(|(part, kind)| (start + part.start..start + part.end, kind)));
            }
        }
        entries.sort_unstable_by_key(|(range, _)| range.start);
        entries
    }
}

impl BlockRead for Overlay {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        // The base is read in runs as long as possible, and under no lock: it never changes.
        let mut below = Vec::new();
        for piece in pieces(offset..offset + buf.len() as u64) {
            self.read_block(&piece, &mut buf[piece.outer.clone()], &mut below)?;
        }
        for run in below {
            let place = (run.start - offset) as usize..(run.end - offset) as usize;
            self.base.read_at(&mut buf[place], run.start)?;
        }
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        check_span(&range, self.size)?;
        let mut extents = Extents::new();
        for (part, kind) in self.parts(&range) {
            match kind {
                Grain::Data => extents.push(Extent::data(part)),
                Grain::Zero => extents.push(Extent::zero(part)),
                Grain::Base if part.is_empty() => {}
                Grain::Base => {
                    extents.extend(self.base.extents(part)?.into_iter().map(Extent::without_parent))
                }
            }
        }
        Ok(extents.into_vec())
    }
}

impl BlockWrite for Overlay {
    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        check_range(offset, data.len() as u64, self.size)?;
        pieces(offset..offset + data.len() as u64)
            .try_for_each(|piece| self.write_block(&piece, &data[piece.outer.clone()]))
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        check_span(&range, self.size)?;
        let first = range.start.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
        let last = if range.end == self.size { range.end } else { range.end / BLOCK * BLOCK };
        if first >= last {
            return pieces(range).try_for_each(|piece| self.zero_block(&piece));
        }
        pieces(range.start..first).try_for_each(|piece| self.zero_block(&piece))?;
        self.zero_blocks(first..last);
        pieces(last..range.end).try_for_each(|piece| self.zero_block(&piece))
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        self.zero(range)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

/// The part of a request that lies in one block.
#[derive(Debug)]
struct Piece {
    block: u64,
    /// Within the block, in bytes.
    inner: Range<u64>,
    /// Within the request's buffer.
    outer: Range<usize>,
}

fn pieces(range: Range<u64>) -> impl Iterator<Item = Piece> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        if start >= range.end {
            return None;
        }
        let block = start / BLOCK;
        let end = (block + 1).saturating_mul(BLOCK).min(range.end);
        let inner = start - block * BLOCK..end - block * BLOCK;
        let outer = (start - range.start) as usize..(end - range.start) as usize;
        start = end;
        Some(Piece { block, inner, outer })
    })
}

// A panic in another thread leaves maps and masks whole: the disk stays usable.
fn shared<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn exclusive<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
