//! Filesystems made by their own tools.

use crate::{blkid, image, open, run};
use guest::volume::{needs_recovery, probe};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

fn check(path: &Path, kind: &str) {
    let content = probe(open(path).as_ref()).unwrap().unwrap_or_else(|| panic!("{kind} is not recognised"));
    assert_eq!(content.kind, kind);
    assert_eq!((Some(content.kind), content.uuid, content.label), blkid(path), "{kind}");
}

#[test]
fn agrees_with_blkid_on_fresh_filesystems() {
    let directory = tempfile::tempdir().unwrap();
    for (name, size_mib, kind, program, arguments) in [
        ("ext2", 8, "ext2", "mke2fs", "-q -t ext2 -L boot"),
        ("ext3", 16, "ext3", "mke2fs", "-q -t ext3"),
        ("ext4", 16, "ext4", "mke2fs", "-q -t ext4 -L root"),
        ("xfs", 320, "xfs", "mkfs.xfs", "-q -L data"),
        ("xfs-v4", 320, "xfs", "mkfs.xfs", "-q -m crc=0 -L old"),
        ("btrfs", 128, "btrfs", "mkfs.btrfs", "-q -L pool"),
        ("fat12", 2, "vfat", "mkfs.vfat", "-F 12 -n TWELVE"),
        ("fat16", 20, "vfat", "mkfs.vfat", "-F 16"),
        ("fat32", 40, "vfat", "mkfs.vfat", "-F 32 -n EFI"),
        ("ntfs", 8, "ntfs", "mkntfs", "-q -F -L windows"),
        ("swap", 4, "swap", "mkswap", "-q -L swap"),
    ] {
        let path = image(directory.path(), name, size_mib << 20);
        let mut arguments: Vec<_> = arguments.split(' ').collect();
        arguments.push(path.to_str().unwrap());
        run(program, &arguments, "");
        check(&path, kind);
    }
}

#[test]
fn a_suspended_system_is_told_from_swap() {
    let directory = tempfile::tempdir().unwrap();
    let path = image(directory.path(), "swap", 4 << 20);
    run("mkswap", &["-q", path.to_str().unwrap()], "");
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(4096 - 10)).unwrap();
    file.write_all(b"S1SUSPEND\0").unwrap();
    check(&path, "swsuspend");
}

#[test]
fn a_journal_that_has_to_be_replayed_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let path = image(directory.path(), "ext4", 16 << 20);
    run("mke2fs", &["-q", "-t", "ext4", path.to_str().unwrap()], "");
    assert!(!needs_recovery(open(&path).as_ref()).unwrap());
    run("debugfs", &["-w", "-R", "feature needs_recovery", path.to_str().unwrap()], "");
    assert!(needs_recovery(open(&path).as_ref()).unwrap());
}

#[test]
fn nothing_is_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for size in [0, 1, 511, 512, 4096, 65536, 1 << 20] {
        assert_eq!(probe(open(&image(directory.path(), "empty", size)).as_ref()).unwrap(), None);
    }
}
