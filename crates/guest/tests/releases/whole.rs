//! What holds for every release alike: labels, software of every hypervisor.

use crate::guest_tree::{Release, tree};
use crate::{convert, convert_for, debian, redhat, releases};
use guest::fs::memory::MemoryTree;
use guest::fs::recording::Edit;
use guest::fs::{FileKind, GuestFs, MountMode, Mounter};
use guest::volume::VolumeId;

const SELINUX: &str = "security.selinux";

/// The release with more files.
pub(crate) fn with(release: &Release, files: &[(&'static str, &'static str)]) -> Release {
    Release { files: [release.files, files].concat().leak(), ..*release }
}

/// The guest's tree, mounted for a look.
pub(crate) fn mounted(mut tree: MemoryTree) -> MemoryTree {
    tree.unmount_all().unwrap();
    tree.mount(VolumeId(1), "/", MountMode::ReadWrite, None).unwrap();
    tree.mount(VolumeId(0), "/boot", MountMode::ReadWrite, None).unwrap();
    tree
}

pub(crate) fn text(tree: &mut MemoryTree, path: &str) -> String {
    String::from_utf8(tree.read(path, 1 << 20).unwrap()).unwrap()
}

/// Labels everything below a directory by its path.
fn label_all(tree: &mut MemoryTree, directory: &str) {
    let own = if directory.is_empty() { "/" } else { directory };
    tree.set_xattr(own, SELINUX, format!("label of {own}").as_bytes()).unwrap();
    for entry in tree.list(own).unwrap() {
        let path = format!("{directory}/{}", entry.name);
        match entry.kind {
            FileKind::Directory => label_all(tree, &path),
            FileKind::Symlink => {}
            _ => tree.set_xattr(&path, SELINUX, format!("label of {path}").as_bytes()).unwrap(),
        }
    }
}

/// The files of an edit that stand there afterwards.
fn written(edits: &[Edit], tree: &mut MemoryTree) -> Vec<String> {
    let mut paths: Vec<String> = edits.iter().map(|edit| edit.path.clone()).collect();
    paths.retain(|path| tree.exists(path).unwrap() && tree.read_link(path).is_err());
    paths
}

#[test]
fn every_file_that_is_written_has_a_label() {
    for release in releases() {
        let release = with(release, &[("/etc/selinux/config", "SELINUX=enforcing\n")]);
        let mut tree = mounted(tree(&release));
        label_all(&mut tree, "");
        tree.unmount_all().unwrap();
        let (tree, _, edits) = convert(tree);
        let mut tree = mounted(tree);
        let paths = written(&edits, &mut tree);
        assert!(paths.len() > 2, "{}: {edits:?}", release.id);
        for path in paths {
            assert!(tree.xattr(&path, SELINUX).unwrap().is_some(), "{}: {path} has no label", release.id);
        }
    }
}

/// Every unit that a profile knows, installed at once.
fn with_every_service() -> MemoryTree {
    let mut tree = mounted(tree(&debian::UBUNTU_18));
    for service in profile::all().iter().flat_map(|profile| &profile.guest_services) {
        tree.put(&format!("/lib/systemd/system/{}", service.unit), "[Unit]\n").unwrap();
    }
    tree.unmount_all().unwrap();
    tree
}

#[test]
fn software_of_every_other_hypervisor_is_masked_and_said_how_to_bring_back() {
    for target in ["kvm", "esxi"] {
        let home = &profile::find(target).unwrap().guest_services;
        let (tree, converted, _) = convert_for(with_every_service(), target);
        let mut tree = mounted(tree);
        for service in profile::all().iter().flat_map(|profile| &profile.guest_services) {
            let mask = format!("/etc/systemd/system/{}", service.unit);
            let is_masked = tree.read_link(&mask).is_ok_and(|to| to == "/dev/null");
            let is_home = home.iter().any(|own| own.unit == service.unit);
            assert_eq!(is_masked, !is_home, "{} on {target}", service.unit);
            let undo = format!("systemctl unmask '{}'", service.unit);
            assert_eq!(converted.how_to_undo.contains(&undo), !is_home, "{} on {target}", service.unit);
            assert!(tree.exists(&format!("/lib/systemd/system/{}", service.unit)).unwrap());
        }
    }
}

#[test]
fn agents_of_every_kind_are_known() {
    let known = |unit: &str| {
        profile::all().iter().any(|profile| profile.guest_services.iter().any(|service| service.unit == unit))
    };
    for unit in [
        "open-vm-tools.service",
        "vmtoolsd.service",
        "vmware-tools.service",
        "vboxadd-service.service",
        "virtualbox-guest-utils.service",
        "xe-daemon.service",
        "xe-linux-distribution.service",
        "xen-guest-agent.service",
        "hv-kvp-daemon.service",
        "hypervkvpd.service",
        "hv_kvp_daemon.service",
        "qemu-guest-agent.service",
    ] {
        assert!(known(unit), "{unit}");
    }
}

#[test]
fn members_of_arrays_are_named_by_the_array() {
    let conf =
        "DEVICE /dev/sda3 /dev/sdb3\nARRAY /dev/md0 UUID=a1b2:c3d4:e5f6:0718 devices=/dev/sda3,/dev/sdb3\n";
    let (tree, ..) = convert(tree(&with(&redhat::RHEL_6, &[("/etc/mdadm.conf", conf)])));
    let after = text(&mut mounted(tree), "/etc/mdadm.conf");
    assert_eq!(after, "DEVICE partitions\nARRAY /dev/md0 UUID=a1b2:c3d4:e5f6:0718\n");
}
