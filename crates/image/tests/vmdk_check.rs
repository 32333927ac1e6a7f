//! VMDKs that are looked after: checked, repaired and made larger.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it skips"
)]

mod support;

use block::{BlockRead, MemoryDisk};
use image::{
    Check, CopyOptions, DirectoryGate, Error, Gate, NewImage, NewParent, NoProgress, OpenOptions, Severity,
};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::{disk, file, open, qemu_img};

/// Where QEMU and we put the redundant directory of a disk of up to 128 tables, and its table behind it.
const REDUNDANT_DIRECTORY: u64 = 21 * 512;
const REDUNDANT_TABLE: u64 = 22 * 512;
/// The same of the copy that is read, for a disk of one table.
const DIRECTORY: u64 = 26 * 512;
const TABLE: u64 = 27 * 512;
const UNCLEAN: u64 = 72;

fn check(path: &Path) -> Check {
    let (gate, name) = DirectoryGate::for_file(path).unwrap();
    let gate: Arc<dyn Gate> = Arc::new(gate);
    image::check(&gate, &name, &OpenOptions::default()).unwrap()
}

fn write(directory: &Path, name: &str, subformat: &str, bytes: &[u8]) -> PathBuf {
    let target = directory.join(name);
    let new = NewImage { subformat: Some(subformat.to_owned()), ..NewImage::vmdk() };
    let source = Arc::new(MemoryDisk::from_bytes(bytes.to_vec()));
    image::copy(source, &target, &new, &CopyOptions::default(), &NoProgress).unwrap();
    target
}

/// Puts `bytes` over the file at `path`.
fn patch(path: &Path, offset: u64, bytes: &[u8]) {
    std::fs::File::options().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

fn word(path: &Path, offset: u64) -> u32 {
    let mut word = [0; 4];
    std::fs::File::open(path).unwrap().read_exact_at(&mut word, offset).unwrap();
    u32::from_le_bytes(word)
}

/// What is wrong, in words.
fn findings(check: &Check) -> Vec<&str> {
    check.findings.iter().map(|finding| finding.what.as_str()).collect()
}

#[test]
fn what_we_and_qemu_write_is_clean() {
    let bytes = disk((33 << 20) + 7 * 512);
    let formats = NewImage::vmdk().format.subformats;
    for subformat in formats {
        let directory = tempfile::tempdir().unwrap();
        let ours = check(&write(directory.path(), "ours.vmdk", subformat, &bytes));
        assert!(ours.findings.is_empty(), "{subformat}: {:?}", findings(&ours));
        if *subformat == "vmfs" {
            continue;
        }
        file(directory.path(), "disk.raw", &bytes);
        let option = format!("subformat={subformat}");
        qemu_img(directory.path(), &["convert", "-O", "vmdk", "-o", &option, "disk.raw", "qemu.vmdk"]);
        let theirs = check(&directory.path().join("qemu.vmdk"));
        assert!(theirs.findings.is_empty(), "{subformat}: {:?}", findings(&theirs));
    }
}

#[test]
fn what_other_products_wrote_is_clean() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/disk-vmdk");
    if !corpus.is_dir() {
        println!("skipped: there is no collection of real disks at {}", corpus.display());
        return;
    }
    for name in
        ["ext2.vmdk", "virtualbox/vmdk-Standard.vmdk", "vmdk-rs/streamOptimized.vmdk", "cot/input.vmdk"]
    {
        let found = check(&corpus.join(name));
        assert!(found.findings.is_empty(), "{name}: {:?}", findings(&found));
    }
}

/// A sparse disk of one table, and what it holds.
fn sparse(directory: &Path) -> (PathBuf, Vec<u8>) {
    let bytes = disk(5 << 20);
    (write(directory, "disk.vmdk", "monolithicSparse", &bytes), bytes)
}

#[test]
fn what_one_copy_of_the_tables_lacks_is_taken_from_the_other() {
    let faults: [(u64, [u8; 4], &str); 5] = [
        (REDUNDANT_DIRECTORY, [1, 2, 3, 4], "the redundant grain directory has table 0 at sector 67305985"),
        (REDUNDANT_TABLE + 4 * 40, [9; 4], "the redundant grain table 0 differs from the one that is read"),
        (DIRECTORY, [0; 4], "the grain directory has table 0 at sector 0"),
        (TABLE + 4 * 40, [9; 4], "the grain table 0 leads outside the file, and its redundant copy does not"),
        (UNCLEAN, [1, b'\n', b' ', b'\r'], "the extent was not closed by whoever wrote it last"),
    ];
    for (offset, fault, what) in faults {
        let directory = tempfile::tempdir().unwrap();
        let (path, bytes) = sparse(directory.path());
        let sound = std::fs::read(&path).unwrap();
        patch(&path, offset, &fault);
        let found = check(&path);
        assert!(findings(&found).contains(&what), "{offset}: {:?}", findings(&found));
        let repaired = image::repair(&path).unwrap();
        assert_eq!((findings(&repaired), repaired.is_clean()), (vec![what], true));
        assert!(std::fs::read(&path).unwrap() == sound, "{offset}");
        assert!(check(&path).findings.is_empty());
        assert_eq!(image::digest(&open(&path).unwrap(), 1).unwrap(), blake3::hash(&bytes));
    }
}

