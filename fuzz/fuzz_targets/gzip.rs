//! gzip streams, against another implementation: members of anything, damaged or not.
#![no_main]

use block::{BlockRead, MemoryDisk, conformance};
use image::GzipDisk;
use libdeflater::{CompressionLvl, Compressor, Decompressor};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

/// How much a stream may unpack to before the other implementation gives up, in bytes.
const LARGEST: usize = 4 << 20;

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    Members { members: Vec<(Vec<u8>, u16, u8)>, damage: Option<(u32, u8)>, padding: u8 },
}

fn member(bytes: &[u8], level: u8) -> Vec<u8> {
    let level = CompressionLvl::new(i32::from(level % 13)).expect("0 to 12 are levels");
    let mut compressor = Compressor::new(level);
    let mut packed = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let length = compressor.gzip_compress(bytes, &mut packed).expect("there is room");
    packed.truncate(length);
    packed
}

fn open(packed: &[u8]) -> Option<GzipDisk> {
    GzipDisk::open(Arc::new(MemoryDisk::from_bytes(packed.to_vec()))).ok()
}

fuzz_target!(|input: Input| {
    let (packed, expected) = match input {
        Input::Bytes(bytes) => (bytes, None),
        Input::Members { members, damage, padding } => {
            let (mut packed, mut expected) = (Vec::new(), Vec::new());
            for (bytes, times, level) in members.iter().take(4) {
                let bytes = bytes.repeat(usize::from(*times).min(LARGEST / 8 / bytes.len().max(1)));
                packed.extend(member(&bytes, *level));
                expected.extend(bytes);
            }
            if !packed.is_empty() {
                packed.resize(packed.len() + usize::from(padding), 0);
            }
            match damage {
                Some((place, byte)) if byte != 0 && !packed.is_empty() => {
                    let place = place as usize % packed.len();
                    packed[place] ^= byte;
                    (packed, None)
                }
                _ => (packed, Some(expected)),
            }
        }
    };
    let disk = open(&packed);
    if let Some(expected) = expected {
        conformance::read_often(&disk.expect("a sound stream is read"), &expected, 3);
        return;
    }
    // Damage may hit a byte that does not matter. What is accepted must then be what the other one says.
    let Some(disk) = disk else { return };
    if disk.size() > LARGEST as u64 {
        return;
    }
    let mut ours = vec![0; disk.size() as usize];
    disk.read_at(&mut ours, 0).expect("what was scanned can be read");
    let mut theirs = vec![0; LARGEST];
    if let Ok(length) = Decompressor::new().gzip_decompress(&packed, &mut theirs) {
        // It stops after the first member.
        assert!(ours.starts_with(&theirs[..length]));
    }
});
