//! [`Matches`]: where what comes next has been seen before, within the window.

use super::WINDOW;
use super::ring::Ring;
use super::symbols::{MAX_MATCH, MIN_MATCH};

/// Rows of the table for matches of four bytes and more, as a power of two. Together with the other table and the
/// window itself, they stay in a first-level cache.
const ROW_BITS: u32 = 10;
/// Entries of the table for matches of three bytes, as a power of two.
const SHORT_BITS: u32 = 11;
/// A match of this length is not improved.
const ENOUGH: usize = 64;
/// An odd number with well-mixed bits: 2^32 divided by the golden ratio.
const MULTIPLIER: u32 = 0x9e37_79b1;
/// One in each of eight bytes.
const LANES: u64 = 0x0101_0101_0101_0101;

/// The earlier places of the window, by hashes of the bytes there.
///
/// A row has the last eight places whose first four bytes have one hash. More bits of the hash, the tags, tell
/// almost for certain which of the eight begin with the same four bytes, in a few instructions: where there is
/// no match, as is most often so, no earlier place is looked at.
///
/// Places are kept modulo 65,536. An entry is but a hint: the bytes are always compared, so one that is stale
/// only costs time.
pub(super) struct Matches {
    /// The data that have been put in.
    ring: Ring,
    /// Eight tags a row, the newest lowest.
    tags: [u64; 1 << ROW_BITS],
    /// The places of the four lower tags.
    newer: [u64; 1 << ROW_BITS],
    /// The places of the four higher tags. They stand apart so that compilers shift words that they have
    /// rather than load what straddles two, which would have to wait for the stores just before it.
    older: [u64; 1 << ROW_BITS],
    /// The last place of each hash of three bytes.
    short: [u16; 1 << SHORT_BITS],
}

/// Bytes that repeat earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// In bytes; less than three for none.
    pub(super) length: usize,
    /// How far back they are, in bytes.
    pub(super) distance: usize,
}

impl Match {
    /// What any match is better than.
    pub(super) const NONE: Self = Self { length: 0, distance: 0 };
}

/// One search: what has been found so far for a place.
struct Search<'ring> {
    ring: &'ring Ring,
    place: usize,
    /// The eight bytes at `place`.
    ahead: u64,
    /// The greatest distance.
    reach: usize,
    /// The greatest length.
    most: usize,
    best: Match,
}

impl Matches {
    /// Nothing seen yet.
    pub(super) fn new() -> Self {
        Self {
            ring: Ring::new(),
            tags: [0; 1 << ROW_BITS],
            newer: [0; 1 << ROW_BITS],
            older: [0; 1 << ROW_BITS],
            short: [0; 1 << SHORT_BITS],
        }
    }

    /// Forgets all places, so that what is found depends on the data alone.
    pub(super) fn clear(&mut self) {
        self.tags.fill(0);
        self.newer.fill(0);
        self.older.fill(0);
        self.short.fill(0);
    }

    /// Puts in the chunk that begins at `start`.
    pub(super) fn load(&mut self, start: usize, chunk: &[u8]) {
        self.ring.load(start, chunk);
    }

    /// Remembers a place.
    #[inline(always)]
    pub(super) fn insert(&mut self, place: usize) {
        let word = self.ring.word(place);
        let (row, tag) = row_and_tag(word);
        let newer = self.newer[row];
        self.tags[row] = self.tags[row] << 8 | tag;
        self.older[row] = self.older[row] << 16 | newer >> 48;
        self.newer[row] = newer << 16 | u64::from(place as u16);
        self.short[short_hash(word)] = place as u16;
    }

    /// Remembers a place, and looks for a match there that is longer than `best` and ends no later than the
    /// data, at `end`. Answers with `best` if there is none.
    #[inline(always)]
    pub(super) fn find(&mut self, place: usize, end: usize, best: Match) -> Match {
        let ahead = self.ring.word(place);
        let (row, tag) = row_and_tag(ahead);
        let (newer, older) = (self.newer[row], self.older[row]);
        let nearest = self.short[short_hash(ahead)];
        let tags = self.tags[row] ^ (tag * LANES);
        self.insert(place);

        let (reach, most) = (place.min(WINDOW), MAX_MATCH.min(end - place));
        let mut search = Search { ring: &self.ring, place, ahead, reach, most, best };
        // The highest bit of each lane that is zero; of one above such a lane too, at times.
        let mut lanes = tags.wrapping_sub(LANES) & !tags & (LANES << 7);
        while lanes != 0 {
            let bit = lanes.trailing_zeros() / 8 * 16;
            let places = if bit < 64 { newer } else { older };
            if !search.try_place((places >> (bit % 64)) as u16) {
                break;
            }
            lanes &= lanes - 1;
        }
        if search.best.length < MIN_MATCH {
            search.try_short(nearest);
        }
        search.best
    }
}

