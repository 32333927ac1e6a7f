//! [`Ring`]: the data that are being parsed, with what the window still holds of those before.

use super::CHUNK;

/// The data of two chunks, so that the window stays whole while the next chunk is put in.
const SIZE: usize = 2 * CHUNK;
/// How many bytes are read at once.
const WORD: usize = 8;

/// A copy of the data in a ring whose size is fixed: no read of it has to be checked.
///
/// Eight bytes can be read at any place. Those beyond the end of the data are zeros, whatever was there before.
pub(super) struct Ring {
    bytes: Box<[u8; SIZE + WORD]>,
}

impl Ring {
    pub(super) fn new() -> Self {
        Self { bytes: Box::new([0; SIZE + WORD]) }
    }

    /// Puts in a chunk that begins at `start`, which is a multiple of [`CHUNK`].
    pub(super) fn load(&mut self, start: usize, chunk: &[u8]) {
        debug_assert!(start.is_multiple_of(CHUNK) && chunk.len() <= CHUNK);
        let first = start % SIZE;
        self.bytes[first..][..chunk.len()].copy_from_slice(chunk);
        self.bytes[first + chunk.len()..][..WORD].fill(0);
        if first == 0 {
            // What follows the end of the ring is its beginning.
            self.bytes.copy_within(..WORD, SIZE);
        }
    }

    /// The eight bytes from a place, the first lowest.
    #[inline(always)]
    pub(super) fn word(&self, place: usize) -> u64 {
        let place = place % SIZE;
        self.bytes[place..place + WORD].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// How many bytes at two places are the same, up to `most`; the first `known` of them are.
    pub(super) fn common(&self, earlier: usize, later: usize, known: usize, most: usize) -> usize {
        let mut length = known;
        while length < most {
            let differing = self.word(earlier + length) ^ self.word(later + length);
            if differing != 0 {
                return most.min(length + differing.trailing_zeros() as usize / 8);
            }
            length += WORD;
        }
        most
    }
}
