//! How much of what was asked for a version in a statement covers.

use std::cmp::Ordering;

/// How much of what was asked for is covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cover {
    /// Nothing.
    None,
    /// A part: version 5.4 of "some version of 5".
    Part,
    /// All.
    Whole,
}

/// How much of `asked` the `patterns` cover together; all of it when there are none. Names, which have no parts, are
/// compared as they are; an absent version is only covered whole by the absence of patterns.
pub(super) fn cover(patterns: &[String], asked: Option<&str>, names: bool) -> Cover {
    if patterns.is_empty() {
        return Cover::Whole;
    }
    let Some(asked) = asked else { return Cover::Part };
    patterns.iter().map(|pattern| one(pattern, asked, names)).max().unwrap_or(Cover::None)
}

fn one(pattern: &str, asked: &str, names: bool) -> Cover {
    if !names && let (Some((low, high)), Some(asked)) = (bounds(pattern), numbers(asked)) {
        return within(&low, &high, &asked);
    }
    if pattern == asked { Cover::Whole } else { Cover::None }
}

/// Whether some version is covered by both lists.
pub(super) fn overlap(one: &[String], other: &[String], names: bool) -> bool {
    let meet = |left: &String, right: &String| match (bounds(left), bounds(right)) {
        (Some((low, high)), Some((from, to))) if !names => {
            prefix_order(&low, &to) != Ordering::Greater && prefix_order(&from, &high) != Ordering::Greater
        }
        _ => left == right,
    };
    one.is_empty() || other.is_empty() || one.iter().any(|left| other.iter().any(|right| meet(left, right)))
}

/// The bounds of `9` or `5.2-5.11`; `None` when it is neither.
pub(super) fn bounds(pattern: &str) -> Option<(Vec<u32>, Vec<u32>)> {
    let (low, high) = pattern.split_once('-').unwrap_or((pattern, pattern));
    Some((numbers(low)?, numbers(high)?))
}

/// The numbers of a dotted version.
pub(super) fn numbers(version: &str) -> Option<Vec<u32>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

fn within(low: &[u32], high: &[u32], asked: &[u32]) -> Cover {
    let (from, to) = (prefix_order(asked, low), prefix_order(asked, high));
    if from == Ordering::Less || to == Ordering::Greater {
        return Cover::None;
    }
    // A coarser version than the bound that it touches lies partly outside.
    let coarse = |order: Ordering, bound: &[u32]| order == Ordering::Equal && asked.len() < bound.len();
    if coarse(from, low) || coarse(to, high) { Cover::Part } else { Cover::Whole }
}

/// The order of two versions as far as both go.
fn prefix_order(left: &[u32], right: &[u32]) -> Ordering {
    let length = left.len().min(right.len());
    left.iter().take(length).cmp(right.iter().take(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_covers_what_lies_below_it() {
        for (pattern, asked, names, expected) in [
            ("9", "9", false, Cover::Whole),
            ("9", "9.4", false, Cover::Whole),
            ("9", "90", false, Cover::None),
            ("9.4", "9", false, Cover::Part),
            ("16.04", "16.04", false, Cover::Whole),
            ("16.04", "16.10", false, Cover::None),
            ("5.2-5.11", "5.4", false, Cover::Whole),
            ("5.2-5.11", "5.11", false, Cover::Whole),
            ("5.2-5.11", "5.1", false, Cover::None),
            ("5.2-5.11", "5", false, Cover::Part),
            ("5.2-5.11", "6", false, Cover::None),
            ("7.0-7.8", "7.8.2003", false, Cover::Whole),
            ("7.0-7.8", "7.9.2009", false, Cover::None),
            ("6.9-8.1", "7", false, Cover::Whole),
            ("8", "8.1", true, Cover::None),
            ("2012", "2012r2", true, Cover::None),
            ("2012r2", "2012r2", false, Cover::Whole),
            ("2016", "2016", false, Cover::Whole),
        ] {
            assert_eq!(one(pattern, asked, names), expected, "{pattern} of {asked}");
        }
    }

    #[test]
    fn lists_overlap_in_a_span() {
        let list = |text: &str| text.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>();
        for (one, other, names, expected) in [
            ("5.2-5.8", "5.9-5.11", false, false),
            ("5.2-5.9", "5.9", false, true),
            ("7", "7.3-7.4", false, true),
            ("8", "8.1", true, false),
            ("2012 2016", "2012r2 2016", false, true),
        ] {
            assert_eq!(overlap(&list(one), &list(other), names), expected, "{one}, {other}");
        }
        assert!(overlap(&[], &list("1"), false));
    }

    #[test]
    fn no_pattern_covers_all_and_no_version_is_covered_in_part() {
        assert_eq!(cover(&[], None, false), Cover::Whole);
        assert_eq!(cover(&["9".into()], None, false), Cover::Part);
        assert_eq!(cover(&["8".into(), "9".into()], Some("9.1"), false), Cover::Whole);
    }
}
