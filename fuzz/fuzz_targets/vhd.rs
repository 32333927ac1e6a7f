//! VHDs of one file: small ones with anything put over them, their checksums made right again or not, and any bytes at
//! all.
#![no_main]

mod one_file;

use block::MemoryDisk;
use image::{CopyOptions, NewImage, NoProgress};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use one_file::{Patch, exercise, patched};
use std::sync::{Arc, OnceLock};

const FOOTER: usize = 512;
const HEADER: usize = 1024;
const TABLE: usize = FOOTER + HEADER;
/// The disk: 16 blocks of 4,096 bytes, of which some are there.
const SIZE: usize = 16 * BLOCK;
const BLOCK: usize = 4096;
const BITMAP: usize = 512;

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    Fixed { patches: Vec<Patch>, footer: Vec<Patch>, seal: bool },
    Blocks { patches: Vec<Patch>, parts: Vec<Patch>, length: Option<u32>, seal: bool },
}

/// A VHD of a disk of `size` bytes, as it is written.
fn written(subformat: &str, size: u64) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let path = directory.path().join("disk");
    let format = image::by_name("vhd").expect("it is known");
    let new = NewImage { subformat: Some(subformat.to_owned()), ..NewImage::new(format) };
    let disk = Arc::new(MemoryDisk::new(size));
    image::copy(disk, &path, &new, &CopyOptions::default(), &NoProgress).expect("it can be written");
    std::fs::read(path).expect("it can be read")
}

fn fixed() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut image = written("fixed", SIZE as u64);
        image[..4].fill(0x11);
        image
    })
}

/// A dynamic image with blocks far smaller than anyone makes them.
fn blocks() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let empty = written("dynamic", SIZE as u64);
        let mut image = empty[..TABLE + 512].to_vec();
        image[FOOTER + 28..FOOTER + 32].copy_from_slice(&16_u32.to_be_bytes());
        image[FOOTER + 32..FOOTER + 36].copy_from_slice(&(BLOCK as u32).to_be_bytes());
        for block in [0, 3, 4, 15] {
            let sector = (image.len() / 512) as u32;
            image[TABLE + block * 4..TABLE + block * 4 + 4].copy_from_slice(&sector.to_be_bytes());
            image.extend_from_slice(&[0xe1; BITMAP]);
            image.extend_from_slice(&[0x11; BLOCK]);
        }
        image.extend_from_slice(&empty[..FOOTER]);
        seal(&mut image, FOOTER, HEADER, 36);
        image
    })
}

/// Gives a structure its checksum.
fn seal(image: &mut [u8], start: usize, length: usize, place: usize) {
    let Some(structure) = image.get_mut(start..start + length) else { return };
    structure[place..place + 4].fill(0);
    let sum = structure.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    structure[place..place + 4].copy_from_slice(&(!sum).to_be_bytes());
}

/// Applies a patch each to the parts of `image` at `places`.
fn patch_parts(image: &mut [u8], places: &[usize], patches: &[Patch]) {
    for (start, patch) in places.iter().zip(patches) {
        if let Some(part) = image.get_mut(*start..*start + 96) {
            part.copy_from_slice(&patched(part, std::slice::from_ref(patch), None));
        }
    }
}

fn seal_all(image: &mut [u8]) {
    let last = image.len().saturating_sub(FOOTER);
    seal(image, last, FOOTER, 64);
    seal(image, 0, FOOTER, 64);
    seal(image, FOOTER, HEADER, 36);
}

fuzz_target!(
    init: {
        assert_eq!(one_file::first_bytes(fixed().to_vec()), [0x11; 4]);
        assert_eq!(one_file::first_bytes(blocks().to_vec()), [0x11; 4]);
    },
    |input: Input| exercise(match input {
        Input::Bytes(bytes) => bytes,
        Input::Fixed { patches, footer, seal: sealed } => {
            let mut image = patched(fixed(), &patches, None);
            patch_parts(&mut image, &[SIZE], &footer);
            if sealed {
                seal(&mut image, SIZE, FOOTER, 64);
            }
            image
        }
        Input::Blocks { patches, parts, length, seal } => {
            let mut image = patched(blocks(), &patches, length);
            let last = image.len().saturating_sub(FOOTER);
            patch_parts(&mut image, &[FOOTER, TABLE, last, 0, TABLE + 512, FOOTER + 576], &parts);
            if seal {
                seal_all(&mut image);
            }
            image
        }
    })
);
