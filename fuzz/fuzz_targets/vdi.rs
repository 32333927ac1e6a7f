//! VDIs of one file: ours with anything put over them, and any bytes at all; read, checked, repaired and resized.
#![no_main]

mod one_file;

use block::{BlockRead, BlockWrite, MemoryDisk};
use image::{CopyOptions, DirectoryGate, Gate, NewImage, NoProgress};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use one_file::{Patch, exercise, patched};
use std::path::Path;
use std::sync::{Arc, OnceLock};

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    Patched { header: Vec<Patch>, map: Vec<Patch>, length: Option<u32>, size: u32 },
}

/// Where our map begins.
const MAP: usize = 1 << 20;

/// A disk of 3 MiB with data at its beginning and its end.
fn image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let disk = MemoryDisk::new(3 << 20);
        disk.write_at(&[0x11; 70_000], 0).expect("it fits");
        disk.write_at(&[0x22; 10], (3 << 20) - 10).expect("it fits");
        let directory = tempfile::tempdir().expect("there is a temporary directory");
        let path = directory.path().join("disk");
        let new = NewImage::new(image::by_name("vdi").expect("the format is known"));
        image::copy(Arc::new(disk), &path, &new, &CopyOptions::default(), &NoProgress)
            .expect("it can be written");
        std::fs::read(path).expect("it can be read")
    })
}

/// What a guest sees of the first MiB, when the image can be read.
fn beginning(path: &Path) -> Option<Vec<u8>> {
    let (gate, name) = DirectoryGate::for_file(path).ok()?;
    let gate: Arc<dyn Gate> = Arc::new(gate);
    let image = image::open(&gate, &name).ok()?;
    let mut bytes = vec![0; image.size().min(1 << 20) as usize];
    image.read_at(&mut bytes, 0).ok()?;
    Some(bytes)
}

/// Repairs and resizes the image; what a guest saw of it stays.
fn change(file: &[u8], size: u64) {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let path = directory.path().join("disk.vdi");
    std::fs::write(&path, file).expect("there is room");
    let before = beginning(&path);
    let repaired = image::repair(&path).is_ok_and(|check| check.is_clean());
    if repaired {
        assert_eq!(beginning(&path), before);
    }
    if image::resize(&path, size).is_ok() && repaired {
        let after = beginning(&path).expect("what was resized can be read");
        let before = before.expect("what was resized could be read");
        let both = before.len().min(after.len());
        assert_eq!(before[..both], after[..both]);
        assert!(block::is_zero(&after[both..]));
    }
}

fuzz_target!(
    init: assert_eq!(one_file::first_bytes(image().to_vec()), [0x11; 4]),
    |input: Input| match input {
        Input::Bytes(bytes) => exercise(bytes),
        Input::Patched { header, map, length, size } => {
            let mut image = image().to_vec();
            for (part, patches) in [(0..472, &header), (MAP..MAP + 16, &map)] {
                let changed = patched(&image[part.clone()], patches, None);
                image[part].copy_from_slice(&changed);
            }
            image.truncate(length.map_or(usize::MAX, |length| length as usize));
            change(&image, u64::from(size) * 512);
            exercise(image);
        }
    }
);
