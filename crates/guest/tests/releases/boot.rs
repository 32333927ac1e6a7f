//! Boot loaders and kernels that no release's own layout shows.

use crate::guest_tree::{Release, machine, tree};
use crate::one_disk::{ROOT_UUID, volumes};
use crate::whole::{mounted, text, with};
use crate::{convert, debian, redhat};
use guest::fs::GuestFs;
use guest::initramfs::{self, cpio, drivers};
use guest::inspect::{BootKind, inspect};
use guest::recipe::{Target, find};
use machine::{Firmware, Uefi};

#[test]
fn systemd_boot_finds_its_root_by_uuid() {
    let files = debian::UBUNTU_18.files.iter().filter(|(path, _)| !path.contains("grub")).copied();
    let entry = "\
title Ubuntu
version 4.15.0-213-generic
linux /vmlinuz-4.15.0-213-generic
initrd /initrd.img-4.15.0-213-generic
options root=/dev/sda2 ro resume=/dev/sda3
";
    let own = [("/boot/loader/loader.conf", "timeout 3\n"), ("/boot/loader/entries/ubuntu.conf", entry)];
    let files: Vec<_> = files.chain(own).collect();
    let release = Release { files: files.leak(), ..debian::UBUNTU_18 };
    let mut before = tree(&release);
    let inspection = inspect(&mut before, &volumes()).unwrap().unwrap();
    assert_eq!(inspection.boot.as_ref().map(|boot| boot.kind), Some(BootKind::SystemdBoot));
    assert_eq!(
        inspection.boot.and_then(|boot| boot.command_line).as_deref(),
        Some("root=/dev/sda2 ro resume=/dev/sda3")
    );
    let (after, ..) = convert(tree(&release));
    let after = text(&mut mounted(after), "/boot/loader/entries/ubuntu.conf");
    assert!(after.contains(&format!("options root=UUID={ROOT_UUID} ro resume=UUID=")), "{after}");
}

#[test]
fn grub_under_uefi_finds_its_root_and_the_fallback_loader_is_provided() {
    let release = with(
        &redhat::RHEL_8,
        &[
            ("/boot/efi/EFI/redhat/grub.cfg", "linuxefi /vmlinuz root=/dev/sda2 ro\n"),
            ("/boot/efi/EFI/redhat/shimx64.efi", "shim"),
            ("/boot/efi/EFI/redhat/grubx64.efi", "grub"),
        ],
    );
    let mut tree = tree(&release);
    let inspection = inspect(&mut tree, &volumes()).unwrap().unwrap();
    let uefi = |on_kvm| machine::Machine { firmware: Firmware::Uefi(Uefi::default()), ..machine(on_kvm) };
    let target = Target::new(profile::find("kvm").unwrap(), &uefi(false), &uefi(true));
    find(&inspection).unwrap().convert(&mut tree, &inspection, &target).unwrap();
    let mut tree = mounted(tree);
    let expected = format!("linuxefi /vmlinuz root=UUID={ROOT_UUID} ro\n");
    assert_eq!(text(&mut tree, "/boot/efi/EFI/redhat/grub.cfg"), expected);
    assert_eq!(text(&mut tree, "/boot/efi/EFI/BOOT/BOOTX64.EFI"), "shim");
    assert_eq!(text(&mut tree, "/boot/efi/EFI/BOOT/grubx64.efi"), "grub");
}

/// A second kernel, older or newer, with all of the first one's modules but those of `without`.
fn second_kernel(release: &Release, version: &str, without: &str) -> guest::fs::memory::MemoryTree {
    let mut tree = mounted(tree(release));
    let modules = format!("/lib/modules/{version}");
    let mut dep = String::new();
    for (path, needs) in
        release.modules.iter().filter(|(path, _)| without.is_empty() || !path.contains(without))
    {
        tree.put(&format!("{modules}/{path}"), format!("module {path}")).unwrap();
        dep.push_str(&format!("{path}: {needs}\n"));
    }
    tree.put(&format!("{modules}/modules.dep"), dep).unwrap();
    tree.put(&format!("{modules}/modules.alias"), release.aliases).unwrap();
    tree.put(&format!("{modules}/modules.builtin"), release.builtin).unwrap();
    tree.put(&format!("/boot/vmlinuz-{version}"), "kernel").unwrap();
    let inside = [("conf", ""), ("conf/initramfs.conf", "MODULES=dep\n")];
    let entries = inside.map(|(path, text)| match text {
        "" => cpio::Entry::directory(path),
        text => cpio::Entry::file(path, text),
    });
    tree.put(&format!("/boot/initrd.img-{version}"), cpio::write(&entries)).unwrap();
    guest::fs::Mounter::unmount_all(&mut tree).unwrap();
    tree
}

fn modules_inside(tree: &mut guest::fs::memory::MemoryTree, version: &str) -> Vec<String> {
    let image = tree.read(&format!("/boot/initrd.img-{version}"), 1 << 20).unwrap();
    let contents = initramfs::read(&image, drivers::is_needed).unwrap();
    let names = contents.paths.into_keys().filter(|path| path.ends_with("virtio_blk.ko"));
    names.collect()
}

#[test]
fn every_kernel_that_can_start_gets_the_drivers_of_its_own_version() {
    let release = &debian::UBUNTU_18;
    let older = "4.15.0-99-generic";
    let (tree, converted, _) = convert(second_kernel(release, older, ""));
    let versions: Vec<_> = converted.kernels.iter().map(|kernel| kernel.version.as_str()).collect();
    assert_eq!(versions, [release.kernel, older]);
    let mut tree = mounted(tree);
    for version in versions {
        let inside = modules_inside(&mut tree, version);
        assert!(inside.iter().all(|path| path.contains(version)) && inside.len() == 1, "{inside:?}");
    }
    // An older one that has no such driver stays as it is, which is said.
    let (tree, converted, _) = convert(second_kernel(release, older, "virtio_blk"));
    assert_eq!(converted.kernels.len(), 1);
    let note = format!("kernel {older} has no virtio_blk and will not start");
    assert!(converted.notes.contains(&note), "{:?}", converted.notes);
    assert_eq!(modules_inside(&mut mounted(tree), older), Vec::<String>::new());
}

#[test]
fn a_driver_of_another_kernels_that_weak_updates_links_to_is_carried() {
    const WEAK: &str = "weak-updates/vendor/virtio_blk.ko";
    let own = redhat::RHEL_7.modules.iter().filter(|(path, _)| !path.ends_with("virtio_blk.ko")).copied();
    let modules: Vec<_> =
        own.chain([(WEAK, "kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko")]).collect();
    let release = Release { modules: modules.leak(), ..redhat::RHEL_7 };
    let mut tree = mounted(tree(&release));
    let other = "/lib/modules/3.10.0-1127.el7.x86_64/extra/vendor/virtio_blk.ko";
    let link = format!("/lib/modules/{}/{WEAK}", release.kernel);
    tree.put(other, "of the vendor's").unwrap();
    tree.remove(&link).unwrap();
    tree.symlink(other, &link).unwrap();
    guest::fs::Mounter::unmount_all(&mut tree).unwrap();
    let (tree, ..) = convert(tree);
    let image = mounted(tree).read(release.initramfs, 1 << 20).unwrap();
    let contents = initramfs::read(&image, |path| path.ends_with("virtio_blk.ko")).unwrap();
    let carried: Vec<_> = contents.files.into_iter().collect();
    let path = format!("usr/lib/modules/{}/{WEAK}", release.kernel);
    assert_eq!(carried, [(path, b"of the vendor's".to_vec())]);
}
