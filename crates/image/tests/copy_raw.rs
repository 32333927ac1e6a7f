//! Raw targets: holes or reserved room, and a copy that does not wait for the disk.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use block::{BlockRead, BlockWrite, MemoryDisk};
use image::{CopyOptions, Error, NewImage, NoProgress};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

const SIZE: u64 = (8 << 20) + 512;

fn source() -> Arc<dyn BlockRead> {
    let disk = MemoryDisk::new(SIZE);
    disk.write_at(b"here", 5 << 20).unwrap();
    Arc::new(disk)
}

fn raw(subformat: &str) -> NewImage {
    NewImage { subformat: Some(subformat.to_owned()), ..NewImage::raw() }
}

#[test]
fn a_preallocated_image_has_its_room_and_a_sparse_one_holes() {
    let directory = tempfile::tempdir().unwrap();
    for (subformat, least, most) in [("sparse", 4096, 1 << 20), ("preallocated", SIZE, u64::MAX)] {
        let target = directory.path().join(subformat);
        let options = CopyOptions { sync: false, ..CopyOptions::default() };
        image::copy(source(), &target, &raw(subformat), &options, &NoProgress).unwrap();
        let metadata = target.metadata().unwrap();
        assert_eq!(metadata.len(), SIZE);
        let room = metadata.blocks() * 512;
        assert!((least..=most).contains(&room), "{subformat}: {room}");
        let mut expected = vec![0; SIZE as usize];
        expected[5 << 20..][..4].copy_from_slice(b"here");
        assert!(std::fs::read(&target).unwrap() == expected, "{subformat}");
    }
}

#[test]
fn an_unknown_variant_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("copy.raw");
    let options = CopyOptions::default();
    let error = image::copy(source(), &target, &raw("thick"), &options, &NoProgress).unwrap_err();
    assert!(matches!(error, Error::Option { .. }), "{error}");
    assert_eq!(error.to_string(), "raw has no subformat thick; there are sparse, preallocated");
}
