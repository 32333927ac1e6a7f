//! One row a release: trees made after the documented layouts of distributions that cannot be installed here, converted
//! from ESXi to KVM with a disk that changes its name. What changed is in the snapshots.
//!
//! A row shows that the recipe does what that release's own programs expect by their documentation and source; none of
//! these guests was booted.
#![allow(clippy::unwrap_used, reason = "a test ends where something is amiss")]

mod boot;
mod debian;
mod guest_tree;
#[path = "../one_disk/mod.rs"]
mod one_disk;
mod redhat;
mod suse;
mod whole;

use guest::fs::memory::MemoryTree;
use guest::fs::recording::{Edit, Recording};
use guest::fs::{MountMode, Mounter};
use guest::initramfs::{self, drivers};
use guest::inspect::inspect;
use guest::recipe::{Converted, Target, find};
use guest::volume::VolumeId;
use guest_tree::{Release, machine, tree};
use one_disk::volumes;
use std::fmt::Write;

/// Every row.
fn releases() -> Vec<&'static Release> {
    redhat::RELEASES.iter().chain(suse::RELEASES).chain(debian::RELEASES).collect()
}

fn convert(tree: MemoryTree) -> (MemoryTree, Converted, Vec<Edit>) {
    convert_for(tree, "kvm")
}

/// Converts the guest between ESXi and KVM.
fn convert_for(tree: MemoryTree, target: &str) -> (MemoryTree, Converted, Vec<Edit>) {
    let profile = profile::find(target).unwrap();
    let to_kvm = target == "kvm";
    let (source, machine) = (machine(!to_kvm), machine(to_kvm));
    let mut recording = Recording::new(tree);
    let inspection = inspect(&mut recording, &volumes()).unwrap().unwrap();
    let objections = inspection.objections_for(profile, [machine.disks[0].attachment.bus]);
    assert!(objections.is_empty(), "{objections:?}");
    let target = Target::new(profile, &source, &machine);
    let recipe = find(&inspection).unwrap();
    let converted = recipe.convert(&mut recording, &inspection, &target).unwrap();
    let (tree, edits) = recording.finish();
    (tree, converted, edits)
}