#[test]
fn what_cannot_be_mended_is_said_and_left() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _) = sparse(directory.path());
    // The first two grains that exist become one, in both copies.
    let grains: Vec<(u64, u32)> = (0..80)
        .map(|index| (index * 4, word(&path, TABLE + index * 4)))
        .filter(|(_, sector)| *sector != 0)
        .collect();
    for table in [TABLE, REDUNDANT_TABLE] {
        patch(&path, table + grains[1].0, &grains[0].1.to_le_bytes());
    }
    let found = check(&path);
    let twice = format!("what lies at sector {} is used twice", grains[0].1);
    assert_eq!(findings(&found), [twice.as_str(), "65536 bytes are used by no grain"]);
    assert_eq!((found.damages, found.leaks), (1, 1));
    let before = std::fs::read(&path).unwrap();
    image::repair(&path).unwrap();
    assert!(std::fs::read(&path).unwrap() == before);

    let directory = tempfile::tempdir().unwrap();
    let (path, _) = sparse(directory.path());
    std::fs::File::options().append(true).open(&path).unwrap().set_len(20 << 20).unwrap();
    let found = check(&path);
    assert_eq!((found.findings.len(), found.findings[0].severity), (1, Severity::Leak));
    // A directory outside the file is the end of it.
    patch(&path, 56, &u64::from(u32::MAX).to_le_bytes());
    assert!(findings(&check(&path))[0].contains("lies outside the file"));
}

#[test]
fn a_stream_and_a_split_disk_are_looked_at_too() {
    let directory = tempfile::tempdir().unwrap();
    let stream = write(directory.path(), "stream.vmdk", "streamOptimized", &vec![3; 1 << 20]);
    // The first grain's marker stands behind the descriptor.
    patch(&stream, 128 * 512, &77_u64.to_le_bytes());
    assert_eq!(findings(&check(&stream)), ["the marker of grain 0 says sector 77"]);
    assert!(matches!(image::repair(&stream), Err(Error::InPlace { .. })));

    let split = write(directory.path(), "split.vmdk", "twoGbMaxExtentSparse", &vec![3; 1 << 20]);
    let text = std::fs::read_to_string(&split).unwrap().replace("RW 2048 ", "RW 1024 ");
    std::fs::write(&split, text).unwrap();
    assert_eq!(
        findings(&check(&split)),
        ["the descriptor gives the extent 1024 sectors, and its header 2048"]
    );
    assert!(matches!(image::repair(&split), Err(Error::InPlace { .. })));
    let extent = directory.path().join("split-s001.vmdk");
    patch(&extent, UNCLEAN, &[1]);
    assert!(image::repair(&extent).unwrap().is_clean());
}

#[test]
fn a_sparse_disk_grows() {
    for (old, new) in
        [(5_u64 << 20, (9_u64 << 20) + 512), ((31 << 20) + 512, 200 << 20), (0, 1 << 20), (65_536, 5 << 40)]
    {
        let directory = tempfile::tempdir().unwrap();
        let bytes = disk(old as usize);
        let path = write(directory.path(), "disk.vmdk", "monolithicSparse", &bytes);
        image::resize(&path, new).unwrap();
        let found = check(&path);
        assert_eq!(findings(&found), [] as [&str; 0], "{old} to {new}");
        let image = open(&path).unwrap();
        assert_eq!(image.size(), new);
        let mut start = vec![0; old as usize];
        image.read_at(&mut start, 0).unwrap();
        assert!(start == bytes);
        assert!(image.extents(old..new).unwrap().iter().all(|extent| !extent.is_data()));
        let info = qemu_img(directory.path(), &["info", "--output=json", "disk.vmdk"]);
        assert!(info.contains(&format!("\"virtual-size\": {new}")), "{info}");
        if new < 1 << 30 {
            file(directory.path(), "disk.raw", &bytes);
            std::fs::File::options()
                .append(true)
                .open(directory.path().join("disk.raw"))
                .unwrap()
                .set_len(new)
                .unwrap();
            qemu_img(directory.path(), &["compare", "-f", "raw", "-F", "vmdk", "disk.raw", "disk.vmdk"]);
        }
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()[512..21 * 512]).into_owned();
        assert!(text.contains(&format!("RW {} SPARSE", new / 512)), "{text}");
    }
}

#[test]
fn other_disks_keep_their_size() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = disk(1 << 20);
    for (subformat, why) in [
        ("monolithicFlat", "its data is in other files"),
        ("vmfs", "its data is in other files"),
        ("twoGbMaxExtentSparse", "its data is in other files"),
        ("streamOptimized", "is written once"),
    ] {
        let path = write(directory.path(), &format!("{subformat}.vmdk"), subformat, &bytes);
        let error = image::resize(&path, 2 << 20).unwrap_err();
        assert!(matches!(error, Error::InPlace { .. }) && error.to_string().contains(why), "{error}");
    }
    let base = write(directory.path(), "base.vmdk", "monolithicSparse", &bytes);
    let error = image::resize(&base, 512).unwrap_err();
    assert!(error.to_string().contains("only be made larger"), "{error}");
    let parent = NewParent {
        name: "base.vmdk".to_owned(),
        absolute: base.to_str().unwrap().to_owned(),
        format: "vmdk",
        content_id: open(&base).unwrap().info().layers[0].content_id.clone(),
        virtual_size: 1 << 20,
        modified: 0,
    };
    let new = NewImage { parent: Some(parent), ..NewImage::vmdk() };
    let delta = directory.path().join("delta.vmdk");
    image::copy(Arc::new(MemoryDisk::new(1 << 20)), &delta, &new, &CopyOptions::default(), &NoProgress)
        .unwrap();
    let error = image::resize(&delta, 2 << 20).unwrap_err();
    assert!(error.to_string().contains("stands on a parent"), "{error}");
    assert!(check(&delta).findings.is_empty());
}
