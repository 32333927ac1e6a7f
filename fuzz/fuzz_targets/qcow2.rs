//! qcow2 images of one file: ours in their variants with anything put over them, and any bytes at all; opened, read,
//! checked, repaired and resized.
#![no_main]

mod one_file;

use block::{BlockWrite, MemoryDisk};
use image::{Compression, CopyOptions, DirectoryGate, Gate, NewImage, NoProgress, OpenOptions};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use one_file::{Patch, exercise, patched};
use std::sync::{Arc, OnceLock};

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    Patched { variant: u8, patches: Vec<Patch>, header: Vec<Patch>, length: Option<u32> },
    /// As before, and then changed in place.
    Changed { variant: u8, patches: Vec<Patch>, header: Vec<Patch>, size: u32 },
}

/// Bytes of the disk: small, as it is read again and again.
const SIZE: u64 = 160 << 10;

/// Disks with data at their beginning and their end, in every sort of cluster.
fn images() -> &'static [(u64, Vec<u8>)] {
    static IMAGES: OnceLock<Vec<(u64, Vec<u8>)>> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let variant = |compression, cluster_size| {
            let disk = MemoryDisk::new(SIZE);
            disk.write_at(&[0x11; 70_000], 0).expect("it fits");
            disk.write_at(&[0x22; 10], SIZE - 10).expect("it fits");
            let directory = tempfile::tempdir().expect("there is a temporary directory");
            let path = directory.path().join("disk");
            let new = NewImage { compression, cluster_size: Some(cluster_size), ..NewImage::qcow2() };
            image::copy(Arc::new(disk), &path, &new, &CopyOptions::default(), &NoProgress)
                .expect("it can be written");
            (cluster_size, std::fs::read(path).expect("it can be read"))
        };
        vec![
            variant(None, 65_536),
            variant(None, 512),
            variant(Some(Compression::Zlib), 4096),
            variant(Some(Compression::Zstd), 65_536),
        ]
    })
}

fn changed(variant: u8, patches: &[Patch], header: &[Patch], length: Option<u32>) -> Vec<u8> {
    let images = images();
    let (cluster, image) = &images[usize::from(variant) % images.len()];
    let mut image = patched(image, patches, length);
    // The header, the L1 table and the first L2 table are a few bytes of many: they get patches of their own.
    for (start, patch) in [0, *cluster as usize, 2 * *cluster as usize].into_iter().zip(header) {
        if let Some(part) = image.get_mut(start..start + 128) {
            part.copy_from_slice(&patched(part, std::slice::from_ref(patch), None));
        }
    }
    image
}

/// Repairs and resizes the image in a file. A repair that says that all is well leaves an image that a check finds
/// nothing in, and the same disk.
fn change_in_place(file: &[u8], size: u32) {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let path = directory.path().join("disk.qcow2");
    std::fs::write(&path, file).expect("it can be written");
    let (gate, name) = DirectoryGate::for_file(&path).expect("it is there");
    let gate: Arc<dyn Gate> = Arc::new(gate);
    let digest = |limit: u64| {
        let image = image::open(&gate, &name).ok()?;
        (block::BlockRead::size(&image) <= limit).then(|| image::digest(&image, 1).ok()).flatten()
    };
    let before = digest(4 << 20);
    if let Ok(check) = image::repair(&path)
        && check.is_clean()
    {
        assert_eq!(digest(4 << 20), before);
        if let Ok(check) = image::check(&gate, &name, &OpenOptions::default()) {
            assert!(before.is_none() || check.findings.is_empty(), "{:?}", check.findings);
        }
    }
    let _ = image::resize(&path, u64::from(size));
    let _ = digest(4 << 20);
}

fuzz_target!(
    init: images().iter().for_each(|(_, image)| assert_eq!(one_file::first_bytes(image.clone()), [0x11; 4])),
    |input: Input| match input {
        Input::Bytes(bytes) => exercise(bytes),
        Input::Patched { variant, patches, header, length } => {
            exercise(changed(variant, &patches, &header, length));
        }
        Input::Changed { variant, patches, header, size } => {
            change_in_place(&changed(variant, &patches, &header, None), size);
        }
    }
);
