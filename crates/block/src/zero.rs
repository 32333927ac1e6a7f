//! Zeroes: a disk of nothing else, and the test for them.

use crate::{BlockRead, Extent, Result, check_range, check_span};
use std::ops::Range;

/// How many bytes are folded together before looking at the result: enough for the compiler to use wide
/// registers, few enough to stop early in data.
const FOLD: usize = 256;

/// Whether every byte is zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<FOLD>();
    chunks.iter().all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

/// A disk that holds nothing but zeroes, of any size, at no cost.
#[derive(Clone, Debug)]
pub struct ZeroDisk {
    size: u64,
}

impl ZeroDisk {
    /// A disk of `size` bytes.
    pub fn new(size: u64) -> Self {
        Self { size }
    }
}

impl BlockRead for ZeroDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        buf.fill(0);
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        check_span(&range, self.size)?;
        Ok(if range.is_empty() { Vec::new() } else { vec![Extent::zero(range)] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn conforms() {
        conformance::read(&ZeroDisk::new(100_001), &vec![0; 100_001]);
    }

    #[test]
    fn one_bit_anywhere_is_not_zero() {
        let mut bytes = vec![0; 3 * FOLD + 17];
        assert!(is_zero(&bytes));
        assert!(is_zero(&[]));
        for place in 0..bytes.len() {
            bytes[place] = 0x10;
            assert!(!is_zero(&bytes), "byte {place}");
            bytes[place] = 0;
        }
    }
}
