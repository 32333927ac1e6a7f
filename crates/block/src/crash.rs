//! A disk for tests that forgets what was not flushed.

use crate::{
    BlockRead, BlockWrite, Extent, MemoryDisk, Result, check_range, check_span, conformance::Random,
};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a disk writes whole or not at all, in bytes.
const SECTOR: u64 = 512;

/// A disk that, like a real one with a volatile cache, may lose or tear what was written since the last flush.
///
/// Reads see everything that was written. [`crash`](Self::crash) says what would be left after a power cut.
#[derive(Debug)]
pub struct CrashDisk {
    current: MemoryDisk,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    durable: MemoryDisk,
    /// Since the last flush, oldest first.
    pending: Vec<Pending>,
}

#[derive(Debug)]
enum Pending {
    Write { offset: u64, data: Vec<u8> },
    Zero(Range<u64>),
}

impl CrashDisk {
    /// A disk of `size` zero bytes.
    pub fn new(size: u64) -> Self {
        Self::from_disk(MemoryDisk::new(size))
    }

    /// A disk on which what `disk` holds is durable.
    pub fn from_disk(disk: MemoryDisk) -> Self {
        Self { current: disk.clone(), state: Mutex::new(State { durable: disk, pending: Vec::new() }) }
    }

    /// What a power cut now would leave. `seed` chooses, for every write since the last flush, whether it is there,
    /// is lost, or is torn at a boundary of 512 bytes. The disk itself goes on unharmed, so that many
    /// seeds can be tried.
    ///
    /// # Errors
    /// None in practice: what is left lies in memory.
    pub fn crash(&self, seed: u64) -> Result<MemoryDisk> {
        let mut random = Random::new(seed);
        let state = self.state();
        let left = state.durable.clone();
        for pending in &state.pending {
            match random.below(3) {
                0 => {}
                1 => pending.apply(&left, pending.range())?,
                _ => {
                    for part in torn(pending.range(), &mut random) {
                        pending.apply(&left, part)?;
                    }
                }
            }
        }
        Ok(left)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the current contents and remembers the change, as one step.
    fn record(&self, pending: Pending) -> Result<()> {
        let mut state = self.state();
        pending.apply(&self.current, pending.range())?;
        state.pending.push(pending);
        Ok(())
    }
}

impl Pending {
    fn range(&self) -> Range<u64> {
        match self {
            Self::Write { offset, data } => *offset..offset + data.len() as u64,
            Self::Zero(range) => range.clone(),
        }
    }

    /// Makes the part of the change that lies in `part`, which lies in its range.
    fn apply(&self, disk: &MemoryDisk, part: Range<u64>) -> Result<()> {
        match self {
            Self::Write { offset, data } => {
                disk.write_at(&data[(part.start - offset) as usize..(part.end - offset) as usize], part.start)
            }
            Self::Zero(_) => disk.zero(part),
        }
    }
}

/// Up to four runs of whole sectors of `range`, ascending.
fn torn(range: Range<u64>, random: &mut Random) -> Vec<Range<u64>> {
    let sectors = (range.start / SECTOR)..range.end.div_ceil(SECTOR);
    let mut cuts: Vec<u64> =
        (0..8).map(|_| sectors.start + random.below(sectors.end - sectors.start + 1)).collect();
    cuts.sort_unstable();
    cuts.chunks_exact(2)
        .map(|cut| (cut[0] * SECTOR).max(range.start)..(cut[1] * SECTOR).min(range.end))
        .filter(|part| part.start < part.end)
        .collect()
}

impl BlockRead for CrashDisk {
    fn size(&self) -> u64 {
        self.current.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.current.read_at(buf, offset)
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        self.current.extents(range)
    }
}

impl BlockWrite for CrashDisk {
    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        check_range(offset, data.len() as u64, self.size())?;
        self.record(Pending::Write { offset, data: data.to_vec() })
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        check_span(&range, self.size())?;
        self.record(Pending::Zero(range))
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        self.zero(range)
    }

    fn flush(&self) -> Result<()> {
        let mut state = self.state();
        for pending in std::mem::take(&mut state.pending) {
            pending.apply(&state.durable, pending.range())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;
    use std::collections::HashSet;

    #[test]
    fn conforms() {
        conformance::write(CrashDisk::new);
        conformance::parallel(CrashDisk::new);
    }

    #[test]
    fn a_flush_is_kept_by_every_crash() {
        let disk = CrashDisk::new(10_000);
        disk.write_at(&[1; 10_000], 0).unwrap();
        disk.flush().unwrap();
        disk.write_at(&[2; 2000], 4000).unwrap();
        for seed in 0..100 {
            let left = disk.crash(seed).unwrap().to_bytes();
            assert!(left[..4000].iter().chain(&left[6000..]).all(|byte| *byte == 1));
            assert!(left[4000..6000].iter().all(|byte| [1, 2].contains(byte)));
        }
    }

    #[test]
    fn what_was_not_flushed_may_be_there_gone_or_torn_at_sectors() {
        let disk = CrashDisk::new(4096);
        disk.write_at(&[2; 4096], 0).unwrap();
        let outcomes: HashSet<Vec<u8>> = (0..200).map(|seed| disk.crash(seed).unwrap().to_bytes()).collect();
        assert!(
            outcomes.contains(&vec![0; 4096]) && outcomes.contains(&vec![2; 4096]) && outcomes.len() > 10
        );
        for outcome in outcomes {
            assert!(outcome.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        }
    }

    #[test]
    fn the_same_seed_is_the_same_crash() {
        let disk = CrashDisk::new(1 << 20);
        conformance::operations(&disk, &mut vec![0; 1 << 20], 5, 50);
        assert_eq!(disk.crash(9).unwrap().to_bytes(), disk.crash(9).unwrap().to_bytes());
    }
}
