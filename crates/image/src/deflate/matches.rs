//! [`Matches`]: where what comes next has been seen before, within the window.

use super::WINDOW;
use super::symbols::MAX_MATCH;

/// Bytes that must follow a place for it to be looked up or remembered.
pub(super) const LOOKAHEAD: usize = 8;
const LONG_BITS: u32 = 13;
const SHORT_BITS: u32 = 11;
/// An odd number with well-mixed bits: 2^32 divided by the golden ratio.
const MULTIPLIER: u32 = 0x9e37_79b1;

/// The earlier places of the window, by hashes of their first four and first three bytes.
///
/// Places are kept modulo 65,536, so that all the tables together stay in a first-level cache. An entry is
/// but a hint: the bytes are always compared, so one that is stale, or of another place, only costs time.
pub(super) struct Matches {
    /// The last place of each hash of four bytes.
    long: [u16; 1 << LONG_BITS],
    /// The place before each, with the same hash.
    previous: [u16; WINDOW],
    /// The last place of each hash of three bytes.
    short: [u16; 1 << SHORT_BITS],
}

/// Bytes that repeat earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Match {
    /// In bytes; 0 for none.
    pub(super) length: usize,
    /// How far back they are, in bytes.
    pub(super) distance: usize,
}

/// How much is done to find the longest match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// How many earlier places are looked at.
    pub(super) depth: usize,
    /// A match of this length is not improved.
    pub(super) enough: usize,
}

impl Matches {
    /// Nothing seen yet.
    pub(super) fn new() -> Self {
        Self { long: [0; 1 << LONG_BITS], previous: [0; WINDOW], short: [0; 1 << SHORT_BITS] }
    }

    /// Forgets all places, so that what is found depends on the data alone.
    pub(super) fn clear(&mut self) {
        self.long.fill(0);
        self.previous.fill(0);
        self.short.fill(0);
    }

    /// Remembers a place.
    #[inline(always)]
    pub(super) fn insert(&mut self, data: &[u8], place: usize) {
        if let Some(word) = word(data, place) {
            let long = &mut self.long[long_hash(word)];
            self.previous[place % WINDOW] = *long;
            *long = place as u16;
            self.short[short_hash(word)] = place as u16;
        }
    }

    /// Remembers a place and looks for a match there that is longer than `best`; answers with `best` if there
    /// is none.
    #[inline(always)]
    pub(super) fn find(&mut self, data: &[u8], place: usize, best: Match, effort: Effort) -> Match {
        let Some(ahead) = word(data, place) else {
            return best;
        };
        let long = &mut self.long[long_hash(ahead)];
        let short = &mut self.short[short_hash(ahead)];
        let (first, nearest) = (*long, *short);
        self.previous[place % WINDOW] = first;
        (*long, *short) = (place as u16, place as u16);
        let mut search = Search { data, place, ahead, reach: place.min(WINDOW), best };
        if best.length < 3 {
            search.try_short(nearest);
        }
        search.walk(&self.previous, first, effort);
        search.best
    }
}

/// One search: what has been found so far for a place.
struct Search<'data> {
    data: &'data [u8],
    place: usize,
    /// The eight bytes at `place`.
    ahead: u64,
    /// The farthest distance.
    reach: usize,
    best: Match,
}

impl Search<'_> {
    /// Takes the first three bytes at least, if they are those at an earlier place.
    #[inline(always)]
    fn try_short(&mut self, earlier: u16) {
        let distance = usize::from((self.place as u16).wrapping_sub(earlier));
        if distance.wrapping_sub(1) >= self.reach {
            return;
        }
        if let Some(there) = word(self.data, self.place - distance)
            && (there ^ self.ahead) << 40 == 0
        {
            self.best = Match { length: 3, distance };
        }
    }

    /// Goes back through the places with the hash of these four bytes.
    #[inline(always)]
    fn walk(&mut self, previous: &[u16; WINDOW], first: u16, effort: Effort) {
        let here = self.place as u16;
        let mut earlier = first;
        let mut last = 0;
        for _ in 0..effort.depth {
            let distance = usize::from(here.wrapping_sub(earlier));
            // Places become ever older; one that does not is what a newer one has left.
            if distance <= last || distance > self.reach {
                return;
            }
            last = distance;
            let length = self.compare(self.place - distance);
            if length > self.best.length {
                self.best = Match { length, distance };
                if length >= effort.enough {
                    return;
                }
            }
            earlier = previous[usize::from(earlier) % WINDOW];
        }
    }

    /// How many bytes at an earlier place are those at this one, or 0 if they are not more than are known.
    #[inline(always)]
    fn compare(&self, earlier: usize) -> usize {
        let known = self.best.length;
        if known >= 8 && word(self.data, earlier + known - 7) != word(self.data, self.place + known - 7) {
            return 0;
        }
        let Some(there) = word(self.data, earlier) else {
            return 0;
        };
        let differing = there ^ self.ahead;
        if differing != 0 {
            return differing.trailing_zeros() as usize / 8;
        }
        self.extend(earlier)
    }

    /// The length of a match of which the first eight bytes are known.
    fn extend(&self, earlier: usize) -> usize {
        let most = MAX_MATCH.min(self.data.len() - self.place);
        let mut length = 8;
        while let (Some(there), Some(here)) =
            (word(self.data, earlier + length), word(self.data, self.place + length))
            && length + 8 <= most
        {
            let differing = there ^ here;
            if differing != 0 {
                return length + differing.trailing_zeros() as usize / 8;
            }
            length += 8;
        }
        while length < most && self.data.get(earlier + length) == self.data.get(self.place + length) {
            length += 1;
        }
        length
    }
}

/// The eight bytes at a place, the first lowest; none where fewer are left.
#[inline(always)]
fn word(data: &[u8], place: usize) -> Option<u64> {
    let bytes = data.get(place..place + LOOKAHEAD)?;
    bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[inline(always)]
fn long_hash(word: u64) -> usize {
    ((word as u32).wrapping_mul(MULTIPLIER) >> (32 - LONG_BITS)) as usize
}

#[inline(always)]
fn short_hash(word: u64) -> usize {
    (((word as u32) << 8).wrapping_mul(MULTIPLIER) >> (32 - SHORT_BITS)) as usize
}
