//! A set of ranges that only grows: what of the disk was zeroed in whole blocks.

use std::collections::BTreeMap;
use std::ops::Range;

/// Disjoint, non-adjacent ranges by their start.
#[derive(Debug, Default)]
pub(super) struct RangeSet {
    ends: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// Adds `range`, joining it with what it touches.
    pub(super) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let mut joined = range.clone();
        let touching: Vec<u64> = self
            .ends
            .range(..=range.end)
            .rev()
            .take_while(|(_, end)| **end >= range.start)
            .map(|(start, _)| *start)
            .collect();
        for start in touching {
            if let Some(end) = self.ends.remove(&start) {
                joined = joined.start.min(start)..joined.end.max(end);
            }
        }
        self.ends.insert(joined.start, joined.end);
    }

    /// Whether `point` is in the set.
    pub(super) fn contains(&self, point: u64) -> bool {
        self.ends.range(..=point).next_back().is_some_and(|(_, end)| *end > point)
    }

    /// The parts of `range` in ascending order, each with whether it is in the set; together exactly `range`.
    pub(super) fn split(&self, range: Range<u64>) -> Vec<(Range<u64>, bool)> {
        let first = self.ends.range(..=range.start).next_back().map_or(range.start, |(start, _)| *start);
        let mut parts = Vec::new();
        let mut start = range.start;
        for (inside_start, inside_end) in self.ends.range(first..range.end.max(first)) {
            let inside = (*inside_start).max(start)..(*inside_end).min(range.end);
            if inside.is_empty() {
                continue;
            }
            if start < inside.start {
                parts.push((start..inside.start, false));
            }
            start = inside.end;
            parts.push((inside, true));
        }
        if start < range.end {
            parts.push((start..range.end, false));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_a_set(ranges in prop::collection::vec((0u64..100, 0u64..20), 0..30), query in (0u64..110, 0u64..110)) {
            let mut set = RangeSet::default();
            let mut model = [false; 120];
            for (start, length) in ranges {
                set.insert(start..start + length);
                (start..start + length).for_each(|point| model[point as usize] = true);
            }
            for (point, inside) in (0..).zip(model) {
                prop_assert_eq!(set.contains(point), inside);
            }
            for (start, end) in &set.ends {
                prop_assert!(start < end && !set.ends.contains_key(end), "neighbours must have been joined");
            }
            let range = query.0.min(query.1)..query.0.max(query.1);
            let mut start = range.start;
            for (part, inside) in set.split(range.clone()) {
                prop_assert_eq!(part.start, start);
                prop_assert!(!part.is_empty());
                prop_assert!(part.clone().all(|point| model[point as usize] == inside));
                start = part.end;
            }
            prop_assert_eq!(start, range.end);
        }
    }
}
