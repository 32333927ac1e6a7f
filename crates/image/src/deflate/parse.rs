//! [`Parse`]: the data as literals and matches.

use super::histogram::Histogram;
use super::matches::{Effort, LOOKAHEAD, Match, Matches};
use super::symbols::{LENGTHS, MIN_MATCH, distance_symbol};
use std::ops::Range;

/// Bytes of data whose symbols are counted apart. Files begin on such boundaries in most filesystems, and
/// sections in most programs: this is where a new code pays.
pub(super) const SEGMENT: usize = 4096;
/// The first search of a place.
const SEARCH: Effort = Effort { depth: 24, enough: 64 };
/// The search for something better at the next place.
const SECOND: Effort = Effort { depth: 12, enough: 64 };

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
        let data = data.get(..end).unwrap_or(data);
        let stop = end.min((place + 1).next_multiple_of(SEGMENT));
        let mut pending = place;
        while place < stop {
            let mut found = self.matches.find(data, place, NONE, SEARCH);
            if found.length < MIN_MATCH {
                symbols.literals[usize::from(data[place])] += 1;
                place += 1;
                continue;
            }
            let mut inserted = place + 1;
            // A longer match at the next place is worth a literal.
            while found.length < SECOND.enough && place + 1 < stop {
                let next = self.matches.find(data, place + 1, found, SECOND);
                inserted = place + 2;
                if next.length <= found.length {
                    break;
                }
                symbols.literals[usize::from(data[place])] += 1;
                place += 1;
                found = next;
            }
            symbols.literals[usize::from(LENGTHS[found.length - MIN_MATCH].symbol)] += 1;
            symbols.distances[distance_symbol(found.distance)] += 1;
            self.sequences.push(Sequence {
                literals: (place - pending) as u16,
                length: found.length as u16,
                distance: found.distance as u16,
            });
            for passed in inserted..place + found.length {
                self.matches.insert(data, passed);
            }
            place += found.length;
            pending = place;
        }
        if pending < place {
            self.sequences.push(Sequence { literals: (place - pending) as u16, length: 0, distance: 0 });
        }
        place
    }
}

const NONE: Match = Match { length: 0, distance: 0 };
const _: () = assert!(LOOKAHEAD >= MIN_MATCH);
