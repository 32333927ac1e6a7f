//! What every disk must do, as checks to be called from a test of each implementation.
//!
//! The checks panic, as assertions do, and are deterministic: they bring their own random numbers.
//!
//! ```
//! # use block::{MemoryDisk, conformance};
//! let bytes = conformance::sample(100_000, 1);
//! conformance::read(&MemoryDisk::from_bytes(bytes.clone()), &bytes);
//! conformance::write(MemoryDisk::new);
//! ```

use crate::{BlockRead, BlockWrite, Error, Extent, ExtentKind, is_zero};
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// How many random reads and extent queries [`read`] makes.
const QUERIES: usize = 200;
/// How many random operations [`write`] makes for each size.
const OPERATIONS: usize = 400;
/// The sizes that [`write`] asks for: around grains and blocks, and odd ones.
const SIZES: [u64; 6] = [1, 512, 4096, 65_536 + 512, 1_000_003, 3 << 20];

/// A small generator of random numbers (SplitMix64): the same seed gives the same numbers for ever.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Starts at `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number, any of 2^64.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The next number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number().checked_rem(bound).unwrap_or(0)
    }

    /// A range within `size` bytes, of lengths from none to all, often on round boundaries.
    pub fn range(&mut self, size: u64) -> Range<u64> {
        let unit = [1, 512, 4096, 65_536][self.below(4) as usize];
        let longest = [16, 5000, 100_000, size][self.below(4) as usize];
        let start = (self.below(size + 1) / unit * unit).min(size);
        let length = self.below(longest.min(size - start) + 1).div_ceil(unit) * unit;
        start..(start + length).min(size)
    }

    /// Fills `bytes` with noise.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let noise = self.number().to_le_bytes();
            chunk.copy_from_slice(&noise[..chunk.len()]);
        }
    }
}

/// `size` bytes with runs of noise and runs of zeroes, the same for the same seed: contents for a test disk.
pub fn sample(size: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = vec![0; size];
    let mut start = 0;
    while start < size {
        let longest = if random.below(2) == 0 { 3000 } else { 150_000 };
        let length = 1 + random.below(longest) as usize;
        let end = (start + length).min(size);
        if random.below(3) > 0 {
            random.fill(&mut bytes[start..end]);
        }
        start = end;
    }
    bytes
}

/// Checks that `disk` reads as `expected`: reads anywhere, of any length; the errors at its end; and what it says of
/// its extents.
pub fn read(disk: &dyn BlockRead, expected: &[u8]) {
    read_often(disk, expected, QUERIES);
}

/// As [`read`], with `queries` random ranges: for a caller with thousands of disks.
pub fn read_often(disk: &dyn BlockRead, expected: &[u8], queries: usize) {
    let size = expected.len() as u64;
    assert_eq!(disk.size(), size, "the disk's size");
    let mut random = Random::new(size);
    check_read(disk, expected, 0..size);
    check_extents(disk, expected, 0..size);
    for _ in 0..queries {
        check_read(disk, expected, random.range(size));
        check_extents(disk, expected, random.range(size));
    }
    check_bounds(disk);
}

/// Checks every operation of a disk that `make` makes, of at least the size asked for and all zeroes: random ones
/// against a plain vector of bytes, and the errors at its end.
///
/// An implementation with a coarser unit may make the disk up to 1 MiB larger.
pub fn write<D: BlockWrite>(make: impl Fn(u64) -> D) {
    for (seed, asked) in (1..).zip(SIZES) {
        let disk = make(asked);
        let size = disk.size();
        assert!((asked..=asked + (1 << 20)).contains(&size), "asked for {asked} bytes, got {size}");
        let mut model = vec![0; size as usize];
        read(&disk, &model);
        operations(&disk, &mut model, seed, OPERATIONS);
        read(&disk, &model);
        check_write_bounds(&disk);
        read(&disk, &model);
    }
}

/// Makes `count` random operations on `disk`, whose contents are `model`, and on `model`, and compares.
pub fn operations(disk: &dyn BlockWrite, model: &mut [u8], seed: u64, count: usize) {
    let mut random = Random::new(seed);
    for _ in 0..count {
        let range = random.range(model.len() as u64);
        let bytes = range.start as usize..range.end as usize;
        match random.below(8) {
            0..=2 => {
                random.fill(&mut model[bytes.clone()]);
                succeed("write", &range, disk.write_at(&model[bytes], range.start));
            }
            3 => {
                model[bytes].fill(0);
                succeed("zero", &range, disk.zero(range.clone()));
            }
            4 => {
                model[bytes].fill(0);
                succeed("discard", &range, disk.discard(range.clone()));
            }
            5 => succeed("flush", &range, disk.flush()),
            6 => check_extents(disk, model, range),
            _ => check_read(disk, model, range),
        }
    }
}

