//! Several filesystems in one tree, and those that something is wrong with.

use crate::images::{Images, run};
use guest::fs::{ErrorKind, FileKind, GuestFs, MountMode, Mounter};
use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

#[test]
fn a_tree_of_several_with_links_that_want_out() {
    let mut images = Images::new();
    let (root, boot, broken) = (images.make("ext4", 64), images.make("ext2", 32), images.make("ext4", 32));
    // The group descriptors, behind the superblock's block.
    overwrite(images.path(broken), 1024 * 2, 4096);
    let mut appliance = images.boot();

    assert_eq!(appliance.list("/").unwrap_err().kind, ErrorKind::NotFound, "nothing is mounted yet");
    assert_eq!(
        appliance.mount(boot, "/boot", MountMode::ReadWrite, None).unwrap_err().kind,
        ErrorKind::Other
    );
    appliance.mount(root, "/", MountMode::ReadWrite, None).unwrap();
    let error = appliance.mount(broken, "/broken", MountMode::ReadWrite, None).unwrap_err();
    assert!(error.detail.contains("EXT4-fs"), "the kernel's reason is told: {error}");
    // A link to a mount point is followed inside the tree: this is the guest's /boot, not the appliance's.
    appliance.create_dir("/mnt").unwrap();
    appliance.symlink("/../../../boot", "/mnt/link").unwrap();
    appliance.create_dir("/boot").unwrap();
    appliance.mount(boot, "/mnt/link", MountMode::ReadWrite, None).unwrap();
    appliance.write("/boot/vmlinuz", b"kernel", 0o600).unwrap();

    // Every one of these stays in the guest, where there is nothing of the appliance.
    for (index, target) in
        ["/proc/1/cwd/init", "../../../../init", "/proc/self/exe", "/dev/vda"].iter().enumerate()
    {
        let link = format!("/escape{index}");
        appliance.symlink(target, &link).unwrap();
        assert_eq!(appliance.read(&link, 1 << 20).unwrap_err().kind, ErrorKind::NotFound, "{target}");
        assert_eq!(appliance.read_link(&link).unwrap(), *target);
    }
    appliance.symlink("/", "/root-link").unwrap();
    assert!(!appliance.exists("/root-link/setup.json").unwrap());
    assert_eq!(
        appliance.rename("/boot/vmlinuz", "/vmlinuz").unwrap_err().kind,
        ErrorKind::Other,
        "two filesystems"
    );
    assert!(appliance.remove("/").is_err() && appliance.write("/", b"", 0o600).is_err());
    assert_eq!(appliance.metadata("/").unwrap().kind, FileKind::Directory);
    appliance.shutdown().unwrap();

    images.check(root);
    images.check(boot);
    let contents = run(&["debugfs", "-R", "cat /vmlinuz", images.path(boot).to_str().unwrap()]);
    assert_eq!(contents, "kernel");
}

#[test]
fn a_journal_is_replayed_and_a_full_filesystem_is_told() {
    let mut images = Images::new();
    let (dirty, full) = (images.make("ext4", 64), images.make("ext4", 48));
    let mut appliance = images.boot();
    appliance.mount(dirty, "/", MountMode::ReadWrite, None).unwrap();
    appliance.write("/etc", b"not a directory", 0o644).unwrap();
    appliance.sync().unwrap();
    // The plug is pulled.
    drop(appliance);
    let header = run(&["dumpe2fs", "-h", images.path(dirty).to_str().unwrap()]);
    assert!(header.contains("needs_recovery"), "the journal is dirty: {header}");

    let mut appliance = images.boot();
    appliance.mount(dirty, "/", MountMode::ReadOnly, None).unwrap();
    assert_eq!(appliance.read("/etc", 100).unwrap(), b"not a directory");
    assert_eq!(appliance.write("/new", b"", 0o644).unwrap_err().kind, ErrorKind::ReadOnly);
    appliance.unmount_all().unwrap();
    appliance.mount(full, "/", MountMode::ReadWrite, None).unwrap();
    let chunk = vec![1; 12 << 20];
    let failures: Vec<_> =
        (0..6).filter_map(|n| appliance.write(&format!("/{n}"), &chunk, 0o644).err()).collect();
    assert!(failures.iter().any(|error| error.kind == ErrorKind::NoSpace), "{failures:?}");
    assert!(
        !appliance.list("/").unwrap().iter().any(|entry| entry.name.starts_with('.')),
        "nothing half is left"
    );
    for n in 0..6 {
        let _ = appliance.remove(&format!("/{n}"));
    }
    appliance.sync().unwrap();
    let before = images.path(full).metadata().unwrap().blocks();
    appliance.trim("/").unwrap();
    let after = images.path(full).metadata().unwrap().blocks();
    assert!(after < before / 4, "discards reach the disk: {before} blocks, then {after}");
    appliance.shutdown().unwrap();
    images.check(dirty);
    images.check(full);
}

fn overwrite(path: &Path, offset: u64, length: usize) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0xff; length], offset).unwrap();
}