/// What changed, for a reader: diffs of texts, and what the initramfs got.
fn report(release: &Release, tree: &mut MemoryTree, converted: &Converted, edits: &[Edit]) -> String {
    let mut text = String::new();
    for edit in edits {
        writeln!(text, "{} {}", edit.action, edit.path).unwrap();
        if let Some(diff) = &edit.diff {
            diff.lines().skip(2).for_each(|line| writeln!(text, "    {line}").unwrap());
        }
    }
    let image = guest::fs::GuestFs::read(tree, release.initramfs, 1 << 24).unwrap();
    let contents = initramfs::read(&image, |path| !path.ends_with(".ko") && !path.ends_with(".bin")).unwrap();
    let before = initramfs::read(&release.initramfs(), |_| true).unwrap();
    writeln!(text, "inside the initramfs").unwrap();
    for (path, kind) in &contents.paths {
        let is_same =
            before.paths.get(path) == Some(kind) && before.files.get(path) == contents.files.get(path);
        let is_index = path.contains("/modules.") || drivers_only(path);
        if !is_same && !is_index {
            let now = contents.files.get(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            writeln!(text, "  {path}").unwrap();
            now.iter().flat_map(|now| now.lines()).for_each(|line| writeln!(text, "    {line}").unwrap());
        }
    }
    writeln!(
        text,
        "modules added: {}",
        converted.kernels.iter().flat_map(|kernel| &kernel.modules).cloned().collect::<Vec<_>>().join(" ")
    )
    .unwrap();
    for note in converted.notes.iter().filter(|note| !note.contains("KiB")) {
        writeln!(text, "note: {note}").unwrap();
    }
    for undo in &converted.how_to_undo {
        writeln!(text, "undo: {undo}").unwrap();
    }
    text
}

/// Modules are listed by name.
fn drivers_only(path: &str) -> bool {
    path.contains(".ko") || drivers::is_needed(path) && path.contains("modules.")
}

#[test]
fn every_release_is_converted_once() {
    for release in releases() {
        let (mut tree, converted, edits) = convert(tree(release));
        let text = report(release, &mut tree, &converted, &edits);
        insta::assert_snapshot!(release.id, text);
        let (_, again, edits) = convert(tree);
        assert!(edits.is_empty(), "{} changes when it is converted again: {edits:?}", release.id);
        assert!(again.how_to_undo.is_empty(), "{}: {again:?}", release.id);
    }
}

#[test]
fn what_is_at_home_starts_again_where_it_came_from() {
    for release in releases() {
        let (tree, there, _) = convert(tree(release));
        let inert = there.notes.iter().filter(|note| note.ends_with("no longer starts")).count();
        assert!(inert > 0, "{}: {:?}", release.id, there.notes);
        let (mut tree, back, edits) = convert_for(tree, "esxi");
        assert!(
            back.notes.iter().any(|note| note.ends_with("starts again")),
            "{}: {:?}",
            release.id,
            back.notes
        );
        let mut is_left = |path: &str| guest::fs::GuestFs::exists(&mut tree, path).unwrap();
        assert!(!is_left("/etc/anyvisor/services"), "{}: {edits:?}", release.id);
        let (_, _, edits) = convert_for(tree, "esxi");
        assert!(edits.is_empty(), "{} changes when it is converted again: {edits:?}", release.id);
    }
}

#[test]
fn a_kernel_without_an_initramfs_finds_its_root_itself() {
    let release = Release {
        builtin: "kernel/drivers/virtio/virtio_pci.ko\nkernel/drivers/block/virtio_blk.ko\n\
                  kernel/drivers/scsi/scsi_mod.ko\nkernel/drivers/scsi/sd_mod.ko\n",
        initramfs: "/srv/initramfs-of-another",
        ..debian::UBUNTU_18
    };
    let (mut tree, ..) = convert(tree(&release));
    let mut text =
        |path: &str| String::from_utf8(guest::fs::GuestFs::read(&mut tree, path, 1 << 20).unwrap()).unwrap();
    let entry = text("/boot/grub/grub.cfg");
    assert!(entry.contains(" root=PARTUUID=1ab00d12-02 ro"), "{entry}");
    let fstab = text("/etc/fstab");
    assert!(fstab.starts_with("UUID="), "{fstab}");
}

#[test]
fn without_cards_in_the_configuration_there_are_no_rules_for_them() {
    let rules = "/etc/udev/rules.d/70-persistent-net.rules";
    let is_kept = |(path, _): &&(&str, &str)| !path.contains("/ifcfg-") && *path != rules;
    let mut files: Vec<_> = redhat::RHEL_6.files.iter().filter(is_kept).copied().collect();
    files.push(("/lib/udev/rules.d/75-persistent-net-generator.rules", ""));
    let release = Release { files: files.leak(), ..redhat::RHEL_6 };
    let (mut tree, converted, _) = convert(tree(&release));
    assert!(!guest::fs::GuestFs::exists(&mut tree, rules).unwrap());
    assert!(!converted.notes.iter().any(|note| note.contains(rules)), "{:?}", converted.notes);
}

#[test]
fn a_file_that_is_no_utf_8_keeps_its_bytes() {
    let texts = [("/etc/crypttab", &b"# Schl\xfcssel\n"[..]), ("/etc/kernel/cmdline", b"quiet \xfc\n")];
    let mut tree = tree(&debian::UBUNTU_18);
    tree.mount(VolumeId(1), "/", MountMode::ReadWrite, None).unwrap();
    texts.iter().for_each(|(path, bytes)| tree.put(path, *bytes).unwrap());
    tree.unmount_all().unwrap();
    let (mut tree, ..) = convert(tree);
    for (path, bytes) in texts {
        assert_eq!(guest::fs::GuestFs::read(&mut tree, path, 1 << 20).unwrap(), bytes, "{path}");
    }
}

#[test]
fn encrypted_devices_get_names_that_hold_wherever_they_are_listed() {
    const SWAP: &str = "a3c9e1f0-2b4d-4e6f-8091-a2b3c4d5e6f7";
    const TABLE: &str = "# name source key options\n\
        a\t/dev/sda3  /dev/urandom swap\n\
        b /dev/disk/by-id/scsi-36000c29f4c5b6a00-part3 none luks,header=/dev/sda2\n\
        sda1 /dev/sda3 /dev/sda1:/key luks\n\
        d PARTUUID=1ab00d12-03 none luks\n\
        e /dev/mapper/system-home none luks\n\
        f /dev/sda9 none luks,nofail\n";
    let after = format!(
        "# name source key options\n\
        a\tUUID={SWAP}  /dev/urandom swap\n\
        b UUID={SWAP} none luks,header=/dev/disk/by-uuid/5d0a1b7e-6f43-4c52-9a37-1f2e3d4c5b6a\n\
        sda1 UUID={SWAP} /dev/disk/by-uuid/0f0e0d0c-0b0a-0908-0706-050403020100:/key luks\n\
        d PARTUUID=1ab00d12-03 none luks\n\
        e /dev/mapper/system-home none luks\n\
        f /dev/sda9 none luks,nofail\n"
    );
    let files = [debian::UBUNTU_18.files, &[("/etc/crypttab", TABLE)]].concat();
    let inside = [debian::UBUNTU_18.inside, &[("cryptroot/crypttab", TABLE)]].concat();
    let release = Release { files: files.leak(), inside: inside.leak(), ..debian::UBUNTU_18 };
    let (mut tree, converted, _) = convert(tree(&release));
    let table = guest::fs::GuestFs::read(&mut tree, "/etc/crypttab", 1 << 20).unwrap();
    assert_eq!(String::from_utf8(table).unwrap(), after);
    let image = guest::fs::GuestFs::read(&mut tree, release.initramfs, 1 << 24).unwrap();
    let contents = initramfs::read(&image, |path| path == "cryptroot/crypttab").unwrap();
    assert_eq!(std::str::from_utf8(&contents.files["cryptroot/crypttab"]).unwrap(), after);
    // The partition that is not there keeps its name, in both places, and that is said.
    let unknown =
        converted.notes.iter().filter(|note| note.contains("names /dev/sda9, which nothing is known of"));
    assert_eq!(unknown.count(), 2, "{:?}", converted.notes);
}