/// Checks a disk that `make` makes under several threads at once: each writes, zeroes and reads stripes of its
/// own, which share every block and grain with its neighbours'.
pub fn parallel<D: BlockWrite>(make: impl Fn(u64) -> D) {
    const THREADS: u64 = 4;
    const STRIPE: u64 = 1536;
    const ROUNDS: u64 = 100;
    let disk = make(THREADS * STRIPE * ROUNDS);
    let size = disk.size();
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn({
                    let disk = &disk;
                    move || stripes(disk, thread)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    let mut expected = vec![0; size as usize];
    for (thread, result) in (0..).zip(results) {
        let Ok(stripes) = result else { panic!("thread {thread} panicked") };
        for (start, bytes) in stripes {
            expected[start as usize..start as usize + bytes.len()].copy_from_slice(&bytes);
        }
    }
    read(&disk, &expected);

    fn stripes(disk: &dyn BlockWrite, thread: u64) -> Vec<(u64, Vec<u8>)> {
        let mut random = Random::new(thread);
        let stripe = |round| {
            let start = (round * THREADS + thread) * STRIPE;
            let mut bytes = vec![0; STRIPE as usize];
            random.fill(&mut bytes);
            succeed("write", &(start..start + STRIPE), disk.write_at(&bytes, start));
            if round % 5 == 0 {
                bytes[100..1100].fill(0);
                let zeroed = start + 100..start + 1100;
                succeed("zero", &zeroed, disk.zero(zeroed.clone()));
            }
            let mut back = vec![1; STRIPE as usize];
            succeed("read", &(start..start + STRIPE), disk.read_at(&mut back, start));
            assert!(back == bytes, "thread {thread} read other bytes at {start} than it wrote");
            (start, bytes)
        };
        (0..ROUNDS).map(stripe).collect()
    }
}

/// Reads `range` of `disk`, and compares with the same range of `expected`.
fn check_read(disk: &dyn BlockRead, expected: &[u8], range: Range<u64>) {
    let expected = &expected[range.start as usize..range.end as usize];
    // What was in the buffer before must not show.
    let mut buf = vec![0xA5; expected.len()];
    succeed("read", &range, disk.read_at(&mut buf, range.start));
    if buf != expected {
        let differs = |(read, expected)| read != expected;
        let place = buf.iter().zip(expected).position(differs).unwrap_or_default();
        panic!(
            "reading {range:?}: byte {} is {:#04x}, expected {:#04x}",
            range.start + place as u64,
            buf[place],
            expected[place]
        );
    }
}

/// Checks what the disk says of `range`: ascending, contiguous, covering exactly, zeroes really zero, and every
/// location really holding the bytes.
pub fn check_extents(disk: &dyn BlockRead, expected: &[u8], range: Range<u64>) {
    let extents = match disk.extents(range.clone()) {
        Ok(extents) => extents,
        Err(error) => panic!("extents of {range:?}: {}", chain(&error)),
    };
    let mut start = range.start;
    for extent in &extents {
        assert_eq!(extent.range.start, start, "an extent of {range:?} does not start where the last ended");
        assert!(!extent.is_empty(), "an empty extent at {start} of {range:?}");
        start = extent.range.end;
        assert!(start <= range.end, "an extent ends at {start}, behind {range:?}");
        check_extent(extent, &expected[extent.range.start as usize..extent.range.end as usize]);
    }
    assert_eq!(start, range.end, "the extents of {range:?} end early");
}

fn check_extent(extent: &Extent, expected: &[u8]) {
    match &extent.kind {
        ExtentKind::Zero | ExtentKind::Absent => {
            assert!(is_zero(expected), "{:?} is not zero, but {:?}", extent.range, extent.kind);
        }
        ExtentKind::Data(None) => {}
        ExtentKind::Data(Some(location)) => {
            let mut buf = vec![0; expected.len()];
            if let Err(error) = location.file.read_exact_at(&mut buf, location.offset) {
                panic!("the location of {:?} cannot be read: {error}", extent.range);
            }
            assert!(buf == expected, "the location of {:?} holds other bytes", extent.range);
        }
    }
}

/// The ranges that do not lie within a disk of `size` bytes.
fn outside(size: u64) -> Vec<Range<u64>> {
    let mut ranges = vec![size..size + 1, size + 1..size + 1, 0..size + 1, size + 4096..size + 8192];
    ranges.push(u64::MAX - 1..u64::MAX);
    ranges
}

fn check_bounds(disk: &dyn BlockRead) {
    let size = disk.size();
    succeed("read", &(size..size), disk.read_at(&mut [], size));
    check_extents(disk, &[], 0..0);
    assert!(
        disk.extents(size..size).is_ok_and(|extents| extents.is_empty()),
        "extents of nothing at the end"
    );
    for range in outside(size) {
        let mut buf = vec![0; (range.end - range.start) as usize];
        refuse("read", &range, disk.read_at(&mut buf, range.start));
        refuse("extents", &range, disk.extents(range.clone()));
    }
    refuse("read", &(u64::MAX..u64::MAX), disk.read_at(&mut [0; 2], u64::MAX));
}

fn check_write_bounds(disk: &dyn BlockWrite) {
    let size = disk.size();
    succeed("write", &(size..size), disk.write_at(&[], size));
    succeed("zero", &(size..size), disk.zero(size..size));
    for range in outside(size) {
        refuse("write", &range, disk.write_at(&vec![1; (range.end - range.start) as usize], range.start));
        refuse("zero", &range, disk.zero(range.clone()));
        refuse("discard", &range, disk.discard(range.clone()));
    }
}

fn succeed(operation: &str, range: &Range<u64>, result: crate::Result<()>) {
    if let Err(error) = result {
        panic!("{operation} of {range:?} failed: {}", chain(&error));
    }
}

fn refuse<T>(operation: &str, range: &Range<u64>, result: crate::Result<T>) {
    match result {
        Err(Error::OutOfRange { .. }) => {}
        Err(error) => panic!("{operation} of {range:?} is not out of range, but: {}", chain(&error)),
        Ok(_) => panic!("{operation} of {range:?}, which lies outside the disk, succeeded"),
    }
}

/// The error with all its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
