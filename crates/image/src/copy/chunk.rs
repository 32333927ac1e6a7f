//! One chunk of the disk while a worker has it: which units have to be looked at, and what they turn out to be.

use super::survey::Content;
use block::{Extent, is_zero};
use std::ops::Range;

/// What becomes of some units of a chunk. Ranges are bytes of the chunk: whole units, or up to the disk's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// They are stored.
    Store(Range<usize>),
    /// They are zeroes although a parent may hold something else.
    Zero(Range<usize>),
}

/// The units of the chunk `range` in which `extents`, which cover it, have anything of interest, in runs.
pub(super) fn wanted(
    range: &Range<u64>,
    extents: &[Extent],
    unit: usize,
    content: Content<'_>,
) -> Vec<Range<usize>> {
    let length = (range.end - range.start) as usize;
    let mut runs: Vec<Range<usize>> = Vec::new();
    for extent in extents.iter().filter(|extent| content.holds(extent)) {
        let start = (extent.range.start - range.start) as usize / unit * unit;
        let end = ((extent.range.end - range.start) as usize).next_multiple_of(unit).min(length);
        match runs.last_mut() {
            Some(last) if last.end >= start => last.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

/// The stretches that are read to have `runs`: what lies between two of them is read too when it is no longer than `gap`
/// bytes.
pub(super) fn reads(runs: &[Range<usize>], gap: usize) -> Vec<Range<usize>> {
    let mut reads: Vec<Range<usize>> = Vec::with_capacity(runs.len());
    for run in runs {
        match reads.last_mut() {
            Some(last) if run.start - last.end <= gap => last.end = run.end,
            _ => reads.push(run.clone()),
        }
    }
    reads
}

/// Fills what of `buffer` lies outside of `reads` with zeroes.
pub(super) fn blank(buffer: &mut [u8], reads: &[Range<usize>]) {
    let mut done = 0;
    for read in reads {
        buffer.get_mut(done..read.start).unwrap_or_default().fill(0);
        done = read.end;
    }
    buffer.get_mut(done..).unwrap_or_default().fill(0);
}

/// What becomes of the units of `runs`, once they are in `buffer`. Zeroes are left out, or, with a parent below
/// (`layered`), said to be zeroes.
pub(super) fn steps(buffer: &[u8], runs: &[Range<usize>], unit: usize, layered: bool) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for run in runs {
        let mut start = run.start;
        for piece in buffer.get(run.clone()).unwrap_or_default().chunks(unit) {
            let range = start..start + piece.len();
            start = range.end;
            match (is_zero(piece), steps.last_mut()) {
                (true, _) if !layered => {}
                (true, Some(Step::Zero(last))) if last.end == range.start => last.end = range.end,
                (true, _) => steps.push(Step::Zero(range)),
                (false, Some(Step::Store(last))) if last.end == range.start => last.end = range.end,
                (false, _) => steps.push(Step::Store(range)),
            }
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::ZeroDisk;

    #[test]
    fn units_that_hold_nothing_of_interest_are_left_alone() {
        let disk = ZeroDisk::new(0);
        let extents = [
            Extent::absent(100..130),
            Extent::data(130..131),
            Extent::zero(131..140),
            Extent::absent(140..148),
            Extent::data(148..155),
        ];
        let flat = Content::Flat(&disk);
        assert_eq!(wanted(&(100..155), &extents, 8, flat), [24..32, 48..55]);
        let layer = Content::Layer { own: &disk, whole: &disk };
        assert_eq!(wanted(&(100..155), &extents, 8, layer), [24..40, 48..55]);
    }

    #[test]
    fn what_is_close_is_read_at_once() {
        assert_eq!(reads(&[0..10, 16..20, 30..31], 6), [0..20, 30..31]);
        assert_eq!(reads(&[0..10, 16..20, 30..31], 0), [0..10, 16..20, 30..31]);
        let mut buffer = vec![1; 10];
        blank(&mut buffer, &[1..3, 5..6]);
        assert_eq!(buffer, [0, 1, 1, 0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn units_become_steps() {
        let mut buffer = vec![0; 50];
        buffer[9] = 1;
        buffer[16] = 1;
        buffer[49] = 1;
        let all = 0..50;
        let all = std::slice::from_ref(&all);
        assert_eq!(steps(&buffer, all, 8, false), [Step::Store(8..24), Step::Store(48..50)]);
        let layered = [Step::Zero(0..8), Step::Store(8..24), Step::Zero(24..48), Step::Store(48..50)];
        assert_eq!(steps(&buffer, all, 8, true), layered);
        assert_eq!(steps(&buffer, &[24..32, 40..48], 8, true), [Step::Zero(24..32), Step::Zero(40..48)]);
    }
}
