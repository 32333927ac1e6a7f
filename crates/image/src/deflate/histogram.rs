//! [`Histogram`]: how often each symbol occurs, and what that would cost.

use super::matches::Match;
use super::symbols::{DISTANCES, LENGTHS, LITERALS, MIN_MATCH, distance_symbol};

/// Counts beyond this are looked up by their sixteenth, or by the sixteenth of that.
const TABLE: usize = 2048;
/// Costs are estimated in fractions of a bit: this many bits stand behind the point.
const FRACTION: u32 = 8;
/// What any dynamic block spends on its header, in bits, less what it spends on each symbol that occurs.
const HEADER: u64 = 90;
/// What a dynamic block's header spends on a symbol that occurs, in fractions of a bit.
const PER_SYMBOL: u64 = 4 << FRACTION;

/// How often each symbol occurs in a stretch of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Histogram {
    /// Of the literal and length alphabet.
    pub(super) literals: [u32; LITERALS],
    /// Of the distance alphabet.
    pub(super) distances: [u32; DISTANCES],
}

/// Estimates what a stretch would cost as a dynamic block, by its entropy.
pub(super) struct Estimate {
    /// n log2(n).
    table: Box<[u32; TABLE]>,
}

impl Histogram {
    /// Nothing counted yet.
    pub(super) const EMPTY: Self = Self { literals: [0; LITERALS], distances: [0; DISTANCES] };

    /// Counts bytes that stand for themselves.
    #[inline(always)]
    pub(super) fn count_literals(&mut self, literals: &[u8]) {
        for byte in literals {
            self.literals[usize::from(*byte)] += 1;
        }
    }

    /// Counts the two symbols of a match.
    #[inline(always)]
    pub(super) fn count_match(&mut self, found: Match) {
        self.literals[usize::from(LENGTHS[found.length - MIN_MATCH].symbol)] += 1;
        self.distances[distance_symbol(found.distance)] += 1;
    }

    /// Adds the counts of another stretch.
    pub(super) fn add(&mut self, other: &Self) {
        for (sum, count) in self.literals.iter_mut().zip(&other.literals) {
            *sum += count;
        }
        for (sum, count) in self.distances.iter_mut().zip(&other.distances) {
            *sum += count;
        }
    }
}

impl Estimate {
    /// Makes the table.
    pub(super) fn new() -> Self {
        let mut table = Box::new([0; TABLE]);
        for (count, entry) in table.iter_mut().enumerate().skip(1) {
            let count = count as f64;
            *entry = (count * count.log2() * f64::from(1 << FRACTION)).round() as u32;
        }
        Self { table }
    }

    /// The bits of a dynamic block, its header included and the extra bits of lengths and distances left out.
    pub(super) fn bits(&self, histogram: &Histogram) -> u64 {
        let body = self.entropy(&histogram.literals) + self.entropy(&histogram.distances);
        HEADER + (body >> FRACTION)
    }

    /// What a code for these symbols and its description take, in fractions of a bit.
    fn entropy(&self, counts: &[u32]) -> u64 {
        let (mut total, mut used, mut sum) = (0, 0, 0);
        for count in counts {
            total += count;
            used += u64::from(*count > 0);
            sum += self.weigh(*count);
        }
        self.weigh(total) - sum.min(self.weigh(total)) + used * PER_SYMBOL
    }

    /// n log2(n), almost.
    fn weigh(&self, count: u32) -> u64 {
        let mut index = count as usize;
        let mut shift = 0_u32;
        while index >= TABLE {
            index /= 16;
            shift += 4;
        }
        (u64::from(self.table[index]) << shift) + u64::from(count) * (u64::from(shift) << FRACTION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_close_to_the_entropy() {
        let estimate = Estimate::new();
        for count in [0_u32, 1, 2, 3, 1000, 2047, 2048, 4097, 65_536, 1 << 20] {
            let exact = f64::from(count) * f64::from(count.max(1)).log2();
            let found = estimate.weigh(count) as f64 / f64::from(1 << FRACTION);
            assert!((found - exact).abs() <= exact / 100.0 + 1.0, "{count}: {found}, not {exact}");
        }
    }

    #[test]
    fn an_even_spread_costs_its_logarithm() {
        let mut histogram = Histogram::EMPTY;
        histogram.literals[..256].fill(100);
        let body = 25_600 * 8;
        let found = Estimate::new().bits(&histogram);
        assert!((body..body + 1200).contains(&found), "{found}");
    }
}
