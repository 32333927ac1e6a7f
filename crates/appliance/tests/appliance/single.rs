//! One filesystem after the other.

use crate::images::{Images, run};
use appliance::Appliance;
use guest::fs::{GuestFs, MountMode, Mounter, conformance};
use guest::volume::VolumeId;

#[test]
fn ext_filesystems_and_fat() {
    let mut images = Images::new();
    let ext = ["ext2", "ext3", "ext4"].map(|kind| images.make(kind, 64));
    let vfat = images.make("vfat", 64);
    let mut appliance = images.boot();
    for volume in ext {
        conforms(&mut appliance, volume);
    }
    without_owners(&mut appliance, vfat);
    appliance.shutdown().unwrap();
    for volume in ext {
        images.check(volume);
        assert_eq!(
            run(&["debugfs", "-R", "cat /left", images.path(volume).to_str().unwrap()]),
            "left behind"
        );
    }
    images.check(vfat);
    let fat = images.path(vfat).to_str().unwrap().to_string();
    assert_eq!(run(&["mtype", "-i", &fat, "::/EFI/Long Name é.txt"]), "second");
}

#[test]
fn xfs_btrfs_and_ntfs() {
    let mut images = Images::new();
    let [xfs, old_xfs] = ["xfs", "xfs-v4"].map(|kind| images.make(kind, 320));
    let (btrfs, ntfs) = (images.make("btrfs", 128), images.make("ntfs", 64));
    let mut appliance = images.boot();
    conforms(&mut appliance, xfs);
    conforms(&mut appliance, old_xfs);
    conforms(&mut appliance, btrfs);
    appliance.mount(btrfs, "/", MountMode::ReadOnly, Some("/")).unwrap();
    assert_eq!(appliance.read("/left", 100).unwrap(), b"left behind");
    appliance.unmount_all().unwrap();
    let missing = appliance.mount(btrfs, "/", MountMode::ReadOnly, Some("missing")).unwrap_err();
    assert!(missing.detail.contains("disk2"), "{missing}");
    without_owners(&mut appliance, ntfs);
    appliance.shutdown().unwrap();
    for volume in [xfs, old_xfs, btrfs, ntfs] {
        images.check(volume);
    }
    let file = images.path(ntfs).to_str().unwrap().to_string();
    assert_eq!(run(&["ntfscat", "-f", &file, "/EFI/Long Name é.txt"]), "second");
}

/// All that a Unix filesystem can do.
fn conforms(appliance: &mut Appliance, volume: VolumeId) {
    appliance.mount(volume, "/", MountMode::ReadWrite, None).unwrap();
    conformance::check(appliance);
    // Larger than the appliance's memory would like it.
    let large = vec![0xa5; 24 << 20];
    appliance.write("/large", &large, 0o600).unwrap();
    assert!(appliance.read("/large", large.len() as u64).unwrap() == large);
    appliance.remove("/large").unwrap();
    appliance.sync().unwrap();
    assert!(appliance.trim("/").unwrap() >= 24 << 20, "what was removed is discarded");
    appliance.write("/left", b"left behind", 0o600).unwrap();
    appliance.unmount_all().unwrap();
}

/// What is left of it where files have no owners.
fn without_owners(appliance: &mut Appliance, volume: VolumeId) {
    appliance.mount(volume, "/", MountMode::ReadWrite, None).unwrap();
    appliance.create_dir("/EFI/debian").unwrap();
    for contents in ["first", "second"] {
        appliance.write("/EFI/Long Name é.txt", contents.as_bytes(), 0o644).unwrap();
    }
    appliance.rename("/EFI/debian", "/EFI/other").unwrap();
    appliance.remove("/EFI/other").unwrap();
    let entries = appliance.list("/EFI").unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    appliance.unmount_all().unwrap();
}
