//! VDIs: QEMU's read, ours read by QEMU and 7-Zip, and differencing ones as VirtualBox makes them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use block::{BlockRead, BlockWrite, MemoryDisk};
use image::{CopyOptions, ErrorKind, NewImage, NoProgress};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use support::{disk, failure, file, open, qemu_img};

const BLOCK: usize = 1 << 20;
const ABSENT: u32 = u32::MAX;
const ZERO: u32 = u32::MAX - 1;

fn new(subformat: &str) -> NewImage {
    NewImage { subformat: Some(subformat.to_owned()), ..NewImage::new(image::by_name("vdi").unwrap()) }
}

/// Writes `bytes` as a VDI called `disk.vdi`.
fn write(directory: &Path, bytes: &[u8], new: &NewImage) -> PathBuf {
    let target = directory.join("disk.vdi");
    let source = Arc::new(MemoryDisk::from_bytes(bytes.to_vec()));
    let options = CopyOptions { overwrite: true, ..CopyOptions::default() };
    image::copy(source, &target, new, &options, &NoProgress).unwrap();
    target
}

/// What 7-Zip finds in the VDI at `path`.
fn seven_zip(path: &Path) -> Vec<u8> {
    let output = Command::new("7zz")
        .args(["e", "-tvdi", "-so"])
        .arg(path)
        .output()
        .expect("7zz runs (./dev test installs it: Debian package 7zip)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn number(bytes: &[u8], place: usize) -> u32 {
    u32::from_le_bytes(bytes[place..place + 4].try_into().unwrap())
}

#[test]
fn images_of_qemu_read_as_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    for size in [512, BLOCK, 9 * BLOCK + 7 * 512] {
        let bytes = disk(size);
        file(directory.path(), "disk.raw", &bytes);
        for (option, kind) in [("static=off", "dynamic"), ("static=on", "fixed")] {
            qemu_img(
                directory.path(),
                &["convert", "-f", "raw", "-O", "vdi", "-o", option, "disk.raw", "q.vdi"],
            );
            let image = open(&directory.path().join("q.vdi")).unwrap();
            assert_eq!((image.info().format, image.info().subformat.as_deref()), ("vdi", Some(kind)));
            block::conformance::read(&image, &bytes);
        }
    }
}

#[test]
fn images_of_ours_are_read_by_others() {
    let directory = tempfile::tempdir().unwrap();
    for size in [0, 512, BLOCK - 512, BLOCK, 9 * BLOCK + 512] {
        let bytes = disk(size);
        file(directory.path(), "disk.raw", &bytes);
        for subformat in ["dynamic", "fixed"] {
            let path = write(directory.path(), &bytes, &new(subformat));
            block::conformance::read(&open(&path).unwrap(), &bytes);
            qemu_img(directory.path(), &["check", "-q", "-f", "vdi", "disk.vdi"]);
            qemu_img(directory.path(), &["compare", "-f", "raw", "-F", "vdi", "disk.raw", "disk.vdi"]);
            assert!(size == 0 || seven_zip(&path) == bytes, "{size} {subformat}");
        }
    }
}

#[test]
fn a_dynamic_image_holds_the_blocks_of_data_and_a_fixed_one_holds_holes_unless_preallocated() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = vec![0; 8 * BLOCK];
    bytes[3 * BLOCK + 5000] = 1;
    let on_disk = |path: &Path| std::fs::metadata(path).unwrap().blocks() * 512;
    let path = write(directory.path(), &bytes, &new("dynamic"));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 3 * BLOCK as u64);
    assert!(on_disk(&path) < 64 << 10);
    let path = write(directory.path(), &bytes, &new("fixed"));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 10 * BLOCK as u64);
    assert!(on_disk(&path) < 64 << 10);
    let path = write(directory.path(), &bytes, &NewImage { preallocate: true, ..new("fixed") });
    assert!(on_disk(&path) >= 8 * BLOCK as u64);
    block::conformance::read(&open(&path).unwrap(), &bytes);
}

#[test]
fn a_huge_disk_with_little_on_it() {
    let directory = tempfile::tempdir().unwrap();
    let source = MemoryDisk::new(16 << 40);
    let places = [0, (1 << 30) + 77, (9 << 40) - 1, (16 << 40) - 1];
    for place in places {
        source.write_at(&[0x42], place).unwrap();
    }
    let target = directory.path().join("huge.vdi");
    let options = CopyOptions { digest: false, ..CopyOptions::default() };
    image::copy(Arc::new(source), &target, &new("dynamic"), &options, &NoProgress).unwrap();
    qemu_img(directory.path(), &["check", "-q", "huge.vdi"]);
    let copy = open(&target).unwrap();
    for place in places {
        let mut byte = [0];
        copy.read_at(&mut byte, place).unwrap();
        assert_eq!(byte, [0x42], "{place}");
    }
}

