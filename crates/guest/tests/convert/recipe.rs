//! What the recipe changes.

use crate::debian::{self, VERSION};
use guest::fs::memory::MemoryTree;
use guest::fs::recording::{Edit, Recording};
use guest::fs::{GuestFs, MountMode, Mounter};
use guest::initramfs::{self, drivers};
use guest::inspect::inspect;
use guest::recipe::{Converted, RecipeError, Target, find};
use machine::{Bus, Machine, ScsiModel};

const VIRTIO_SCSI: Bus = Bus::Scsi(ScsiModel::VirtioScsi);

/// Converts the guest from the machine that it ran on to `machine`, and says what was done and what changed.
pub(crate) fn convert(
    tree: MemoryTree,
    machine: &Machine,
) -> Result<(MemoryTree, Converted, Vec<Edit>), RecipeError> {
    let mut recording = Recording::new(tree);
    let inspection = inspect(&mut recording, &debian::volumes()).unwrap().unwrap();
    let target = Target::new(profile::find("kvm").unwrap(), &debian::machine(), machine);
    let converted = find(&inspection).unwrap().convert(&mut recording, &inspection, &target)?;
    let (tree, edits) = recording.finish();
    Ok((tree, converted, edits))
}

/// What is the same whatever compresses it: the hash and the size of an initramfs are not.
fn steady(edits: Vec<Edit>) -> Vec<Edit> {
    let steady =
        |text: Option<String>| text.map(|text| if text.contains("BLAKE3") { "bytes".into() } else { text });
    edits
        .into_iter()
        .map(|edit| Edit { before: steady(edit.before), after: steady(edit.after), ..edit })
        .collect()
}

fn steady_record(mut converted: Converted) -> Converted {
    for kernel in &mut converted.kernels {
        assert!(kernel.bytes > 500);
        kernel.bytes = 0;
    }
    converted.notes.retain(|note| !note.contains("KiB"));
    converted
}

#[test]
fn to_virtio_scsi_where_disks_keep_their_names() {
    let (mut tree, converted, edits) = convert(debian::tree(None), &debian::on(VIRTIO_SCSI)).unwrap();
    insta::assert_json_snapshot!(steady(edits));
    insta::assert_json_snapshot!(steady_record(converted));

    let path = format!("/boot/initrd.img-{VERSION}");
    let metadata = tree.metadata(&path).unwrap();
    assert_eq!(metadata.mode, 0o600);
    let image = tree.read(&path, 1 << 20).unwrap();
    let original = tree.read(&format!("/boot/.initrd.img-{VERSION}.anyvisor-orig"), 1 << 20).unwrap();
    assert!(image.starts_with(&original));
    let contents = initramfs::read(&image, drivers::is_needed).unwrap();
    assert_eq!(contents.files["conf/modules"], b"virtio_pci\nvirtio_scsi\nsd_mod\n");
    assert!(contents.paths.contains_key("etc/systemd/network/10-anyvisor-ens192.link"));
}

#[test]
fn to_virtio_blk_where_they_do_not() {
    let (mut tree, converted, edits) = convert(debian::tree(None), &debian::on(Bus::VirtioBlk)).unwrap();
    insta::assert_json_snapshot!(steady(edits));
    insta::assert_json_snapshot!(steady_record(converted));
    let image = tree.read(&format!("/boot/initrd.img-{VERSION}"), 1 << 20).unwrap();
    let contents = initramfs::read(&image, |path| path == "conf/conf.d/resume").unwrap();
    assert_eq!(
        contents.files["conf/conf.d/resume"],
        format!("RESUME=UUID={}\n", debian::SWAP_UUID).as_bytes()
    );
}

#[test]
fn a_second_time_changes_nothing() {
    for machine in [debian::on(VIRTIO_SCSI), debian::on(Bus::VirtioBlk)] {
        let (tree, _, edits) = convert(debian::tree(None), &machine).unwrap();
        assert!(!edits.is_empty());
        let (_, converted, edits) = convert(tree, &machine).unwrap();
        assert_eq!(edits, []);
        assert_eq!((converted.kernels.len(), converted.how_to_undo.len()), (0, 0));
    }
}

