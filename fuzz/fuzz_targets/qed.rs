//! QED images with anything put over their header and tables, and any bytes at all.
#![no_main]

mod one_file;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use one_file::{Patch, exercise, patched};

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    Patched { patches: [Vec<Patch>; 3], length: Option<u32> },
}

const CLUSTER: usize = 4096;

/// A header, both tables, two clusters: the first and the fourth of five, with one of zeroes between.
fn image() -> Vec<u8> {
    let mut image = vec![0; 3 * CLUSTER];
    let mut put = |place: usize, bytes: &[u8]| image[place..place + bytes.len()].copy_from_slice(bytes);
    put(0, b"QED\0");
    for (place, word) in [(4, CLUSTER as u32), (8, 1), (12, 1)] {
        put(place, &word.to_le_bytes());
    }
    let cluster = CLUSTER as u64;
    for (place, word) in [(40, cluster), (48, 5 * cluster - 512), (CLUSTER, 2 * cluster)] {
        put(place, &word.to_le_bytes());
    }
    for (index, entry) in [3 * cluster, 1, 0, 4 * cluster].into_iter().enumerate() {
        put(2 * CLUSTER + index * 8, &entry.to_le_bytes());
    }
    [image, vec![0x11; CLUSTER], vec![0x22; CLUSTER]].concat()
}

fuzz_target!(
    init: assert_eq!(one_file::first_bytes(image()), [0x11; 4]),
    |input: Input| exercise(match input {
        Input::Bytes(bytes) => bytes,
        Input::Patched { patches, length } => {
            let mut image = image();
            for (start, patches) in [0, CLUSTER, 2 * CLUSTER].into_iter().zip(&patches) {
                let part = &mut image[start..start + 64];
                let changed = patched(part, patches, None);
                part.copy_from_slice(&changed);
            }
            image.truncate(length.map_or(usize::MAX, |length| length as usize));
            image
        }
    })
);