#[test]
fn options_that_the_format_lacks_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let copy = |new: &NewImage| {
        let source = Arc::new(MemoryDisk::new(512));
        image::copy(source, &directory.path().join("x.vdi"), new, &CopyOptions::default(), &NoProgress)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(copy(&new("thin")), "vdi has no subformat thin; there are dynamic, fixed");
    assert!(copy(&NewImage { cluster_size: Some(4096), ..new("fixed") }).contains("block size"));
    assert!(copy(&NewImage { preallocate: true, ..new("dynamic") }).contains("preallocation"));
    assert!(copy(&NewImage { data_file: true, ..new("dynamic") }).contains("data file"));
}

/// A differencing image over the VDI `parent`: `map` says what is where in it, `blocks` are its blocks.
fn differencing(parent: &[u8], map: &[u32], blocks: &[u8]) -> Vec<u8> {
    let mut child = parent[..2 * BLOCK].to_vec();
    child[0x4c] = 4;
    child[0x184..0x188].copy_from_slice(&((blocks.len() / BLOCK) as u32).to_le_bytes());
    child[0x188..0x1a8].copy_from_slice(&[0x77; 32]);
    child[0x1a8..0x1c8].copy_from_slice(&parent[0x188..0x1a8]);
    for (index, entry) in map.iter().enumerate() {
        child[BLOCK + index * 4..][..4].copy_from_slice(&entry.to_le_bytes());
    }
    [&child, blocks].concat()
}

#[test]
fn a_differencing_image_finds_its_parent_by_its_identifier() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = disk(4 * BLOCK);
    let parent = std::fs::read(write(directory.path(), &bytes, &new("dynamic"))).unwrap();
    let child = differencing(&parent, &[ABSENT, 0, ZERO, ABSENT], &vec![0x5a; BLOCK]);
    let mut expected = bytes;
    expected[BLOCK..2 * BLOCK].fill(0x5a);
    expected[2 * BLOCK..3 * BLOCK].fill(0);

    file(directory.path(), "not one.vdi", b"something else");
    let path = file(directory.path(), "child.vdi", &child);
    let image = open(&path).unwrap();
    assert_eq!(image.info().layers.len(), 2);
    assert_eq!(image.info().subformat.as_deref(), Some("differencing"));
    block::conformance::read(&image, &expected);

    // As VirtualBox keeps them: the snapshots in a directory of their own.
    let machine = tempfile::tempdir().unwrap();
    std::fs::create_dir(machine.path().join("Snapshots")).unwrap();
    file(machine.path(), "vm.vdi", &parent);
    file(machine.path(), "Snapshots/{1}.vdi", &child);
    let gate: Arc<dyn image::Gate> = Arc::new(image::DirectoryGate::new(machine.path()).unwrap());
    block::conformance::read(&image::open(&gate, "Snapshots/{1}.vdi").unwrap(), &expected);
}

#[test]
fn a_differencing_image_without_its_parent_or_with_a_changed_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = disk(2 * BLOCK);
    let path = write(directory.path(), &bytes, &new("dynamic"));
    let mut parent = std::fs::read(&path).unwrap();
    let child = differencing(&parent, &[ABSENT, ABSENT], &[]);
    let child_path = file(directory.path(), "child.vdi", &child);
    parent[0x198] ^= 1;
    std::fs::write(&path, &parent).unwrap();
    assert_eq!(open(&child_path).unwrap_err().kind(), ErrorKind::ParentChanged);
    std::fs::remove_file(&path).unwrap();
    let error = open(&child_path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(error.to_string().contains("is not in the same directory"), "{error}");
    // Its own parent.
    let mut own = child.clone();
    own.copy_within(0x188..0x1a8, 0x1a8);
    std::fs::write(&child_path, &own).unwrap();
    assert_eq!(open(&child_path).unwrap_err().kind(), ErrorKind::Missing);
    own[0x1a8..0x1b8].fill(0);
    std::fs::write(&child_path, &own).unwrap();
    assert!(failure(&child_path).contains("names no parent"));
}

