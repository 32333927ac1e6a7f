//! VHDX images of one file: ours with anything put over them, their checksums made good again, and any bytes at all.
#![no_main]

mod one_file;

use block::{BlockWrite, MemoryDisk};
use image::{CopyOptions, NewImage, NoProgress};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use one_file::{Patch, exercise, patched};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    Patched { patches: Vec<Patch>, parts: Vec<(u8, Patch)>, log: Vec<Entry>, length: Option<u32> },
}

/// An entry of the log, sound but for what its descriptors say.
#[derive(Arbitrary, Debug)]
struct Entry {
    sector: u8,
    tail: u8,
    number: u8,
    last_file_offset: u32,
    descriptors: Vec<(bool, u32, u32)>,
}

/// Where the parts are that lead to everything else: a few bytes of many, which get patches of their own. The first
/// four have a checksum.
const PARTS: [Range<usize>; 7] = [
    0x1_0000..0x1_1000,
    0x2_0000..0x2_1000,
    0x3_0000..0x4_0000,
    0x4_0000..0x5_0000,
    0x20_0000..0x20_0200,
    0x21_0000..0x21_0080,
    0x30_0000..0x30_0040,
];
const LOG: usize = 0x10_0000;
const SECTOR: usize = 4096;

/// A disk of 3 MiB with data at its beginning and its end.
fn image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let disk = MemoryDisk::new(3 << 20);
        disk.write_at(&[0x11; 70_000], 0).expect("it fits");
        disk.write_at(&[0x22; 10], (3 << 20) - 10).expect("it fits");
        let directory = tempfile::tempdir().expect("there is a temporary directory");
        let path = directory.path().join("disk");
        let format = image::by_name("vhdx").expect("the format is known");
        let new = NewImage::new(format);
        image::copy(Arc::new(disk), &path, &new, &CopyOptions::default(), &NoProgress).expect("it can be written");
        std::fs::read(path).expect("it can be read")
    })
}

fn seal(bytes: &mut [u8]) {
    bytes[4..8].fill(0);
    let crc = crc32c::crc32c(bytes);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// Puts the entry into the log, whole as far as it fits.
fn put(image: &mut [u8], entry: &Entry) {
    let descriptors = &entry.descriptors[..entry.descriptors.len().min(126)];
    let data = descriptors.iter().filter(|(data, ..)| *data).count();
    let number = u64::from(entry.number) + 1;
    let mut bytes = vec![0; SECTOR * (1 + data)];
    bytes[..4].copy_from_slice(b"loge");
    let length = bytes.len() as u32;
    bytes[8..12].copy_from_slice(&length.to_le_bytes());
    bytes[12..16].copy_from_slice(&(u32::from(entry.tail) * SECTOR as u32).to_le_bytes());
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    bytes[24..28].copy_from_slice(&(descriptors.len() as u32).to_le_bytes());
    bytes[32..48].fill(7);
    bytes[56..64].copy_from_slice(&(u64::from(entry.last_file_offset) << 12).to_le_bytes());
    for (place, (data, offset, value)) in (64..).step_by(32).zip(descriptors) {
        bytes[place..place + 4].copy_from_slice(if *data { b"desc" } else { b"zero" });
        bytes[place + 8..place + 16].copy_from_slice(&(u64::from(*value) << 12).to_le_bytes());
        bytes[place + 16..place + 24].copy_from_slice(&(u64::from(*offset) << 12).to_le_bytes());
        bytes[place + 24..place + 32].copy_from_slice(&number.to_le_bytes());
    }
    for sector in bytes.chunks_mut(SECTOR).skip(1) {
        sector[..4].copy_from_slice(b"data");
        sector[4092..].copy_from_slice(&(number as u32).to_le_bytes());
    }
    seal(&mut bytes);
    for (sector, bytes) in (usize::from(entry.sector)..).zip(bytes.chunks(SECTOR)) {
        let start = LOG + sector % 256 * SECTOR;
        if let Some(place) = image.get_mut(start..start + SECTOR) {
            place.copy_from_slice(bytes);
        }
    }
}

fuzz_target!(
    init: assert_eq!(one_file::first_bytes(image().to_vec()), [0x11; 4]),
    |input: Input| exercise(match input {
        Input::Bytes(bytes) => bytes,
        Input::Patched { patches, parts, log, length } => {
            let mut image = patched(image(), &patches, None);
            if !log.is_empty() {
                image[0x1_0030..0x1_0040].fill(7);
                image[0x2_0030..0x2_0040].fill(7);
                log.iter().for_each(|entry| put(&mut image, entry));
            }
            for (part, patch) in &parts {
                let range = PARTS[usize::from(*part) % PARTS.len()].clone();
                let new = patched(&image[range.clone()], std::slice::from_ref(patch), None);
                image[range].copy_from_slice(&new);
            }
            for range in PARTS.into_iter().take(4) {
                seal(&mut image[range]);
            }
            image.truncate(length.map_or(usize::MAX, |length| length as usize));
            image
        }
    })
);
