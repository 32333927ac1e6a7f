//! Which parts of a read have arrived: a structured reply may bring them in any order, each once.

use std::ops::Range;

/// Disjoint ranges in ascending order; neighbours are one.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    ranges: Vec<Range<u64>>,
}

impl Coverage {
    /// Adds what arrived; `false` when some of it had arrived before.
    pub(super) fn add(&mut self, range: Range<u64>) -> bool {
        let place = self.ranges.partition_point(|known| known.end <= range.start);
        let next_starts = self.ranges.get(place).map(|next| next.start);
        if next_starts.is_some_and(|start| start < range.end) {
            return false;
        }
        let joins_next = next_starts == Some(range.end);
        match place.checked_sub(1).and_then(|before| self.ranges.get_mut(before)) {
            Some(before) if before.end == range.start => {
                before.end = range.end;
                if joins_next {
                    let next = self.ranges.remove(place);
                    if let Some(before) = self.ranges.get_mut(place - 1) {
                        before.end = next.end;
                    }
                }
            }
            _ => match self.ranges.get_mut(place) {
                Some(next) if joins_next => next.start = range.start,
                _ => self.ranges.insert(place, range),
            },
        }
        true
    }

    /// Whether exactly `range` has arrived.
    pub(super) fn is_exactly(&self, range: &Range<u64>) -> bool {
        match self.ranges.as_slice() {
            [] => range.is_empty(),
            [only] => only == range,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_in_any_order_make_the_whole() {
        let mut coverage = Coverage::default();
        for part in [4..6, 0..2, 8..10, 2..4] {
            assert!(coverage.add(part));
        }
        assert!(!coverage.is_exactly(&(0..10)));
        assert!(coverage.add(6..8));
        assert!(coverage.is_exactly(&(0..10)), "{coverage:?}");
    }

    #[test]
    fn nothing_arrives_twice() {
        let mut coverage = Coverage::default();
        assert!(coverage.add(10..20));
        for again in [10..20, 5..11, 19..25, 12..13, 0..100] {
            assert!(!coverage.add(again));
        }
        assert!(coverage.add(20..21) && coverage.add(9..10));
        assert!(coverage.is_exactly(&(9..21)));
    }
}
