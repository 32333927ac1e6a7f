//! Parallels' images: QEMU's, both kinds of allocation table, and directories with a descriptor and snapshots.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use block::BlockRead;
use image::{DirectoryGate, ErrorKind, Gate, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::{disk, failure, file, open, qemu_img};

const CLUSTER: usize = 1 << 20;
const NONE: &str = "{00000000-0000-0000-0000-000000000000}";
const FIRST: &str = "{11111111-0000-0000-0000-000000000000}";
const TOP: &str = "{5fbaabe3-6958-40ff-92a7-860e329aab41}";

/// `bytes` as an expanding image called `name`.
fn expanding(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    file(directory, "disk.raw", bytes);
    qemu_img(directory, &["convert", "-f", "raw", "-O", "parallels", "disk.raw", name]);
    directory.join(name)
}

fn number(image: &[u8], place: usize) -> u32 {
    u32::from_le_bytes(image[place..place + 4].try_into().unwrap())
}

/// The same image with the older magic text, whose table counts in sectors.
fn counted_in_sectors(image: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    image[..16].copy_from_slice(b"WithoutFreeSpace");
    let sectors = number(&image, 28);
    for entry in 0..number(&image, 32) as usize {
        let place = 64 + entry * 4;
        let moved = number(&image, place) * sectors;
        image[place..place + 4].copy_from_slice(&moved.to_le_bytes());
    }
    // Of these only the lower half of the size counts.
    image[40] = 7;
    image
}

#[test]
fn images_of_qemu_read_as_what_was_written_with_both_kinds_of_table() {
    let directory = tempfile::tempdir().unwrap();
    for size in [512, CLUSTER, 7 * CLUSTER + 9 * 512] {
        let bytes = disk(size);
        let path = expanding(directory.path(), "disk.hds", &bytes);
        let image = open(&path).unwrap();
        assert_eq!(image.info().subformat.as_deref(), Some("WithouFreSpacExt"));
        block::conformance::read(&image, &bytes);
        let older = counted_in_sectors(&std::fs::read(&path).unwrap());
        let image = open(&file(directory.path(), "older.hds", &older)).unwrap();
        assert_eq!(image.info().subformat.as_deref(), Some("WithoutFreeSpace"));
        block::conformance::read(&image, &bytes);
        qemu_img(directory.path(), &["compare", "-f", "raw", "-F", "parallels", "disk.raw", "older.hds"]);
    }
}

#[test]
fn a_table_that_is_too_short_ends_in_zeroes() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = [disk(2 * CLUSTER), vec![0; CLUSTER]].concat();
    let path = expanding(directory.path(), "disk.hds", &bytes);
    let mut image = std::fs::read(&path).unwrap();
    image[32] = 2;
    std::fs::write(&path, image).unwrap();
    block::conformance::read(&open(&path).unwrap(), &bytes);
}

fn descriptor(size: usize, storages: &str, shots: &str) -> String {
    format!(
        "<?xml version='1.0' encoding='UTF-8'?>\n<Parallels_disk_image Version=\"1.0\">\n<Disk_Parameters>\n\
         <Disk_size>{}</Disk_size><LogicSectorSize>512</LogicSectorSize><Padding>0</Padding>\n\
         </Disk_Parameters>\n<StorageData>{storages}</StorageData>\n<Snapshots>{shots}</Snapshots>\n\
         </Parallels_disk_image>\n",
        size / 512
    )
}

/// A storage of these clusters of the disk with these images: identifier, type, file.
fn storage(clusters: std::ops::Range<usize>, images: &[(&str, &str, &str)]) -> String {
    let image = |(guid, kind, file): &(&str, &str, &str)| {
        format!("<Image><GUID>{guid}</GUID><Type>{kind}</Type><File>{file}</File></Image>")
    };
    format!(
        "<Storage><Start>{}</Start><End>{}</End><Blocksize>2048</Blocksize>{}</Storage>",
        clusters.start * 2048,
        clusters.end * 2048,
        images.iter().map(image).collect::<String>()
    )
}

fn shot(guid: &str, parent: &str) -> String {
    format!("<Shot><GUID>{guid}</GUID><ParentGUID>{parent}</ParentGUID></Shot>")
}

/// A disk of two storages, one plain below and one expanding, with a snapshot; answers with what it was and what it is.
fn split(directory: &Path) -> (Vec<u8>, Vec<u8>) {
    let before = block::conformance::sample(6 * CLUSTER, 3);
    let mut after = before.clone();
    after[CLUSTER..2 * CLUSTER].fill(0xa5);
    after[5 * CLUSTER..].fill(0x5a);
    file(directory, "0.first.hds", &before[..3 * CLUSTER]);
    expanding(directory, "1.first.hds", &before[3 * CLUSTER..]);
    let mut changed = vec![0; 3 * CLUSTER];
    changed[CLUSTER..2 * CLUSTER].fill(0xa5);
    expanding(directory, "0.top.hds", &changed);
    let mut changed = vec![0; 3 * CLUSTER];
    changed[2 * CLUSTER..].fill(0x5a);
    expanding(directory, "1.top.hds", &changed);
    std::fs::remove_file(directory.join("disk.raw")).unwrap();
    // The second is named by where it was on another machine.
    let storages = storage(0..3, &[(FIRST, "Plain", "0.first.hds"), (TOP, "Compressed", "0.top.hds")])
        + &storage(
            3..6,
            &[(TOP, "Compressed", "/Users/me/vm.pvm/d.hdd/1.top.hds"), (FIRST, "Compressed", "1.first.hds")],
        );
    let shots = shot(FIRST, NONE) + &shot(TOP, FIRST);
    file(directory, "DiskDescriptor.xml", descriptor(6 * CLUSTER, &storages, &shots).as_bytes());
    (before, after)
}

