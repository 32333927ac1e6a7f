//! Whole streams, read back by inflaters that we did not write.

use super::{CHUNK, Deflater, WINDOW};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use proptest::prelude::*;
use std::sync::{Mutex, PoisonError};

/// One compressor for all cases of a test: what it has seen before is to make no difference.
static DEFLATER: Mutex<Option<Deflater>> = Mutex::new(None);

/// Compresses `data`, reads it back in every way that we have, and answers with the stream.
fn round_trip(data: &[u8]) -> Vec<u8> {
    let mut out = vec![1, 2, 3];
    let mut deflater = DEFLATER.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = deflater.get_or_insert_default().compress(data, usize::MAX, &mut out);
    assert!(fits, "there is no limit");
    assert_eq!(out.drain(..3).collect::<Vec<_>>(), [1, 2, 3]);

    let inflated = miniz_oxide::inflate::decompress_to_vec(&out).expect("miniz_oxide reads it");
    assert!(inflated == data, "miniz_oxide reads something else");
    let mut inflated = vec![0; data.len() + 1];
    let length = libdeflater::Decompressor::new().deflate_decompress(&out, &mut inflated);
    assert_eq!(length, Ok(data.len()));
    assert!(inflated[..data.len()] == *data, "libdeflate reads something else");
    assert!(inflate_with_window(&out).as_deref() == Some(data), "a small window gives something else");
    out
}

/// Inflates with no more memory of the output than QEMU's readers may have.
fn inflate_with_window(mut stream: &[u8]) -> Option<Vec<u8>> {
    let mut inflate = DecompressorOxide::new();
    let mut window = [0; WINDOW];
    let mut data = Vec::new();
    loop {
        let start = data.len() % WINDOW;
        let (status, read, written) = decompress(&mut inflate, stream, &mut window, start, 0);
        stream = stream.get(read..)?;
        data.extend_from_slice(window.get(start..start + written)?);
        match status {
            TINFLStatus::Done => return stream.is_empty().then_some(data),
            TINFLStatus::HasMoreOutput => {}
            _ => return None,
        }
    }
}

/// Bytes without any order.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Text-like lines, with numbers in them.
fn lines(length: usize) -> Vec<u8> {
    let mut text: Vec<u8> =
        (0..length as u64 / 16 + 1).flat_map(|n| format!("{:x} entry {n}\n", n * n).into_bytes()).collect();
    text.truncate(length);
    text
}

#[test]
fn the_window_of_the_test_is_as_small_as_it_says() {
    let mut data = noise(WINDOW + 1);
    data.extend_from_within(..300);
    let mut stream = vec![0; 2 * data.len()];
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::best());
    let length = compressor.deflate_compress(&data, &mut stream).expect("there is room");
    assert!(length < data.len(), "the match at 4,097 bytes is not used");
    assert_eq!(inflate_with_window(&stream[..length]), None);
}

#[test]
fn every_short_length_of_everything() {
    for length in (0..=40).chain(250..=266).chain([509, 511, 512, 513]) {
        round_trip(&vec![0; length]);
        round_trip(&noise(length));
        round_trip(&lines(length));
    }
    assert_eq!(round_trip(&[]), [3, 0]);
}

#[test]
fn lengths_about_segments_chunks_and_stored_blocks() {
    for around in [4096, 8192, CHUNK - 4096, CHUNK, 2 * CHUNK, 5 * CHUNK] {
        for length in [around - 9, around - 1, around, around + 1, around + 9] {
            round_trip(&vec![b'x'; length]);
            round_trip(&noise(length));
            round_trip(&lines(length));
        }
    }
}

#[test]
fn distances_about_the_window() {
    for distance in [1, 2, 3, 4, 5, 4094, 4095, 4096, 4097, 4098] {
        for length in [3, 4, 7, 8, 9, 257, 258, 259, 600] {
            let mut data = noise(CHUNK - 200);
            for place in data.len()..data.len() + length {
                data.push(data[place - distance]);
            }
            let without = round_trip(&noise(data.len())).len();
            let saved = without - round_trip(&data).len().min(without);
            assert!(saved > 0 || length < 200 || distance > WINDOW, "{length} at {distance}");
        }
    }
}

