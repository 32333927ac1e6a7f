//! qcow2 images checked, repaired and resized in place, with QEMU's opinion of them before and afterwards.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use block::{BlockRead, MemoryDisk};
use image::{Check, Compression, CopyOptions, DirectoryGate, Gate, NewImage, NoProgress, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use support::{disk, file, open, qemu_img};

fn check(path: &Path) -> Check {
    let (gate, name) = DirectoryGate::for_file(path).unwrap();
    let gate: Arc<dyn Gate> = Arc::new(gate);
    image::check(&gate, &name, &OpenOptions::default()).unwrap()
}

fn assert_clean(path: &Path, what: &str) {
    let check = check(path);
    assert!(check.findings.is_empty(), "{what}: {:?}", check.findings);
}

/// Whether QEMU finds nothing.
fn qemu_finds_nothing(path: &Path) -> bool {
    let output = Command::new("qemu-img").args(["check", "-q", "-f", "qcow2"]).arg(path).output();
    output.expect("qemu-img runs (Debian package qemu-utils)").status.success()
}

/// `bytes` as an image made by QEMU with further `arguments`.
fn qcow2(directory: &Path, arguments: &[&str], bytes: &[u8]) -> PathBuf {
    file(directory, "disk.raw", bytes);
    let command = [&["convert", "-f", "raw", "-O", "qcow2"], arguments, &["disk.raw", "disk.qcow2"]].concat();
    qemu_img(directory, &command);
    directory.join("disk.qcow2")
}

#[test]
fn what_qemu_writes_is_clean() {
    let bytes = disk((5 << 20) + 512);
    for arguments in [
        &[][..],
        &["-o", "compat=0.10"],
        &["-o", "cluster_size=512"],
        &["-o", "cluster_size=2M"],
        &["-o", "extended_l2=on"],
        &["-o", "refcount_bits=1"],
        &["-o", "refcount_bits=64,lazy_refcounts=on"],
        &["-o", "preallocation=metadata"],
        &["-c"],
        &["-c", "-o", "compression_type=zstd,cluster_size=4k"],
        &["-o", "data_file=guest.data"],
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = qcow2(directory.path(), arguments, &bytes);
        assert_clean(&path, &format!("{arguments:?}"));
        if !arguments.iter().any(|argument| argument.contains("data_file") || argument.contains("bits=1")) {
            qemu_img(directory.path(), &["snapshot", "-c", "one", "disk.qcow2"]);
            qemu_img(directory.path(), &["snapshot", "-c", "two", "disk.qcow2"]);
            assert_clean(&path, &format!("{arguments:?} with snapshots"));
        }
        if !arguments.iter().any(|argument| argument.contains("0.10") || argument.contains("data_file")) {
            qemu_img(directory.path(), &["bitmap", "--add", "disk.qcow2", "changes"]);
            assert_clean(&path, &format!("{arguments:?} with a bitmap"));
        }
    }
}

#[test]
fn what_we_write_is_clean() {
    let bytes = disk((3 << 20) + 512);
    let new = NewImage::qcow2;
    for new in [
        new(),
        NewImage { cluster_size: Some(512), compression: Some(Compression::Zlib), ..new() },
        NewImage { compression: Some(Compression::Zstd), ..new() },
        NewImage { cluster_size: Some(2 << 20), preallocate: true, ..new() },
        NewImage { data_file: true, ..new() },
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.qcow2");
        let source = Arc::new(MemoryDisk::from_bytes(bytes.clone()));
        image::copy(source, &path, &new, &CopyOptions::default(), &NoProgress).unwrap();
        assert_clean(&path, &format!("{new:?}"));
    }
}

fn word(image: &[u8], place: usize) -> usize {
    u64::from_be_bytes(image[place..place + 8].try_into().unwrap()) as usize & 0x00ff_ffff_ffff_fe00
}

/// The offsets of the first L2 table and the first refcount block.
fn tables(image: &[u8]) -> (usize, usize) {
    (word(image, word(image, 40)), word(image, word(image, 48)))
}

#[test]
fn counts_that_are_wrong_are_found_and_made_right() {
    let bytes = disk(5 << 20);
    for arguments in [&[][..], &["-c"], &["-o", "cluster_size=4k,refcount_bits=2"], &["-o", "extended_l2=on"]]
    {
        let directory = tempfile::tempdir().unwrap();
        let path = qcow2(directory.path(), arguments, &bytes);
        let good = std::fs::read(&path).unwrap();
        let (l2, block) = tables(&good);
        type Damage = fn(&mut [u8], usize, usize);
        let damages: [(&str, Damage); 6] = [
            ("too low", |image, _, block| image[block..block + 12].fill(0)),
            ("too high", |image, _, block| image[block + 8..block + 12].fill(0xff)),
            ("no block", |image, _, _| {
                let table = word(image, 48);
                image[table..table + 8].fill(0);
            }),
            ("a block elsewhere", |image, _, _| {
                let table = word(image, 48);
                image[table..table + 8].copy_from_slice(&0x7777_u64.to_be_bytes());
            }),
            ("flags", |image, l2, _| {
                for place in (l2..l2 + 512).step_by(16) {
                    if image[place] & 0x40 == 0 && word(image, place) != 0 {
                        image[place] ^= 0x80;
                    }
                }
            }),
            ("dirty", |image, _, block| {
                image[79] |= 1;
                image[block..block + 8].fill(0);
            }),
        ];
        for (what, damage) in damages {
            let mut image = good.clone();
            damage(&mut image, l2, block);
            std::fs::write(&path, &image).unwrap();
            let found = check(&path);
            assert!(!found.is_clean() || (what == "flags" && arguments == ["-c"]), "{what} {arguments:?}");
            let repaired = image::repair(&path).unwrap();
            assert!(repaired.is_clean(), "{what}: {:?}", repaired.findings);
            assert_eq!(repaired.leaks + repaired.damages, found.leaks + found.damages, "{what}");
            assert_clean(&path, what);
            assert!(qemu_finds_nothing(&path), "{what} {arguments:?}");
            block::conformance::read(&open(&path).unwrap(), &bytes);
        }
    }
}

#[test]
fn tables_that_are_wrong_are_found_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = qcow2(directory.path(), &[], &[7; 3 << 20]);
    let good = std::fs::read(&path).unwrap();
    let (l2, block) = tables(&good);
    let flags = 1_u64 << 63;
    let l1 = word(&good, 40);
    for (place, entry, reason) in [
        (l2, 1 << 50 | flags, "cluster 0 of the disk lies outside the file"),
        (l2 + 8, 0x1200 | flags, "cluster 1 of the disk lies outside the file or at no cluster's start"),
        (l1, 1 << 50 | flags, "L2 table 0 lies outside the file"),
        (l2 + 16, l2 as u64 | flags, "the data and tables share their place"),
        (l2 + 16, flags | 65_536, "share their place with something else"),
        (l2 + 16, block as u64 | flags, "the refcount blocks share their place"),
        (l2 + 16, word(&good, l2) as u64 | flags, "as used once, and used 2 times"),
    ] {
        let mut image = good.clone();
        image[place..place + 8].copy_from_slice(&entry.to_be_bytes());
        std::fs::write(&path, &image).unwrap();
        assert!(!qemu_finds_nothing(&path));
        let found = check(&path);
        let said = found.findings.iter().any(|finding| finding.what.contains(reason));
        assert!(said && found.damages > 0, "{reason}: {:?}", found.findings);
        let repaired = image::repair(&path).unwrap();
        if !reason.contains("used 2 times") {
            assert!(!repaired.is_clean() && repaired.repaired == 0);
            assert!(std::fs::read(&path).unwrap() == image);
        }
    }
}

