//! qcow images of version 1 with anything put over their header, tables and compressed clusters, and any bytes at all.
#![no_main]

mod one_file;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use one_file::{Patch, exercise, patched};

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    Patched { patches: [Vec<Patch>; 4], length: Option<u32> },
}

const CLUSTER: usize = 512;
/// Where the header, the L1 table, the L2 table and the compressed cluster begin.
const PARTS: [usize; 4] = [0, CLUSTER, 2 * CLUSTER, 4 * CLUSTER];

/// Five clusters: one plain, one absent, one compressed, two absent.
fn image() -> Vec<u8> {
    let mut image = vec![0; 3 * CLUSTER];
    let mut put = |place: usize, bytes: &[u8]| image[place..place + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb\0\0\0\x01");
    put(24, &(5 * CLUSTER as u64).to_be_bytes());
    put(32, &[9, 6]);
    put(40, &(CLUSTER as u64).to_be_bytes());
    put(CLUSTER, &(2 * CLUSTER as u64).to_be_bytes());
    put(2 * CLUSTER, &(3 * CLUSTER as u64).to_be_bytes());
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
    let mut packed = vec![0; compressor.deflate_compress_bound(CLUSTER)];
    let length = compressor.deflate_compress(&[0x22; CLUSTER], &mut packed).expect("there is room");
    let entry = 1 << 63 | (length as u64) << (63 - 9) | 4 * CLUSTER as u64;
    put(2 * CLUSTER + 16, &entry.to_be_bytes());
    [&image[..], &[0x11; CLUSTER], &packed[..length]].concat()
}

fuzz_target!(
    init: assert_eq!(one_file::first_bytes(image()), [0x11; 4]),
    |input: Input| exercise(match input {
        Input::Bytes(bytes) => bytes,
        Input::Patched { patches, length } => {
            let mut image = image();
            for (start, patches) in PARTS.into_iter().zip(&patches) {
                let end = image.len().min(start + 48);
                let part = &mut image[start..end];
                let changed = patched(part, patches, None);
                part.copy_from_slice(&changed);
            }
            image.truncate(length.map_or(usize::MAX, |length| length as usize));
            image
        }
    })
);