#[test]
fn a_boot_that_is_too_small_stays_as_it_was() {
    let small = debian::tree(Some(1500));
    let error = convert(small.clone(), &debian::on(VIRTIO_SCSI)).unwrap_err();
    assert!(
        matches!(&error, RecipeError::Files { source, .. } if source.kind == guest::fs::ErrorKind::NoSpace),
        "{error:?}"
    );
    // The same, seen from inside: the original is back in its place.
    let mut recording = Recording::new(small);
    let inspection = inspect(&mut recording, &debian::volumes()).unwrap().unwrap();
    let target = Target::new(profile::find("kvm").unwrap(), &debian::machine(), &debian::on(VIRTIO_SCSI));
    find(&inspection).unwrap().convert(&mut recording, &inspection, &target).unwrap_err();
    assert!(recording.edits().iter().all(|edit| !edit.path.starts_with("/boot")));
}

#[test]
fn new_files_are_labelled_like_their_siblings() {
    const LABEL: &str = "security.selinux";
    let mut tree = debian::tree(None);
    let volumes = debian::volumes();
    tree.mount(volumes[1].id, "/", MountMode::ReadWrite, None).unwrap();
    tree.mount(volumes[0].id, "/boot", MountMode::ReadWrite, None).unwrap();
    tree.put("/etc/selinux/config", "SELINUX=enforcing\n").unwrap();
    tree.put("/etc/systemd/network/50-other.link", "").unwrap();
    tree.set_xattr("/etc/systemd/network/50-other.link", LABEL, b"system_u:object_r:systemd_conf_t:s0")
        .unwrap();
    tree.set_xattr(&format!("/boot/initrd.img-{VERSION}"), LABEL, b"system_u:object_r:boot_t:s0").unwrap();
    let (mut tree, ..) = convert(tree, &debian::on(VIRTIO_SCSI)).unwrap();
    let label = |tree: &mut MemoryTree, path: &str| {
        String::from_utf8(tree.xattr(path, LABEL).unwrap().unwrap()).unwrap()
    };
    assert_eq!(
        label(&mut tree, "/etc/systemd/network/10-anyvisor-ens192.link"),
        "system_u:object_r:systemd_conf_t:s0"
    );
    assert_eq!(label(&mut tree, &format!("/boot/initrd.img-{VERSION}")), "system_u:object_r:boot_t:s0");
}

#[test]
fn several_cards_are_matched_in_slot_order() {
    let mut tree = debian::tree(None);
    tree.mount(guest::volume::VolumeId(1), "/", MountMode::ReadWrite, None).unwrap();
    let interfaces =
        "iface ens256 inet dhcp\niface ens160 inet static\n address 192.0.2.1/24\niface br0 inet dhcp\n";
    tree.put("/etc/network/interfaces", interfaces).unwrap();
    let netplan =
        "network:\n  ethernets:\n    ens192:\n      match:\n        macaddress: 00:0c:29:00:00:02\n";
    tree.put("/etc/netplan/a.yaml", netplan).unwrap();
    let mut machine = debian::on(VIRTIO_SCSI);
    machine.nics =
        (1..=3).map(|n| debian::nic(&format!("nic{n}"), &format!("00:0c:29:00:00:0{n}"))).collect();
    let (_, converted, _) = convert(tree, &machine).unwrap();
    let pinned: Vec<_> =
        converted.pinned.iter().map(|pin| (pin.name.as_str(), pin.mac.to_string())).collect();
    let expected =
        [("ens192", 2), ("ens160", 1), ("ens256", 3)].map(|(name, n)| (name, format!("00:0c:29:00:00:0{n}")));
    assert_eq!(pinned, expected);
}

#[test]
fn a_card_with_a_new_address_is_configured_by_it() {
    let mut tree = debian::tree(None);
    tree.mount(guest::volume::VolumeId(1), "/", MountMode::ReadWrite, None).unwrap();
    let rule = "SUBSYSTEM==\"net\", ATTR{address}==\"00:0c:29:4c:5b:6a\", NAME=\"ens192\"\n";
    tree.put("/etc/udev/rules.d/70-persistent-net.rules", rule).unwrap();
    let mut machine = debian::on(VIRTIO_SCSI);
    machine.nics = vec![debian::nic("nic1", "52:54:00:00:00:01")];
    let (mut tree, converted, _) = convert(tree, &machine).unwrap();
    let rules = tree.read("/etc/udev/rules.d/70-persistent-net.rules", 1000).unwrap();
    assert_eq!(String::from_utf8(rules).unwrap(), rule.replace("00:0c:29:4c:5b:6a", "52:54:00:00:00:01"));
    assert_eq!(converted.pinned[0].mac.to_string(), "52:54:00:00:00:01");
}
