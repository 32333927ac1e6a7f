//! A compressor for raw deflate (RFC 1951) whose matches lie within 4 KiB.
//!
//! QEMU has compressed the clusters of qcow2 with such a window since the format began, and its readers may count
//! on it. No library that we know is fast there: their tables are made for 32 KiB, and it is the codes rather than
//! the matches that so short a window leaves to be gained. So:
//!
//! * `matches` finds earlier bytes through tables that stay in a first-level cache,
//! * `parse` takes the longest match unless the next place has a longer one,
//! * `split` gives a new code to what differs from what was before, on the 4 KiB boundaries of filesystems,
//! * `block` writes each block in the shortest of its three forms.
//!
//! The same data always become the same bytes.

mod bits;
mod block;
mod histogram;
mod huffman;
mod matches;
mod parse;
mod ring;
mod split;
mod symbols;
#[cfg(test)]
mod tests;

use bits::BitWriter;
use block::BlockWriter;
use histogram::Estimate;
use parse::Parse;
use split::Stretch;

/// How far back a match may lie, in bytes.
pub const WINDOW: usize = 4096;
/// How much is parsed before it is written, in bytes.
const CHUNK: usize = 64 << 10;

/// Compresses blocks of data, each for itself. It is made once and used again: its memory is kept.
pub struct Deflater {
    parse: Parse,
    estimate: Estimate,
    stretches: Vec<Stretch>,
    blocks: BlockWriter,
}

impl Default for Deflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Deflater {
    /// A compressor that has about 200 KiB of memory.
    pub fn new() -> Self {
        Self {
            parse: Parse::new(),
            estimate: Estimate::new(),
            stretches: Vec::new(),
            blocks: BlockWriter::new(),
        }
    }

    /// Appends `data` to `out` as one raw deflate stream of at most `limit` bytes. Answers false, with `out` as it
    /// was, when it would be longer.
    pub fn compress(&mut self, data: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        let mut bits = BitWriter::new(out);
        let fits = self.write(data, (before.saturating_add(limit)).saturating_mul(8), &mut bits);
        bits.finish();
        if !fits {
            out.truncate(before);
        }
        fits
    }

    /// Writes all data up to a position of `limit` bits; answers with whether they fit.
    fn write(&mut self, data: &[u8], limit: usize, bits: &mut BitWriter<'_>) -> bool {
        self.parse.clear();
        let mut start = 0;
        loop {
            let end = data.len().min(start + CHUNK);
            self.parse.parse(data, start..end);
            split::split(&self.parse.segments, &self.estimate, &mut self.stretches);
            let count = self.stretches.len();
            for (index, stretch) in self.stretches.iter_mut().enumerate() {
                let last = end == data.len() && index + 1 == count;
                if !self.blocks.write(bits, data, &self.parse.sequences, stretch, last, limit) {
                    return false;
                }
            }
            start = end;
            if start == data.len() {
                return true;
            }
        }
    }
}
