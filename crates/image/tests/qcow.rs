//! qcow images of version 1 that QEMU wrote, read back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use image::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{disk, failure, file, open, qemu_img};

/// `bytes` as a qcow image called `disk.qcow`.
fn qcow(directory: &Path, compress: bool, bytes: &[u8]) -> PathBuf {
    file(directory, "disk.raw", bytes);
    let compress = compress.then_some("-c");
    let status = Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow"])
        .args(compress)
        .args(["disk.raw", "disk.qcow"])
        .current_dir(directory)
        .status()
        .expect("qemu-img runs (./dev test installs it: Debian package qemu-utils)");
    // QEMU 10 writes a compressed image of version 1 and answers 1, without a word: it is sound by its own reading.
    assert!(status.success() || compress.is_some());
    qemu_img(directory, &["compare", "-f", "raw", "-F", "qcow", "disk.raw", "disk.qcow"]);
    directory.join("disk.qcow")
}

fn number(image: &[u8], place: usize) -> usize {
    u64::from_be_bytes(image[place..place + 8].try_into().unwrap()) as usize
}

#[test]
fn plain_and_compressed_images_read_as_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    for compress in [false, true] {
        for size in [512, (1 << 20) + 512, (9 << 20) - 512] {
            let bytes = disk(size);
            let image = open(&qcow(directory.path(), compress, &bytes)).unwrap();
            assert_eq!(image.info().format, "qcow");
            block::conformance::read(&image, &bytes);
        }
    }
}

#[test]
fn a_backing_file_makes_smaller_clusters() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = disk(3 << 20);
    qcow(directory.path(), true, &bytes);
    qemu_img(directory.path(), &["create", "-f", "qcow", "-b", "disk.qcow", "-F", "qcow", "child.qcow"]);
    let output = Command::new("qemu-io")
        .args(["-f", "qcow", "-c", "write -P 0xa5 100000 5000", "-c", "write -P 7 2M 1M", "child.qcow"])
        .current_dir(directory.path())
        .output()
        .expect("qemu-io runs (Debian package qemu-utils)");
    assert!(output.status.success(), "{output:?}");
    bytes[100_000..105_000].fill(0xa5);
    bytes[2 << 20..].fill(7);
    let image = open(&directory.path().join("child.qcow")).unwrap();
    assert_eq!(image.info().layers.len(), 2);
    assert_eq!(image.info().layers[0].cluster_size, Some(512));
    block::conformance::read(&image, &bytes);
}

#[test]
fn headers_and_tables_that_lie() {
    let directory = tempfile::tempdir().unwrap();
    let text: Vec<u8> = (0..2 << 20).map(|place| (place / 50) as u8).collect();
    let path = qcow(directory.path(), true, &text);
    let image = std::fs::read(&path).unwrap();
    let l1 = number(&image, 40);
    let l2 = number(&image, l1);
    for (place, bytes, reason) in [
        (
            8,
            &[0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9][..],
            "the backing file's name of 9 bytes cannot be read",
        ),
        (24, &[0x7f], "bytes is absurd"),
        (25, &[0x80], "the L1 table of"),
        (32, &[8], "a cluster of 2^8 bytes is not"),
        (32, &[17], "a cluster of 2^17 bytes is not"),
        (33, &[14], "an L2 table of 2^14 entries is not"),
        (39, &[1], "the image is encrypted (AES)"),
        (39, &[2], "encryption method 2 is unknown"),
        (40, &[0x7f], "lies outside the file"),
        (l1, &[0x7f], "L2 table 0 lies outside the file"),
        (l2, &[0x7f], "cluster 0 lies outside the file"),
        (l2 + 4, &[0xff], "cluster 0 lies outside the file"),
    ] {
        let mut changed = image.clone();
        changed[place..place + bytes.len()].copy_from_slice(bytes);
        std::fs::write(&path, changed).unwrap();
        let message = failure(&path);
        assert!(message.contains(reason), "{place}: {message}");
    }
    let mut encrypted = image.clone();
    encrypted[39] = 1;
    std::fs::write(&path, encrypted).unwrap();
    assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::Unsupported);
    std::fs::write(&path, &image[..47]).unwrap();
    assert!(failure(&path).contains("ends inside the header"));
    // A compressed cluster is noise where it should be compressed.
    let mut noise = image.clone();
    let offset = number(&image, l2) & ((1 << (63 - image[32])) - 1);
    noise[offset..offset + 64].fill(0xff);
    std::fs::write(&path, noise).unwrap();
    assert!(failure(&path).contains("cannot be decompressed"));
}