fn grown(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(size, 0);
    bytes
}

#[test]
fn disks_grow_and_shrink_again() {
    let bytes = disk((3 << 20) + 512);
    for arguments in
        [&[][..], &["-o", "cluster_size=512"], &["-o", "compat=0.10"], &["-o", "preallocation=metadata"]]
    {
        let directory = tempfile::tempdir().unwrap();
        let path = qcow2(directory.path(), arguments, &bytes);
        for size in [(3 << 20) + 1024, 4 << 20, 9 << 20] {
            image::resize(&path, size).unwrap();
            assert!(qemu_finds_nothing(&path), "{arguments:?} {size}");
            block::conformance::read(&open(&path).unwrap(), &grown(&bytes, size as usize));
        }
        image::resize(&path, 3 << 30).unwrap();
        assert_eq!(open(&path).unwrap().size(), 3 << 30);
        assert!(qemu_finds_nothing(&path));
        image::resize(&path, bytes.len() as u64).unwrap();
        assert_clean(&path, "shrunk");
        assert!(qemu_finds_nothing(&path));
        block::conformance::read(&open(&path).unwrap(), &bytes);
        let place = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64;
        let error = image::resize(&path, place / 512 * 512).unwrap_err();
        assert!(error.to_string().contains("which would be cut off"), "{error}");
    }
}