#[test]
fn two_mebibytes_of_changing_data() {
    let mut data = lines(700_000);
    data.extend(noise(200_000));
    data.extend(vec![0; 300_000]);
    data.extend_from_within(100_000..800_000);
    data.resize(2 << 20, b'z');
    let stream = round_trip(&data);
    assert!(stream.len() < 2 * 200_000 + 500_000, "{}", stream.len());
}

#[test]
fn noise_is_stored_with_five_bytes_a_block() {
    let data = noise(CHUNK);
    assert_eq!(round_trip(&data).len(), CHUNK + 10);
    let data = noise(CHUNK - 1);
    assert_eq!(round_trip(&data).len(), CHUNK - 1 + 5);
}

#[test]
fn what_would_be_too_long_is_not_written() {
    let mut deflater = Deflater::new();
    for data in [lines(100_000), noise(CHUNK), vec![0; CHUNK], Vec::new()] {
        let length = round_trip(&data).len();
        let mut out = b"before".to_vec();
        assert!(!deflater.compress(&data, length - 1, &mut out));
        assert_eq!(out, b"before");
        assert!(deflater.compress(&data, length, &mut out));
        assert_eq!(out.len(), 6 + length);
    }
}

#[test]
fn half_noise_and_half_text_share_no_code() {
    let mut data = noise(CHUNK / 2);
    data.extend(lines(CHUNK / 2));
    let apart = round_trip(&data[..CHUNK / 2]).len() + round_trip(&data[CHUNK / 2..]).len();
    assert!(round_trip(&data).len() <= apart + 8, "{apart}");
}

/// A piece of data: bytes of a small or a large alphabet, a run, or a repetition of what was before.
#[derive(Clone, Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Run(u8, usize),
    Again(usize, usize),
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        prop::collection::vec(0..4_u8, 0..300).prop_map(Piece::Bytes),
        prop::collection::vec(any::<u8>(), 0..600).prop_map(Piece::Bytes),
        (any::<u8>(), 0..2000_usize).prop_map(|(byte, length)| Piece::Run(byte, length)),
        (1..5000_usize, 0..700_usize).prop_map(|(distance, length)| Piece::Again(distance, length)),
        (4090..4100_usize, 0..12_usize).prop_map(|(distance, length)| Piece::Again(distance, length)),
    ]
}

fn join(pieces: &[Piece]) -> Vec<u8> {
    let mut data = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => data.extend_from_slice(bytes),
            Piece::Run(byte, length) => data.extend(std::iter::repeat_n(*byte, *length)),
            Piece::Again(distance, length) => {
                for _ in 0..*length {
                    data.push(data.len().checked_sub(*distance).map_or(0, |place| data[place]));
                }
            }
        }
    }
    data
}

proptest! {
    #[test]
    fn structured_data_come_back(pieces in prop::collection::vec(piece(), 0..120), seen in piece()) {
        let data = join(&pieces);
        let stream = round_trip(&data);
        prop_assert!(stream.len() <= data.len() + 5 * (data.len() / 65_535 + 1) + 1);
        // Whatever a compressor has seen before, it makes the same of the same data.
        let mut deflater = Deflater::new();
        let mut out = Vec::new();
        deflater.compress(&join(&[seen]), usize::MAX, &mut out);
        out.clear();
        prop_assert!(deflater.compress(&data, usize::MAX, &mut out));
        prop_assert!(out == stream, "the stream depends on the past");
    }
}

#[test]
fn every_byte_in_a_block_of_the_fixed_codes() {
    for byte in 0..=255 {
        round_trip(&[byte; 300]);
        round_trip(&[byte, byte ^ 0x55]);
    }
}
