//! Whether two disks hold the same: [`compare`].

use super::survey::Walk;
use super::turn::lock;
use super::{CHUNK, MAX_THREADS, source_error};
use crate::error::{Error, Result};
use block::{BlockRead, is_zero};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where two disks differ first, in bytes, found by `threads` threads; `None` when they hold the same.
///
/// They may be of different sizes: behind its end the shorter one is taken to hold zeroes. What both say is zero is
/// not read, and what one of them says is zero is read of the other alone.
///
/// # Errors
/// [`Error::Source`] when one of them cannot be read.
pub fn compare(first: &dyn BlockRead, second: &dyn BlockRead, threads: usize) -> Result<Option<u64>> {
    let comparison = Comparison {
        pair: Mutex::new(Pair { walks: [Walk::new(first), Walk::new(second)], position: 0 }),
        disks: [first, second],
        found: AtomicU64::new(u64::MAX),
        failure: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, MAX_THREADS) {
            scope.spawn(|| comparison.work());
        }
    });
    if let Some((offset, error)) = lock(&comparison.failure).take()
        && offset < comparison.found.load(Ordering::Relaxed)
    {
        return Err(error);
    }
    Ok(Some(comparison.found.into_inner()).filter(|found| *found != u64::MAX))
}

struct Comparison<'a> {
    pair: Mutex<Pair<'a>>,
    disks: [&'a dyn BlockRead; 2],
    /// The first difference so far.
    found: AtomicU64,
    /// The first failure so far, and where it was.
    failure: Mutex<Option<(u64, Error)>>,
}

/// Bytes of both disks: at most a chunk, of one kind on each.
struct Item {
    range: Range<u64>,
    /// Whether there is data on the one and on the other.
    data: [bool; 2],
}

/// Both disks in step.
struct Pair<'a> {
    walks: [Walk<'a>; 2],
    position: u64,
}

impl Pair<'_> {
    /// The next bytes of which at least one disk has data.
    fn next(&mut self) -> Result<Option<Item>> {
        loop {
            let start = self.position;
            // Work is shared out in whole chunks, which large disks are stored in.
            let mut end = u64::MAX;
            let mut data = [false; 2];
            for (walk, data) in self.walks.iter_mut().zip(&mut data) {
                walk.skip(start);
                if let Some(extent) = walk.peek()? {
                    *data = extent.is_data();
                    end = end.min(extent.range.end);
                }
            }
            if end == u64::MAX {
                return Ok(None);
            }
            if data != [false; 2] {
                end = end.min((start / CHUNK + 1) * CHUNK);
                self.position = end;
                return Ok(Some(Item { range: start..end, data }));
            }
            self.position = end;
        }
    }
}

impl Comparison<'_> {
    fn work(&self) {
        let mut buffers = [Vec::new(), Vec::new()];
        // Items are given out in order, and one that was taken is finished: nothing before a find is left out.
        while self.found.load(Ordering::Relaxed) == u64::MAX && lock(&self.failure).is_none() {
            let next = lock(&self.pair).next();
            match next {
                Ok(None) => break,
                Ok(Some(item)) => match self.look(&item, &mut buffers) {
                    Ok(Some(offset)) => {
                        self.found.fetch_min(offset, Ordering::Relaxed);
                    }
                    Ok(None) => {}
                    Err(error) => self.fail(item.range.start, error),
                },
                Err(error) => self.fail(u64::MAX - 1, error),
            }
        }
    }

    fn fail(&self, offset: u64, error: Error) {
        let mut failure = lock(&self.failure);
        if failure.as_ref().is_none_or(|(first, _)| offset < *first) {
            *failure = Some((offset, error));
        }
    }

    /// Where in `item` the disks differ first.
    fn look(&self, item: &Item, buffers: &mut [Vec<u8>; 2]) -> Result<Option<u64>> {
        let Range { start, end } = item.range;
        for ((disk, data), buffer) in self.disks.iter().zip(item.data).zip(&mut *buffers) {
            if data {
                buffer.resize((end - start) as usize, 0);
                disk.read_at(buffer, start).map_err(|error| source_error(start, error))?;
            }
        }
        let [first, second] = buffers;
        let place = match item.data {
            [true, true] if first == second => None,
            [true, true] => first.iter().zip(&*second).position(|(one, other)| one != other),
            [true, false] => first_set(first),
            _ => first_set(second),
        };
        Ok(place.map(|place| start + place as u64))
    }
}

fn first_set(bytes: &[u8]) -> Option<usize> {
    if is_zero(bytes) { None } else { bytes.iter().position(|byte| *byte != 0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::{BlockWrite, Extent, MemoryDisk, ZeroDisk};

    #[test]
    fn the_first_difference_is_found_whoever_has_it() {
        let bytes = block::conformance::sample(5 << 20, 9);
        for place in [0, 1, (1 << 20) - 1, 1 << 20, (5 << 20) - 1] {
            for threads in [1, 3] {
                let one = MemoryDisk::from_bytes(bytes.clone());
                let other = MemoryDisk::from_bytes(bytes.clone());
                assert_eq!(compare(&one, &other, threads).unwrap(), None);
                other.write_at(&[bytes[place as usize] ^ 1], place).unwrap();
                let last = (5 << 20) - 1;
                other.write_at(&[bytes[last] ^ 1], last as u64).unwrap();
                assert_eq!(compare(&one, &other, threads).unwrap(), Some(place));
                assert_eq!(compare(&other, &one, threads).unwrap(), Some(place));
            }
        }
    }

    #[test]
    fn sizes_may_differ_by_zeroes() {
        let short = MemoryDisk::from_bytes(vec![5; 3000]);
        let long = MemoryDisk::new(70 << 40);
        long.write_at(&[5; 3000], 0).unwrap();
        assert_eq!(compare(&short, &long, 2).unwrap(), None);
        long.write_at(&[1], 60 << 40).unwrap();
        assert_eq!(compare(&long, &short, 2).unwrap(), Some(60 << 40));
        assert_eq!(compare(&ZeroDisk::new(0), &ZeroDisk::new(5), 2).unwrap(), None);
    }

    /// Data and zeroes in turn; reading zeroes fails.
    struct Striped;

    impl BlockRead for Striped {
        fn size(&self) -> u64 {
            10_000
        }
        fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
            let (first, last) = (offset / 1000, (offset + buf.len() as u64 - 1) / 1000);
            if first != last || first % 2 == 1 {
                return Err(block::Error::OutOfRange { offset, length: 0, size: 0 });
            }
            buf.fill(9);
            Ok(())
        }
        fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
            let piece = |place: u64| {
                let piece = place * 1000..place * 1000 + 1000;
                if place.is_multiple_of(2) { Extent::data(piece) } else { Extent::zero(piece) }
            };
            Ok((0..10).filter_map(|place| piece(place).clipped(&range)).collect())
        }
    }

    #[test]
    fn zeroes_are_not_read_and_a_failure_is_told() {
        assert_eq!(compare(&Striped, &Striped, 2).unwrap(), None);
        assert_eq!(compare(&Striped, &ZeroDisk::new(10_000), 2).unwrap(), Some(0));
        let zeroes = MemoryDisk::from_bytes(vec![9; 10_000]);
        assert_eq!(compare(&Striped, &zeroes, 1).unwrap(), Some(1000));
    }
}
