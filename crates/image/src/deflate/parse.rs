//! [`Parse`]: the data as literals and matches.

use super::histogram::Histogram;
use super::matches::{Match, Matches};
use super::symbols::MIN_MATCH;
use std::ops::Range;

/// Bytes of data whose symbols are counted apart. Files begin on such boundaries in most filesystems, and
/// sections in most programs: this is where a new code pays.
pub(super) const SEGMENT: usize = 4096;
/// A match of this length is taken without a look at the next place.
const LONG: usize = 32;
/// When so many bytes have passed without a match, every second place is looked up, after as many again every
/// third, and so on: data that do not repeat are soon done with.
const PATIENCE: usize = 256;

/// Literals, and the match that follows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    /// How many bytes stand for themselves.
    pub(super) literals: u16,
    /// The length of the match, in bytes; 0 for none, at the end of a segment.
    pub(super) length: u16,
    /// How far back the match is, in bytes.
    pub(super) distance: u16,
}

impl Sequence {
    /// Literals and a match within a segment: their numbers are far below 65,536.
    fn new(literals: usize, found: Match) -> Self {
        Self { literals: literals as u16, length: found.length as u16, distance: found.distance as u16 }
    }
}

/// The sequences that begin in some `SEGMENT` bytes.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Where its data are.
    pub(super) bytes: Range<usize>,
    /// Which sequences they are.
    pub(super) sequences: Range<usize>,
    /// How often each symbol occurs.
    pub(super) symbols: Histogram,
}

/// Turns data into sequences.
pub(super) struct Parse {
    matches: Matches,
    /// The sequences of all segments.
    pub(super) sequences: Vec<Sequence>,
    /// The segments, in order.
    pub(super) segments: Vec<Segment>,
}

impl Parse {
    pub(super) fn new() -> Self {
        Self { matches: Matches::new(), sequences: Vec::new(), segments: Vec::new() }
    }

    /// Forgets all data.
    pub(super) fn clear(&mut self) {
        self.matches.clear();
    }

    /// Parses what lies within `range`; matches refer to what has been parsed before it.
    pub(super) fn parse(&mut self, data: &[u8], range: Range<usize>) {
        self.sequences.clear();
        self.segments.clear();
        self.matches.load(range.start, data.get(range.clone()).unwrap_or_default());
        let mut place = range.start;
        while place < range.end || self.segments.is_empty() {
            let first = self.sequences.len();
            let mut symbols = Histogram::EMPTY;
            let end = self.parse_segment(data, place..range.end, &mut symbols);
            self.segments.push(Segment {
                bytes: place..end,
                sequences: first..self.sequences.len(),
                symbols,
            });
            place = end;
        }
    }

    /// Parses a segment; answers with where its last match ends.
    fn parse_segment(&mut self, data: &[u8], range: Range<usize>, symbols: &mut Histogram) -> usize {
        let Range { start: mut place, end } = range;
        let stop = end.min((place + 1).next_multiple_of(SEGMENT));
        // Where the literals begin that no sequence has yet.
        let mut pending = place;
        while place < stop {
            let found = self.matches.find(place, end, Match::NONE);
            if found.length < MIN_MATCH {
                let next = stop.min(place + 1 + (place - pending) / PATIENCE);
                symbols.count_literals(data.get(place..next).unwrap_or_default());
                place = next;
                continue;
            }
            let (start, found, inserted) = self.improve(place, found, stop, end);
            for passed in inserted..start + found.length {
                self.matches.insert(passed);
            }
            symbols.count_literals(data.get(place..start).unwrap_or_default());
            symbols.count_match(found);
            self.sequences.push(Sequence::new(start - pending, found));
            place = start + found.length;
            pending = place;
        }
        if pending < place {
            self.sequences.push(Sequence::new(place - pending, Match::NONE));
        }
        place
    }

    /// Gives up a match for a longer one at the next place, which is worth a literal, and again. Answers with
    /// where it begins, the match, and the first place that has not been inserted.
    #[inline(always)]
    fn improve(
        &mut self,
        mut place: usize,
        mut found: Match,
        stop: usize,
        end: usize,
    ) -> (usize, Match, usize) {
        while found.length < LONG && place + 1 < stop {
            let next = self.matches.find(place + 1, end, found);
            if next.length <= found.length {
                return (place, found, place + 2);
            }
            place += 1;
            found = next;
        }
        (place, found, place + 1)
    }
}
