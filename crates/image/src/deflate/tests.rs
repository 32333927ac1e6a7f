//! Whole streams, read back by inflaters that we did not write.

use super::{Deflater, WINDOW};
use proptest::prelude::*;

/// Compresses `data` and reads it back in every way that we have.
fn round_trip(deflater: &mut Deflater, data: &[u8]) -> Vec<u8> {
    let mut out = vec![1, 2, 3];
    assert!(deflater.compress(data, usize::MAX, &mut out), "there is no limit");
    assert_eq!(out.drain(..3).collect::<Vec<_>>(), [1, 2, 3]);
    let inflated = miniz_oxide::inflate::decompress_to_vec(&out).expect("miniz_oxide reads it");
    assert!(inflated == data, "miniz_oxide reads something else");
    let mut inflated = vec![0; data.len() + 1];
    let length = libdeflater::Decompressor::new().deflate_decompress(&out, &mut inflated);
    assert_eq!(length, Ok(data.len()));
    assert!(inflated[..data.len()] == *data, "libdeflate reads something else");
    out
}

proptest! {
    #[test]
    fn anything(data in prop::collection::vec(0..4_u8, 0..5000)) {
        round_trip(&mut Deflater::new(), &data);
    }

    #[test]
    fn bytes_of_every_value(
        runs in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..40), 1..30_usize), 0..60),
    ) {
        let data: Vec<u8> = runs.iter().flat_map(|(run, times)| run.repeat(*times)).collect();
        round_trip(&mut Deflater::new(), &data);
    }
}

#[test]
fn every_byte_in_a_block_of_the_fixed_codes() {
    let mut deflater = Deflater::new();
    for byte in 0..=255 {
        round_trip(&mut deflater, &[byte; 300]);
        round_trip(&mut deflater, &[byte, byte ^ 0x55]);
    }
}

const _: usize = WINDOW;
