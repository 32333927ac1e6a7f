//! Where one block ends and the next one begins.

use super::histogram::{Estimate, Histogram};
use super::parse::Segment;
use std::ops::Range;

/// Neighbouring segments that are to share a code.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    /// Where the data are.
    pub(super) bytes: Range<usize>,
    /// Which sequences they are.
    pub(super) sequences: Range<usize>,
    /// How often each symbol occurs.
    pub(super) symbols: Histogram,
    /// What it is thought to cost, in bits.
    bits: u64,
    /// What is thought to be saved if the next stretch is joined to this one, in bits.
    gain: i64,
}

/// Joins neighbours as long as that makes the whole smaller, always those first that gain most.
pub(super) fn split(segments: &[Segment], estimate: &Estimate, stretches: &mut Vec<Stretch>) {
    stretches.clear();
    stretches.extend(segments.iter().map(|segment| Stretch {
        bytes: segment.bytes.clone(),
        sequences: segment.sequences.clone(),
        symbols: segment.symbols.clone(),
        bits: estimate.bits(&segment.symbols),
        gain: i64::MIN,
    }));
    for index in 0..stretches.len() {
        weigh(stretches, index, estimate);
    }
    while let Some((index, best)) = stretches.iter().enumerate().max_by_key(|(_, stretch)| stretch.gain)
        && best.gain >= 0
    {
        let next = stretches.remove(index + 1);
        let stretch = &mut stretches[index];
        stretch.bytes.end = next.bytes.end;
        stretch.sequences.end = next.sequences.end;
        stretch.symbols.add(&next.symbols);
        stretch.bits = (stretch.bits + next.bits).saturating_add_signed(-stretch.gain);
        weigh(stretches, index, estimate);
        if let Some(before) = index.checked_sub(1) {
            weigh(stretches, before, estimate);
        }
    }
}

/// Finds what joining the next stretch to this one would gain.
fn weigh(stretches: &mut [Stretch], index: usize, estimate: &Estimate) {
    let gain = match stretches.get(index..index + 2) {
        Some([this, next]) => {
            let mut joined = this.symbols.clone();
            joined.add(&next.symbols);
            (this.bits + next.bits) as i64 - estimate.bits(&joined) as i64
        }
        _ => i64::MIN,
    };
    stretches[index].gain = gain;
}