#[test]
fn a_directory_of_two_storages_with_a_snapshot() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("disk.hdd");
    std::fs::create_dir(&directory).unwrap();
    let (before, after) = split(&directory);
    for path in [directory.clone(), directory.join("DiskDescriptor.xml")] {
        let image = open(&path).unwrap();
        assert_eq!((image.info().format, image.info().layers[0].files.len()), ("parallels", 5));
        assert_eq!(image.info().layers[0].snapshots[0].id, FIRST);
        block::conformance::read(&image, &after);
    }
    let (gate, name) = DirectoryGate::for_file(&directory).unwrap();
    let gate: Arc<dyn Gate> = Arc::new(gate);
    let options = OpenOptions { snapshot: Some(FIRST.to_owned()), ..OpenOptions::default() };
    block::conformance::read(&image::open_with(&gate, &name, &options).unwrap(), &before);
    let options = OpenOptions { snapshot: Some(NONE.to_owned()), ..OpenOptions::default() };
    let error = image::open_with(&gate, &name, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing, "{error}");

    // A single file stands on its parent just so.
    let top = open(&directory.join("1.top.hds")).unwrap();
    assert_eq!(top.info().layers.len(), 2);
    block::conformance::read(&top, &after[3 * CLUSTER..]);
    block::conformance::read(&open(&directory.join("0.top.hds")).unwrap(), &after[..3 * CLUSTER]);
    block::conformance::read(&open(&directory.join("1.first.hds")).unwrap(), &before[3 * CLUSTER..]);
}

#[test]
fn a_directory_that_is_not_whole_or_not_its_own() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("disk.hdd");
    std::fs::create_dir(&directory).unwrap();
    split(&directory);
    let whole = std::fs::read_to_string(directory.join("DiskDescriptor.xml")).unwrap();
    let with = |from: &str, to: &str| {
        assert!(whole.contains(from));
        file(&directory, "DiskDescriptor.xml", whole.replace(from, to).as_bytes());
        failure(&directory)
    };
    for (from, to, reason) in [
        ("0.first.hds", "gone.hds", "no such file"),
        ("0.first.hds", "/etc/passwd", "absolute name"),
        ("0.top.hds", "../../x.hds", "leads out of"),
        ("0.top.hds", "0.first.hds", "it is no expanding image"),
        ("<End>6144<", "<End>8192<", "do not follow each other"),
        ("<Disk_size>12288<", "<Disk_size>99<", "do not follow each other"),
        ("<Disk_size>12288<", "<Disk_size>many<", "has no Disk_size"),
        ("Plain", "Folded", "type \"Folded\" is not supported"),
        (NONE, TOP, "in a circle"),
    ] {
        let message = with(from, to);
        assert!(message.contains(reason), "{message}");
    }
    let message = with("<Padding>0</Padding>", "<Encryption><Engine>{1}</Engine></Encryption>");
    assert!(message.contains("encrypted"), "{message}");
}

#[test]
fn headers_and_tables_that_lie() {
    let directory = tempfile::tempdir().unwrap();
    let path = expanding(directory.path(), "disk.hds", &disk(3 * CLUSTER));
    let image = std::fs::read(&path).unwrap();
    for (place, bytes, reason) in [
        (16, &[3][..], "version 3 is unknown"),
        (28, &[0; 4], "a cluster of 0 sectors makes no sense"),
        (28, &[0xff; 4], "a cluster of 4294967295 sectors makes no sense"),
        (32, &[0xff; 4], "the allocation table of 4294967295 entries lies outside the file"),
        (36, &[0xff; 8], "a size of 18446744073709551615 sectors is absurd"),
        (68, &[0xff; 4], "cluster 1 lies outside the file"),
    ] {
        let mut changed = image.clone();
        changed[place..place + bytes.len()].copy_from_slice(bytes);
        std::fs::write(&path, changed).unwrap();
        let message = failure(&path);
        assert!(message.contains(reason), "{message}");
    }
    std::fs::write(&path, &image[..60]).unwrap();
    assert!(failure(&path).contains("ends inside the header"));
}

#[test]
fn a_check_finds_what_is_used_twice_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = expanding(directory.path(), "disk.hds", &block::conformance::sample(4 * CLUSTER, 1));
    let check = || {
        let (gate, name) = DirectoryGate::for_file(&path).unwrap();
        let gate: Arc<dyn Gate> = Arc::new(gate);
        image::check(&gate, &name, &OpenOptions::default()).unwrap()
    };
    assert!(check().is_clean(), "{:?}", check());
    let mut image = std::fs::read(&path).unwrap();
    image.copy_within(64..68, 68);
    image[44..48].copy_from_slice(b"Ynot");
    std::fs::write(&path, &image).unwrap();
    let found = check();
    assert_eq!((found.damages, found.leaks), (2, 1), "{found:?}");
    assert!(open(&path).unwrap().size() > 0);
}
