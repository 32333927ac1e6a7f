//! QED images that QEMU wrote, read back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use image::{DirectoryGate, Gate, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use support::{disk, failure, file, open, qemu_img};

/// `bytes` as a QED image with these options.
fn qed(directory: &Path, options: &str, bytes: &[u8]) -> PathBuf {
    file(directory, "disk.raw", bytes);
    qemu_img(directory, &["convert", "-f", "raw", "-O", "qed", "-o", options, "disk.raw", "disk.qed"]);
    directory.join("disk.qed")
}

fn qemu_io(directory: &Path, image: &str, commands: &[&str]) {
    let commands = commands.iter().flat_map(|command| ["-c", command]);
    let output = Command::new("qemu-io")
        .args(["-f", "qed"])
        .args(commands)
        .arg(image)
        .current_dir(directory)
        .output()
        .expect("qemu-io runs (Debian package qemu-utils)");
    assert!(output.status.success(), "{output:?}");
}

fn number(image: &[u8], place: usize) -> usize {
    u64::from_le_bytes(image[place..place + 8].try_into().unwrap()) as usize
}

#[test]
fn images_of_every_shape_read_as_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    for options in ["cluster_size=65536", "cluster_size=4096,table_size=2", "cluster_size=1M,table_size=16"] {
        for size in [512, (1 << 20) + 512, 5 << 20] {
            let bytes = disk(size);
            let image = open(&qed(directory.path(), options, &bytes)).unwrap();
            assert_eq!(image.info().format, "qed");
            block::conformance::read(&image, &bytes);
        }
    }
}

#[test]
fn a_backing_file_and_clusters_of_zeroes() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = disk(4 << 20);
    // Its beginning looks like an image, and is data all the same: the child says that it is raw.
    bytes[..4].copy_from_slice(b"QED\0");
    file(directory.path(), "base.raw", &bytes);
    qemu_img(directory.path(), &["create", "-f", "qed", "-b", "base.raw", "-F", "raw", "child.qed"]);
    qemu_io(
        directory.path(),
        "child.qed",
        &["write -P 0xa5 100000 70000", "write -z 1M 1M", "write -P 7 4194000 304"],
    );
    bytes[100_000..170_000].fill(0xa5);
    bytes[1 << 20..2 << 20].fill(0);
    bytes[4_194_000..].fill(7);
    let image = open(&directory.path().join("child.qed")).unwrap();
    assert_eq!(image.info().layers.len(), 2);
    block::conformance::read(&image, &bytes);
}

#[test]
fn an_image_that_was_not_closed_is_read_and_a_check_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = disk(2 << 20);
    let path = qed(directory.path(), "cluster_size=65536", &bytes);
    let check = || {
        let (gate, name) = DirectoryGate::for_file(&path).unwrap();
        let gate: Arc<dyn Gate> = Arc::new(gate);
        image::check(&gate, &name, &OpenOptions::default()).unwrap()
    };
    assert!(check().is_clean(), "{:?}", check());
    let mut image = std::fs::read(&path).unwrap();
    image[16] |= 2;
    image.extend_from_slice(&[0; 3 * 65_536]);
    std::fs::write(&path, &image).unwrap();
    block::conformance::read(&open(&path).unwrap(), &bytes);
    assert_eq!((check().damages, check().leaks), (1, 1), "{:?}", check());

    // Two clusters in one place, and a table that serves twice.
    let l1 = number(&image, 40);
    let l2 = number(&image, l1);
    let present: Vec<usize> =
        (0..32).map(|entry| l2 + entry * 8).filter(|entry| number(&image, *entry) > 1).collect();
    let mut twice = image.clone();
    twice.copy_within(present[0]..present[0] + 8, present[1]);
    std::fs::write(&path, &twice).unwrap();
    assert!(check().findings.iter().any(|finding| finding.what.contains("where something else does")));
}

#[test]
fn headers_and_tables_that_lie() {
    let directory = tempfile::tempdir().unwrap();
    let path = qed(directory.path(), "cluster_size=65536", &block::conformance::sample(2 << 20, 1));
    let image = std::fs::read(&path).unwrap();
    let l1 = number(&image, 40);
    let l2 = number(&image, l1);
    for (place, bytes, reason) in [
        (4, &[1][..], "a cluster of 65537 bytes is not"),
        (4, &[0; 4], "a cluster of 0 bytes is not"),
        (8, &[3], "a table of 3 clusters is not"),
        (16, &[8], "the features 0x8 are unknown"),
        (40, &[1], "the L1 table at byte 65537 lies outside"),
        (46, &[1], "lies outside the file"),
        (48, &[1], "makes no sense"),
        (54, &[1, 1], "makes no sense"),
        (16, &[1], "outside"),
        (l1, &[1], "L2 table 0 lies outside the file"),
        (l1 + 4, &[9], "L2 table 0 lies outside the file"),
        (l2 + 1, &[1], "cluster 0 lies outside the file or at no cluster's start"),
        (l2 + 12, &[9], "cluster 1 lies outside the file"),
    ] {
        let mut changed = image.clone();
        changed[place..place + bytes.len()].copy_from_slice(bytes);
        if reason == "outside" {
            // A backing file whose name is somewhere else.
            changed[56..64].fill(0x7f);
        }
        std::fs::write(&path, changed).unwrap();
        let message = failure(&path);
        let expected = if reason == "outside" { "name of 2139062143 bytes cannot be read" } else { reason };
        assert!(message.contains(expected), "{place}: {message}");
    }
    std::fs::write(&path, &image[..63]).unwrap();
    assert!(failure(&path).contains("ends inside the header"));
}
