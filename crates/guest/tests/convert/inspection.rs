//! What inspection finds.

use crate::debian;
use guest::fs::memory::MemoryTree;
use guest::fs::{GuestFs, MountMode, Mounter};
use guest::inspect::{Inspection, inspect};
use guest::volume::VolumeId;
use machine::{Bus, ScsiModel};

fn inspected(tree: &mut MemoryTree) -> Inspection {
    inspect(tree, &debian::volumes()).unwrap().unwrap()
}

const VIRTIO_SCSI: Bus = Bus::Scsi(ScsiModel::VirtioScsi);

fn objections(inspection: &Inspection, bus: Bus) -> Vec<String> {
    let kvm = profile::find("kvm").unwrap();
    inspection.objections_for(kvm, [bus]).iter().map(ToString::to_string).collect()
}

#[test]
fn everything_is_found() {
    let inspection = inspected(&mut debian::tree(Some(64 << 20)));
    insta::assert_json_snapshot!(inspection);
    insta::assert_snapshot!(inspection);
    assert_eq!(objections(&inspection, VIRTIO_SCSI), [""; 0]);
}

#[test]
fn data_disks_are_nothing_to_convert() {
    let mut tree = MemoryTree::new();
    tree.add_volume(VolumeId(0), None, None);
    tree.add_volume(VolumeId(1), None, None);
    assert!(inspect(&mut tree, &debian::volumes()).unwrap().is_none());
}

#[test]
fn a_kernel_without_the_driver_is_an_objection() {
    let mut tree = debian::tree(None);
    tree.mount(VolumeId(1), "/", MountMode::ReadWrite, None).unwrap();
    let path = format!("/lib/modules/{}/modules.dep", debian::VERSION);
    let dep = String::from_utf8(tree.read(&path, 1 << 20).unwrap()).unwrap();
    tree.put(&path, dep.replace("virtio_blk.ko", "something_else.ko")).unwrap();
    let inspection = inspected(&mut tree);
    assert_eq!(
        objections(&inspection, Bus::VirtioBlk),
        ["kernel 6.1.0-18-amd64: it has no driver for the disks of KVM (QEMU, libvirt): virtio_blk"]
    );
    // Built in, or a module: both will do.
    assert_eq!(objections(&inspection, Bus::Sata), [""; 0]);
}

#[test]
fn a_full_boot_is_an_objection() {
    let inspection = inspected(&mut debian::tree(Some(64 << 10)));
    assert_eq!(
        objections(&inspection, VIRTIO_SCSI),
        ["the guest's filesystem on /boot: 0 MiB are free, and about 5 MiB are needed for drivers"]
    );
}

#[test]
fn a_suspended_guest_is_an_objection() {
    let mut volumes = debian::volumes();
    volumes[2].content.as_mut().unwrap().kind = "swsuspend".into();
    let inspection = inspect(&mut debian::tree(None), &volumes).unwrap().unwrap();
    assert_eq!(
        objections(&inspection, VIRTIO_SCSI),
        ["disk1 partition 3: it holds a system that was suspended to disk"]
    );
}

#[test]
fn a_closed_volume_is_an_objection_where_no_root_is_found() {
    for (kind, why) in [
        ("crypto_LUKS", "it is encrypted with LUKS, and no key is known"),
        (
            "linux_raid_member",
            "it is a part of a software RAID that is no mirror, or of which no member is in sync",
        ),
        ("LVM2_thin", "it is a logical volume of type thin, which cannot be read yet"),
    ] {
        let mut volumes = debian::volumes();
        volumes[1].content.as_mut().unwrap().kind = kind.into();
        let mut tree = MemoryTree::new();
        tree.add_volume(VolumeId(0), None, None);
        let inspection = inspect(&mut tree, &volumes).unwrap().unwrap();
        assert_eq!(objections(&inspection, VIRTIO_SCSI), [format!("disk1 partition 2: {why}")]);
    }
}

#[test]
fn windows_is_named_and_refused() {
    let mut volumes = debian::volumes();
    volumes[0].content.as_mut().unwrap().kind = "ntfs".into();
    let mut tree = MemoryTree::new();
    tree.add_volume(VolumeId(0), None, None);
    tree.mount(VolumeId(0), "/", MountMode::ReadWrite, None).unwrap();
    tree.create_dir("/Windows/System32").unwrap();
    let inspection = inspect(&mut tree, &volumes).unwrap().unwrap();
    assert_eq!(
        objections(&inspection, VIRTIO_SCSI),
        ["Microsoft Windows: Windows guests cannot be converted yet"]
    );
}

#[test]
fn a_root_in_a_btrfs_subvolume_is_found() {
    let mut volumes = debian::volumes();
    volumes[1].content.as_mut().unwrap().kind = "btrfs".into();
    let mut tree = MemoryTree::new();
    tree.add_volume(VolumeId(0), None, None);
    tree.add_volume(VolumeId(1), None, None);
    tree.add_volume(VolumeId(1), Some("@rootfs"), None);
    tree.mount(VolumeId(1), "/", MountMode::ReadWrite, Some("@rootfs")).unwrap();
    tree.put("/etc/fstab", "").unwrap();
    let inspection = inspect(&mut tree, &volumes).unwrap().unwrap();
    assert_eq!(inspection.mounts[0].subvolume.as_deref(), Some("@rootfs"));
    assert_eq!(objections(&inspection, VIRTIO_SCSI), ["Linux: there is no kernel in /boot"]);
}

#[test]
fn a_unified_kernel_image_is_an_objection() {
    let mut tree = debian::tree(None);
    tree.mount(VolumeId(1), "/", MountMode::ReadWrite, None).unwrap();
    tree.put("/efi/EFI/Linux/debian-6.1.0-18-amd64.efi", "MZ").unwrap();
    // GRUB starts the kernel in /boot; it need not know the image.
    assert_eq!(objections(&inspected(&mut tree), VIRTIO_SCSI), [""; 0]);
    tree.unmount_all().unwrap();
    tree.mount(VolumeId(0), "/", MountMode::ReadWrite, None).unwrap();
    tree.remove("/grub/grub.cfg").unwrap();
    assert_eq!(
        objections(&inspected(&mut tree), VIRTIO_SCSI),
        [
            "/efi/EFI/Linux/debian-6.1.0-18-amd64.efi: it holds the kernel and its initramfs in one signed image, to which no drivers can be added"
        ]
    );
}

#[test]
fn an_initramfs_of_an_unknown_kind_is_an_objection() {
    let mut tree = debian::tree(None);
    tree.mount(VolumeId(1), "/", MountMode::ReadWrite, None).unwrap();
    tree.mount(VolumeId(0), "/boot", MountMode::ReadWrite, None).unwrap();
    let archive = guest::initramfs::cpio::write(&[guest::initramfs::cpio::Entry::file("init", "")]);
    tree.put(&format!("/boot/initrd.img-{}", debian::VERSION), archive).unwrap();
    let inspection = inspected(&mut tree);
    assert_eq!(
        objections(&inspection, VIRTIO_SCSI),
        [
            "kernel 6.1.0-18-amd64: its initramfs is made by an unknown program, for which there is no recipe yet"
        ]
    );
}
