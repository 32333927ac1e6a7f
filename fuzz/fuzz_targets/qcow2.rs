//! qcow2 images of one file: ours with anything put over them, and any bytes at all.
#![no_main]

mod one_file;

use block::{BlockWrite, MemoryDisk};
use image::{CopyOptions, NewImage, NoProgress};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use one_file::{Patch, exercise, patched};
use std::sync::{Arc, OnceLock};

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    Patched { patches: Vec<Patch>, header: Vec<Patch>, length: Option<u32> },
}

/// A disk of 1 MiB with data at its beginning and its end.
fn image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let disk = MemoryDisk::new(1 << 20);
        disk.write_at(&[0x11; 70_000], 0).expect("it fits");
        disk.write_at(&[0x22; 10], (1 << 20) - 10).expect("it fits");
        let directory = tempfile::tempdir().expect("there is a temporary directory");
        let path = directory.path().join("disk");
        image::copy(Arc::new(disk), &path, &NewImage::qcow2(), &CopyOptions::default(), &NoProgress)
            .expect("it can be written");
        std::fs::read(path).expect("it can be read")
    })
}

fuzz_target!(
    init: assert_eq!(one_file::first_bytes(image().to_vec()), [0x11; 4]),
    |input: Input| exercise(match input {
        Input::Bytes(bytes) => bytes,
        Input::Patched { patches, header, length } => {
            let mut image = patched(image(), &patches, length);
            // The header, the L1 table and the L2 table are a few bytes of many: they get patches of their own.
            for (start, patch) in [0, 65_536, 131_072].into_iter().zip(&header) {
                if let Some(part) = image.get_mut(start..start + 128) {
                    part.copy_from_slice(&patched(part, std::slice::from_ref(patch), None));
                }
            }
            image
        }
    })
);
