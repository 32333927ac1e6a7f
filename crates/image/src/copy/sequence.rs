//! Digests that only go forward, of a disk that is read by many: [`digest_sha256`].

use super::survey::{Content, Item, Survey};
use super::turn::{Turn, lock};
use super::{CHUNK, MAX_THREADS, chunk, source_error};
use crate::error::{Error, Result};
use block::BlockRead;
use sha2::{Digest, Sha256};
use std::sync::{Mutex, PoisonError};

static ZEROES: [u8; 1 << 16] = [0; 1 << 16];

/// The SHA-256 digest of a disk's content: what `sha256sum` says of a raw image of it. Read ahead, and decompressed
/// where it has to be, by `threads` threads; one at a time hashes. What is known to be zero is hashed, but not read.
///
/// # Errors
/// [`Error::Source`] when the disk cannot be read.
pub fn digest_sha256(source: &dyn BlockRead, threads: usize) -> Result<[u8; 32]> {
    let content = Content::Flat(source);
    let sequence = Sequence {
        content,
        work: Mutex::new((Survey::new(content), 0)),
        turn: Turn::default(),
        hasher: Mutex::new(Sha256::new()),
        failure: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, MAX_THREADS) {
            scope.spawn(|| sequence.turn.guard(|| sequence.work()));
        }
    });
    match lock(&sequence.failure).take() {
        Some(error) => Err(error),
        None => Ok(sequence.hasher.into_inner().unwrap_or_else(PoisonError::into_inner).finalize().into()),
    }
}

struct Sequence<'a> {
    content: Content<'a>,
    /// What is left to read, and the number of the next piece of it.
    work: Mutex<(Survey<'a>, u64)>,
    turn: Turn,
    hasher: Mutex<Sha256>,
    failure: Mutex<Option<Error>>,
}

impl Sequence<'_> {
    fn work(&self) {
        let mut buffer = vec![0; CHUNK.min(self.content.own().size()) as usize];
        while !self.turn.is_stopped() {
            match self.step(&mut buffer) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    lock(&self.failure).get_or_insert(error);
                    self.turn.stop();
                }
            }
        }
    }

    /// Reads the next item and hashes it in its turn; `false` at the end of the disk.
    fn step(&self, buffer: &mut [u8]) -> Result<bool> {
        let (item, number) = {
            let mut work = lock(&self.work);
            let Some(item) = work.0.next()? else { return Ok(false) };
            work.1 += 1;
            (item, work.1 - 1)
        };
        let range = item.range().clone();
        let Item::Chunk { extents, .. } = item else {
            self.turn.take(number, || self.add_zeroes(range.end - range.start));
            return Ok(true);
        };
        let buffer = buffer.get_mut(..(range.end - range.start) as usize).unwrap_or_default();
        let reads = chunk::wanted(&range, &extents, 1, self.content);
        for read in &reads {
            let start = range.start + read.start as u64;
            let part = buffer.get_mut(read.clone()).unwrap_or_default();
            self.content.whole().read_at(part, start).map_err(|error| source_error(start, error))?;
        }
        chunk::blank(buffer, &reads);
        self.turn.take(number, || lock(&self.hasher).update(buffer));
        Ok(true)
    }

    fn add_zeroes(&self, length: u64) {
        let mut hasher = lock(&self.hasher);
        let mut left = length;
        while left > 0 {
            let zeroes = ZEROES.get(..left.min(ZEROES.len() as u64) as usize).unwrap_or_default();
            hasher.update(zeroes);
            left -= zeroes.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::{BlockWrite, MemoryDisk};

    #[test]
    fn the_digest_is_the_ordinary_one() {
        for size in [0, 1, CHUNK - 1, CHUNK, 7 * CHUNK + 333] {
            let disk = MemoryDisk::new(size);
            for place in [0, 3 * CHUNK + 70_000, 7 * CHUNK + 1] {
                if place < size {
                    disk.write_at(&[7; 1], place).unwrap();
                }
            }
            let expected: [u8; 32] = Sha256::digest(disk.to_bytes()).into();
            for threads in [1, 4] {
                assert_eq!(digest_sha256(&disk, threads).unwrap(), expected, "{size}");
            }
        }
    }
}
