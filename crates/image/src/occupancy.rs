//! Which units of a file are in use, to find those that are used twice and those that nothing uses: [`Occupancy`].

use std::ops::Range;

/// One bit for each unit (cluster, block) of a file.
pub(crate) struct Occupancy {
    bits: Vec<u64>,
    units: u64,
    used: u64,
}

/// What [`Occupancy::claim`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nothing used the unit until now.
    First,
    /// Something uses the unit already.
    Again,
    /// The file has no such unit.
    Outside,
}

impl Occupancy {
    /// A file of `units` units, none of them in use. The caller has taken that number from the file's size.
    pub(crate) fn new(units: u64) -> Self {
        Self { bits: vec![0; units.div_ceil(64) as usize], units, used: 0 }
    }

    /// How many units are in use.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Takes note that something uses a unit.
    pub(crate) fn claim(&mut self, unit: u64) -> Claim {
        let word = usize::try_from(unit / 64).ok().and_then(|word| self.bits.get_mut(word));
        let Some(word) = word.filter(|_| unit < self.units) else { return Claim::Outside };
        let bit = 1 << (unit % 64);
        if *word & bit != 0 {
            return Claim::Again;
        }
        *word |= bit;
        self.used += 1;
        Claim::First
    }

    fn is_used(&self, unit: u64) -> bool {
        self.bits.get((unit / 64) as usize).is_some_and(|word| word >> (unit % 64) & 1 != 0)
    }

    /// Units in a row that nothing uses, in order.
    pub(crate) fn unused(&self) -> impl Iterator<Item = Range<u64>> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let start = (next..self.units).find(|unit| !self.is_used(*unit))?;
            let end = (start..self.units).find(|unit| self.is_used(*unit)).unwrap_or(self.units);
            next = end;
            Some(start..end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_used_once() {
        let mut occupancy = Occupancy::new(130);
        for unit in [0, 5, 64, 129] {
            assert_eq!(occupancy.claim(unit), Claim::First);
        }
        assert_eq!(occupancy.claim(5), Claim::Again);
        assert_eq!(occupancy.claim(130), Claim::Outside);
        assert_eq!(occupancy.claim(u64::MAX), Claim::Outside);
        assert_eq!(occupancy.used(), 4);
        assert_eq!(occupancy.unused().collect::<Vec<_>>(), [1..5, 6..64, 65..129]);
    }
}
