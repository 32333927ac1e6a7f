//! [`BitWriter`]: bits in the order of RFC 1951, section 3.1.1, the first in the lowest place of a byte.

/// How many bits may be waiting when [`BitWriter::flush`] has been called.
const PENDING: u32 = 7;
/// How many bytes [`BitWriter::flush`] writes beyond those that it counts.
const SLACK: usize = 8;

/// Appends bits to a vector.
///
/// Room is asked for once a block ([`reserve`](Self::reserve)): a write is then one store without a
/// question of growth.
pub(super) struct BitWriter<'out> {
    out: &'out mut Vec<u8>,
    /// Whole bytes that are written; what follows them in `out` is room.
    length: usize,
    waiting: u64,
    count: u32,
}

impl<'out> BitWriter<'out> {
    /// Appends to `out`.
    pub(super) fn new(out: &'out mut Vec<u8>) -> Self {
        let length = out.len();
        Self { out, length, waiting: 0, count: 0 }
    }

    /// Makes room for `bits` more.
    pub(super) fn reserve(&mut self, bits: usize) {
        let wanted = self.length + bits.div_ceil(8) + SLACK;
        if self.out.len() < wanted {
            self.out.resize(wanted, 0);
        }
    }

    /// Adds the lowest `count` bits of `bits`, whose others are zero. Between two calls of
    /// [`flush`](Self::flush), at most 64 - [`PENDING`] bits can be added.
    #[inline(always)]
    pub(super) fn add(&mut self, bits: u64, count: u32) {
        debug_assert!(self.count + count <= 64, "more bits than fit");
        debug_assert!(bits.checked_shr(count).unwrap_or(0) == 0, "bits beyond the count");
        self.waiting |= bits << self.count;
        self.count += count;
    }

    /// Writes the whole bytes that are waiting, within the room that was asked for.
    #[inline(always)]
    pub(super) fn flush(&mut self) {
        debug_assert!(self.count < 64, "a shift by 64 bits");
        if let Some(room) = self.out.get_mut(self.length..).and_then(<[u8]>::first_chunk_mut) {
            *room = self.waiting.to_le_bytes();
        }
        let whole = self.count / 8;
        self.length += whole as usize;
        self.waiting >>= whole * 8;
        self.count &= PENDING;
    }

    /// Adds zero bits up to the next byte, and then `bytes`, for which room was asked.
    pub(super) fn add_bytes(&mut self, bytes: &[u8]) {
        self.count = self.count.next_multiple_of(8);
        self.flush();
        if let Some(room) = self.out.get_mut(self.length..self.length + bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.length += bytes.len();
    }

    /// How many bits there are, from the beginning of the vector.
    pub(super) fn position(&self) -> usize {
        self.length * 8 + self.count as usize
    }

    /// Fills up the last byte with zeros, and gives the room back.
    pub(super) fn finish(mut self) {
        self.count = self.count.next_multiple_of(8);
        self.flush();
        self.out.truncate(self.length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bit_is_the_lowest_one() {
        let mut out = vec![0xaa];
        let mut bits = BitWriter::new(&mut out);
        bits.reserve(56);
        bits.add(0b1, 1);
        bits.add(0b10, 2);
        bits.flush();
        bits.add(0x1ff, 9);
        bits.flush();
        assert_eq!(bits.position(), 8 + 12);
        bits.add_bytes(&[1, 2]);
        bits.add(1, 1);
        bits.finish();
        assert_eq!(out, [0xaa, 0b1111_1101, 0b0000_1111, 1, 2, 1]);
    }

    #[test]
    fn a_full_accumulator_loses_nothing() {
        let mut out = Vec::new();
        let mut bits = BitWriter::new(&mut out);
        bits.reserve(7 + 56);
        bits.add(0x55, 7);
        bits.flush();
        bits.add((1 << 56) - 1, 56);
        bits.flush();
        bits.finish();
        assert_eq!(out, [0xd5, 255, 255, 255, 255, 255, 255, 127]);
    }
}