#[test]
fn headers_and_maps_that_lie() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), &disk(3 * BLOCK), &new("dynamic"));
    let image = std::fs::read(&path).unwrap();
    assert_eq!(number(&image, 0x180), 3);
    for (place, bytes, reason) in [
        (0x46, &[2, 0][..], "version 2.1 is unknown"),
        (0x4c, &[9], "image type 9 is unknown"),
        (0x178, &[1], "a block of 1048577 bytes"),
        (0x178, &[0, 0, 0, 0], "a block of 0 bytes"),
        (0x17c, &[0xff; 4], "with 4294967295 bytes before it"),
        (0x170, &[0xff; 8], "a size of 18446744073709551615 bytes is absurd"),
        (0x177, &[0x7f], "bytes is absurd"),
        (0x180, &[2, 0, 0, 0], "a block map of 2 entries is too small for the disk's 3 blocks"),
        (0x154, &[0xff; 4], "the block map of 3 entries lies outside the file"),
        (0x158, &[0xff; 4], "which lies outside the file"),
        (BLOCK + 4, &[0x77, 0, 0, 0], "block 1 is said to be in place 119, which lies outside the file"),
    ] {
        let mut changed = image.clone();
        changed[place..place + bytes.len()].copy_from_slice(bytes);
        std::fs::write(&path, changed).unwrap();
        let message = failure(&path);
        assert!(message.contains(reason), "{message}");
    }
    for length in [0x1d7, BLOCK + 3, image.len() - 1] {
        std::fs::write(&path, &image[..length]).unwrap();
        failure(&path);
    }
}

fn check(path: &Path) -> image::Check {
    let (gate, name) = image::DirectoryGate::for_file(path).unwrap();
    let gate: Arc<dyn image::Gate> = Arc::new(gate);
    image::check(&gate, &name, &image::OpenOptions::default()).unwrap()
}

#[test]
fn a_disk_grows_in_place_even_where_its_map_has_no_room() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = disk(5 * BLOCK + 512);
    let raw = file(directory.path(), "disk.raw", &bytes);
    let path = write(directory.path(), &bytes, &new("dynamic"));
    for size in [9 << 20, 200 << 30, 300 << 30, 900 << 30] {
        image::resize(&path, size).unwrap();
        std::fs::File::options().write(true).open(&raw).unwrap().set_len(size).unwrap();
        assert!(check(&path).findings.is_empty(), "{:?}", check(&path));
        qemu_img(directory.path(), &["check", "-q", "-f", "vdi", "disk.vdi"]);
        qemu_img(directory.path(), &["compare", "-f", "raw", "-F", "vdi", "disk.raw", "disk.vdi"]);
    }
    let message = image::resize(&path, 1 << 20).unwrap_err().to_string();
    assert!(message.contains("the disk has data at byte"), "{message}");
    let path = write(directory.path(), &bytes, &new("fixed"));
    image::resize(&path, 20 << 20).unwrap();
    std::fs::File::options().write(true).open(&raw).unwrap().set_len(20 << 20).unwrap();
    qemu_img(directory.path(), &["check", "-q", "-f", "vdi", "disk.vdi"]);
    qemu_img(directory.path(), &["compare", "-f", "raw", "-F", "vdi", "disk.raw", "disk.vdi"]);
}

#[test]
fn a_check_finds_damage_and_a_repair_what_can_be_repaired() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = block::conformance::sample(4 * BLOCK, 8);
    let path = write(directory.path(), &bytes, &new("dynamic"));
    let good = std::fs::read(&path).unwrap();
    assert!(check(&path).is_clean());
    let with = |place: usize, value: u32| {
        let mut changed = good.clone();
        changed[place..place + 4].copy_from_slice(&value.to_le_bytes());
        std::fs::write(&path, changed).unwrap();
        check(&path)
    };
    for (place, value, damages, leaks, reason) in [
        (BLOCK, 1, 1, 1, "block 1 lies in place 1, where another one does"),
        (BLOCK, 77, 1, 1, "block 0 lies in place 77, which is outside the file"),
        (0x184, 3, 1, 0, "3 blocks are counted of 4"),
        (0x154, 0x20_0000 - 4, 1, 0, "the block map lies where something else does"),
        (BLOCK, ABSENT, 0, 1, "1 blocks are used by nothing"),
    ] {
        let found = with(place, value);
        // Of a map that is elsewhere, what is read says nothing.
        assert!(place == 0x154 || (found.damages, found.leaks) == (damages, leaks), "{found:?}");
        assert!(found.findings.iter().any(|finding| finding.what.contains(reason)), "{found:?}");
    }
    // The last was a leak, which a repair gives back; then the number of blocks.
    assert_eq!(image::repair(&path).unwrap().repaired, 1);
    assert_eq!(std::fs::metadata(&path).unwrap().len() as usize, good.len() - BLOCK);
    qemu_img(directory.path(), &["check", "-q", "-f", "vdi", "disk.vdi"]);
    let expected = [&vec![0; BLOCK], &bytes[BLOCK..]].concat();
    block::conformance::read(&open(&path).unwrap(), &expected);
    with(0x184, 3);
    assert!(image::repair(&path).unwrap().is_clean());
    assert!(check(&path).is_clean());
    // Two blocks in one place: nobody knows whose it is.
    with(BLOCK, 1);
    assert!(!image::repair(&path).unwrap().is_clean());
}