impl Search<'_> {
    /// How far back a place is, if it is within reach.
    #[inline(always)]
    fn distance(&self, earlier: u16) -> Option<usize> {
        let distance = usize::from((self.place as u16).wrapping_sub(earlier));
        (distance.wrapping_sub(1) < self.reach).then_some(distance)
    }

    /// Takes the match with an earlier place if it is longer; answers with whether to go on to older ones.
    #[inline(always)]
    fn try_place(&mut self, earlier: u16) -> bool {
        let Some(distance) = self.distance(earlier) else {
            return false;
        };
        let length = self.compare(self.place - distance);
        if length > self.best.length {
            self.best = Match { length, distance };
        }
        self.best.length < ENOUGH
    }

    /// Takes three bytes, if they are those at an earlier place.
    #[inline(always)]
    fn try_short(&mut self, earlier: u16) {
        if let Some(distance) = self.distance(earlier)
            && self.most >= MIN_MATCH
            && (self.ring.word(self.place - distance) ^ self.ahead) << 40 == 0
        {
            self.best = Match { length: MIN_MATCH, distance };
        }
    }

    /// How many bytes at an earlier place are those at this one, or 0 if they are not more than are known.
    #[inline(always)]
    fn compare(&self, earlier: usize) -> usize {
        if let Some(last) = self.best.length.checked_sub(7)
            && self.ring.word(earlier + last) != self.ring.word(self.place + last)
        {
            return 0;
        }
        let differing = self.ring.word(earlier) ^ self.ahead;
        match differing {
            0 => self.ring.common(earlier, self.place, 8, self.most),
            _ => self.most.min(differing.trailing_zeros() as usize / 8),
        }
    }
}

/// The row of the first four bytes of a word, and their tag.
#[inline(always)]
fn row_and_tag(word: u64) -> (usize, u64) {
    let hash = (word as u32).wrapping_mul(MULTIPLIER);
    ((hash >> (32 - ROW_BITS)) as usize, (hash >> (24 - ROW_BITS) & 255).into())
}

/// The hash of the first three bytes of a word.
#[inline(always)]
fn short_hash(word: u64) -> usize {
    (((word as u32) << 8).wrapping_mul(MULTIPLIER) >> (32 - SHORT_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found at the last of `places`, when all those before it have been inserted.
    fn find(data: &[u8], place: usize) -> Match {
        let mut matches = Matches::new();
        for (index, chunk) in data.chunks(super::super::CHUNK).enumerate() {
            let start = index * super::super::CHUNK;
            matches.load(start, chunk);
            (start..place.min(start + chunk.len())).for_each(|place| matches.insert(place));
        }
        matches.find(place, data.len(), Match::NONE)
    }

    #[test]
    fn the_window_is_4096_bytes_and_no_more() {
        for (distance, length) in [(4095, 6), (4096, 6), (4097, 0)] {
            for before in [0, 1, 65_536 - 4096, 65_536 - 10, 131_072 - 5000] {
                // No three bytes of a run of numbers repeat.
                let mut data: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_be_bytes).collect();
                data.truncate(before + distance + 6);
                data[before..before + 6].copy_from_slice(b"\xff\xfe\xfd\xff\xfc\xfb");
                data[before + distance..].copy_from_slice(b"\xff\xfe\xfd\xff\xfc\xfb");
                let found = find(&data, before + distance);
                assert_eq!(found.length, length, "{distance} at {before}");
            }
        }
    }

    #[test]
    fn a_match_ends_with_the_data_or_at_258_bytes() {
        for (run, length) in [(2, 0), (3, 3), (4, 4), (8, 8), (9, 9), (257, 257), (258, 258), (259, 258)] {
            let found = find(&vec![7; run + 1], 1);
            assert_eq!(found.length, length);
        }
    }

    #[test]
    fn the_nearest_of_the_longest_is_taken() {
        let data = b"abcdX.abcdefgh.abcdefgh.abcde.abcdefgh?";
        assert_eq!(find(data, 30), Match { length: 8, distance: 15 });
    }
}
