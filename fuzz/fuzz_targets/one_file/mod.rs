//! Images of a single file, which any bytes may be: opened, and read in every way, which must agree.

#![allow(dead_code, reason = "each target uses a part of it")]

use block::{BlockRead, ExtentKind, MemoryDisk, conformance};
use image::{Gate, GateError, GateReason, OpenOptions};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use std::path::PathBuf;
use std::sync::Arc;

/// The largest disk that is read as a whole, in bytes.
const LARGEST: u64 = 4 << 20;

/// A gate to one file called `disk`.
struct OneFile(Vec<u8>);

impl Gate for OneFile {
    fn open(&self, name: &str) -> Result<Arc<dyn BlockRead>, GateError> {
        match name {
            "disk" => Ok(Arc::new(MemoryDisk::from_bytes(self.0.clone()))),
            _ => Err(GateError::new(name, GateReason::Missing { root: PathBuf::from("nowhere") })),
        }
    }

    fn describe(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
}

/// Bytes put over a sound image.
#[derive(Arbitrary, Debug)]
pub struct Patch {
    place: u32,
    bytes: Vec<u8>,
}

/// `image` with `patches` applied, cut to `length` where that is less.
pub fn patched(image: &[u8], patches: &[Patch], length: Option<u32>) -> Vec<u8> {
    let mut image = image.to_vec();
    for patch in patches {
        let place = patch.place as usize % image.len();
        for (byte, new) in image[place..].iter_mut().zip(&patch.bytes) {
            *byte = *new;
        }
    }
    image.truncate(length.map_or(usize::MAX, |length| length as usize));
    image
}

/// Opens `file` and reads it. Whatever it is, reading it in pieces gives what reading it as a whole does, and where
/// it says there are zeroes there are zeroes.
pub fn exercise(file: Vec<u8>) {
    exercise_through(&(Arc::new(OneFile(file)) as Arc<dyn Gate>));
}

/// The same with what a gate calls `disk`. A check finds what it finds, and ends.
pub fn exercise_through(gate: &Arc<dyn Gate>) {
    let _ = image::check(gate, "disk", &OpenOptions::default());
    let Ok(image) = image::open(gate, "disk") else { return };
    let size = image.size();
    if size > LARGEST {
        // Not the whole of it: its size is whatever the header says.
        let mut piece = vec![0; 128 << 10];
        for offset in [0, size / 2, size - piece.len() as u64] {
            let _ = image.read_at(&mut piece, offset);
            let _ = image.extents(offset..offset + piece.len() as u64);
        }
        return;
    }
    let mut whole = vec![0xee; size as usize];
    if image.read_at(&mut whole, 0).is_err() {
        return;
    }
    conformance::read_often(&image, &whole, 3);
    for extent in image.extents(0..size).expect("a disk that can be read says where its data is") {
        let bytes = &whole[extent.range.start as usize..extent.range.end as usize];
        assert!(!matches!(extent.kind, ExtentKind::Absent));
        assert!(extent.is_data() || block::is_zero(bytes));
    }
    assert_eq!(image::digest(&image, 2).expect("it can be read"), blake3::hash(&whole));
}

/// The first bytes of the disk in `file`, which must be sound.
pub fn first_bytes(file: Vec<u8>) -> [u8; 4] {
    let gate: Arc<dyn Gate> = Arc::new(OneFile(file));
    let image = image::open(&gate, "disk").expect("the image is sound");
    let mut bytes = [0; 4];
    image.read_at(&mut bytes, 0).expect("the image is sound");
    bytes
}