#[test]
fn what_lies_behind_the_end_does_not_show_when_a_disk_grows() {
    let directory = tempfile::tempdir().unwrap();
    let path = qcow2(directory.path(), &[], &[7; (1 << 20) + 4096]);
    let mut image = std::fs::read(&path).unwrap();
    let (l2, _) = tables(&image);
    let last = word(&image, l2 + 16 * 8);
    image[last + 4096..last + 65_536].fill(9);
    std::fs::write(&path, image).unwrap();
    image::resize(&path, 2 << 20).unwrap();
    let expected = grown(&[7; (1 << 20) + 4096], 2 << 20);
    block::conformance::read(&open(&path).unwrap(), &expected);
}

#[test]
fn what_cannot_be_resized_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = qcow2(directory.path(), &[], &disk(1 << 20));
    qemu_img(directory.path(), &["snapshot", "-c", "one", "disk.qcow2"]);
    let refused = |path: &Path, size| image::resize(path, size).unwrap_err().to_string();
    assert!(refused(&path, 2 << 20).contains("it has internal snapshots"));
    qemu_img(directory.path(), &["create", "-f", "qcow2", "-b", "disk.raw", "-F", "raw", "top.qcow2"]);
    assert!(refused(&directory.path().join("top.qcow2"), 2 << 20).contains("it stands on a parent"));
    let path = qcow2(directory.path(), &["-o", "data_file=data"], &disk(1 << 20));
    assert!(refused(&path, 2 << 20).contains("its data is in a file of its own"));
    let path = qcow2(directory.path(), &["-o", "cluster_size=512"], &disk(1 << 20));
    assert!(refused(&path, 1 << 50).contains("too large for qcow2"));
    let mut image = std::fs::read(&path).unwrap();
    let (_, block) = tables(&image);
    image[block..block + 4].fill(0);
    std::fs::write(&path, image).unwrap();
    assert!(refused(&path, 2 << 20).contains("it has to be repaired first: clusters 0 to 1 of the file are"));
}

/// Opens, reads, checks, repairs and resizes the image at `path`, which may be anything.
fn exercise(path: &Path) {
    let digest = || {
        let image = open(path).ok().filter(|image| image.size() <= 16 << 20)?;
        let _ = image.extents(0..image.size());
        image::digest(&image, 1).ok()
    };
    let before = digest();
    let (gate, name) = DirectoryGate::for_file(path).unwrap();
    let gate: Arc<dyn Gate> = Arc::new(gate);
    let _ = image::check(&gate, &name, &OpenOptions::default());
    if image::repair(path).is_ok_and(|check| check.is_clean()) {
        assert_eq!(digest(), before);
        assert!(before.is_none() || check(path).findings.is_empty());
    }
    let _ = image::resize(path, 300 << 10);
    let _ = digest();
}

#[test]
fn whatever_stands_in_the_tables_nothing_worse_than_an_error_comes_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = block::conformance::Random::new(11);
    let bytes = block::conformance::sample(100 << 10, 3);
    for arguments in
        [&[][..], &["-c"], &["-o", "cluster_size=512"], &["-o", "extended_l2=on"], &["-o", "refcount_bits=1"]]
    {
        let path = qcow2(directory.path(), arguments, &bytes);
        if !arguments.contains(&"refcount_bits=1") {
            qemu_img(directory.path(), &["snapshot", "-c", "one", "disk.qcow2"]);
        }
        let good = std::fs::read(&path).unwrap();
        let (l2, block) = tables(&good);
        let snapshots = u64::from_be_bytes(good[64..72].try_into().unwrap()) as usize;
        let regions =
            [(0, 128), (word(&good, 40), 8), (l2, 64), (word(&good, 48), 8), (block, 32), (snapshots, 48)];
        for round in 0..120 {
            let mut image = good.clone();
            for _ in 0..=random.below(3) {
                let (start, length) = regions[random.below(regions.len() as u64) as usize];
                let place = start + random.below(length) as usize;
                let value = [0, 1, 0x80, 0xff, random.below(256) as u8][random.below(5) as usize];
                if let Some(byte) = image.get_mut(place) {
                    *byte = value;
                }
            }
            if round % 7 == 0 {
                image.truncate(random.below(good.len() as u64) as usize);
            }
            std::fs::write(&path, image).unwrap();
            exercise(&path);
        }
    }
}
