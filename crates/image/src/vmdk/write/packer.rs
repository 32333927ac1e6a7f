//! Compressing the grains of a stream: [`GrainPacker`] ("Virtual Disk Format 5.0", Stream-Optimized Compressed Sparse
//! Extents).
//!
//! Measured on 64 KiB pieces of a real `/usr/lib`, beside zlib's level 6 (40 MB/s of one core): libdeflate's level 3
//! takes a quarter of the time and 2 % more room, level 2 as much time and 3 %, level 1 a fifth less and 6 %. What
//! is compressed already no level makes shorter, which a look at few of its bytes shows.

use crate::copy::Packer;
use crate::vmdk::arrangement::GRAIN;
use crate::vmdk::header::SECTOR;
use crate::vmdk::marker::{MARKER, Marker};
use libdeflater::{CompressionLvl, Compressor};
use std::io;
use zerocopy::IntoBytes;

/// libdeflate's levels: nothing but stored blocks; a quick search for matches; a better one.
const STORE: i32 = 0;
const QUICK: i32 = 1;
const BETTER: i32 = 3;
/// Up to which [`coincidence`] a grain is stored, and up to which a better search finds nothing that a quick one does not.
const NOISE: u64 = 1020;
const NEAR_NOISE: u64 = 2000;
/// How many bytes of how many are looked at.
const SAMPLE: usize = 256;
const SAMPLED: usize = 4096;

/// Compresses grains into zlib streams, each behind its marker and filled up to whole sectors.
pub(super) struct GrainPacker {
    store: Compressor,
    quick: Compressor,
    better: Compressor,
    /// The disk's last grain, filled up with zeroes: readers want whole grains.
    whole: Vec<u8>,
    /// Room for a compressed grain.
    room: Vec<u8>,
}

impl GrainPacker {
    /// A packer that has about 2 MiB of memory.
    pub(super) fn new() -> Self {
        let compressor = |level| Compressor::new(CompressionLvl::new(level).unwrap_or_default());
        let mut better = compressor(BETTER);
        let room = vec![0; better.zlib_compress_bound(GRAIN as usize)];
        Self { store: compressor(STORE), quick: compressor(QUICK), better, whole: Vec::new(), room }
    }
}

impl Packer for GrainPacker {
    /// Grains that cannot be made shorter become zlib streams of stored blocks, a little longer than they are.
    fn pack(&mut self, start: u64, data: &[u8], packed: &mut Vec<u8>) -> io::Result<bool> {
        let grain = if data.len() as u64 == GRAIN {
            data
        } else {
            self.whole.clear();
            self.whole.extend_from_slice(data);
            self.whole.resize(GRAIN as usize, 0);
            &self.whole
        };
        let coincidence = coincidence(grain);
        let compressor = if coincidence <= NOISE {
            &mut self.store
        } else if coincidence <= NEAR_NOISE {
            &mut self.quick
        } else {
            &mut self.better
        };
        let size = compressor.zlib_compress(grain, &mut self.room).map_err(io::Error::other)?;
        let marker = Marker { value: (start / SECTOR).into(), size: (size as u32).into() };
        let end = packed.len() + (MARKER + size).next_multiple_of(SECTOR as usize);
        packed.extend_from_slice(marker.as_bytes());
        packed.extend_from_slice(self.room.get(..size).unwrap_or_default());
        packed.resize(end, 0);
        Ok(true)
    }
}

/// How often two bytes of a sample of `grain` are the same, in thousandths of how often two random ones are.
///
/// What is compressed or encrypted already has about 1,000, machine code 5,000, text 15,000.
fn coincidence(grain: &[u8]) -> u64 {
    // Two tables, so that the same byte twice in a row does not wait for itself.
    let mut counts = [[0_u32; 256]; 2];
    let [even, odd] = &mut counts;
    let mut count = 0;
    for piece in grain.chunks(SAMPLED) {
        for [first, second] in piece.get(..SAMPLE).unwrap_or(piece).as_chunks().0 {
            even[usize::from(*first)] += 1;
            odd[usize::from(*second)] += 1;
            count += 2;
        }
    }
    let square = |(even, odd): (&u32, &u32)| u64::from(even + odd).pow(2);
    let squares: u64 = even.iter().zip(odd.iter()).map(square).sum();
    // A byte is always the same as itself.
    let pairs = (count * u64::max(count, 1).saturating_sub(1)).max(1);
    squares.saturating_sub(count) * 256 * 1000 / pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::conformance::Random;

    #[test]
    fn a_grain_is_a_marker_and_a_zlib_stream_in_whole_sectors() {
        let mut noise = vec![0; GRAIN as usize];
        Random::new(3).fill(&mut noise);
        for data in [&noise[..], &block::conformance::sample(GRAIN as usize, 3), &[7; 1000], &[1; 512]] {
            let mut packed = vec![9; 512];
            assert!(GrainPacker::new().pack(5 << 20, data, &mut packed).unwrap());
            assert!(packed.len().is_multiple_of(512) && packed[..512] == [9; 512]);
            let size = u32::from_le_bytes(packed[520..524].try_into().unwrap()) as usize;
            assert_eq!(packed[512..520], (5_u64 << 11).to_le_bytes());
            assert_eq!(packed.len() - 512, (12 + size).next_multiple_of(512));
            let mut grain = vec![0; GRAIN as usize];
            let stream = &packed[524..524 + size];
            let length = libdeflater::Decompressor::new().zlib_decompress(stream, &mut grain).unwrap();
            assert_eq!(length, grain.len());
            assert!(grain.starts_with(data) && block::is_zero(&grain[data.len()..]));
        }
    }

    #[test]
    fn noise_is_told_from_what_can_be_compressed() {
        let mut bytes = vec![0; GRAIN as usize];
        for seed in 0..200 {
            Random::new(seed).fill(&mut bytes);
            assert!(coincidence(&bytes) <= NOISE, "{seed}: {}", coincidence(&bytes));
        }
        let digits: Vec<u8> = bytes.iter().map(|byte| b"0123456789abcdef"[usize::from(byte % 16)]).collect();
        assert!((15_000..17_000).contains(&coincidence(&digits)));
        let most: Vec<u8> = bytes.iter().map(|byte| byte % 160).collect();
        assert!(coincidence(&most) > NOISE);
        assert_eq!(coincidence(&vec![0; GRAIN as usize]), 256_000);
    }
}
