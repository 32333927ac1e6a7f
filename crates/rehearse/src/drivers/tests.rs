use super::*;
use guest::fs::memory::MemoryTree;
use guest::initramfs::cpio::{self, Entry};
use machine::{Attachment, Bus, Disk, Nic, NicModel, ScsiModel};
use serde_json::json;

const ALIASES: &str = "alias acpi*:VMBUS:* hv_vmbus\nalias vmbus:d96361baa104294db60572e2ffb1dc7f hv_storvsc\n\
    alias vmbus:635161f83edfc546913ff2d2f965ed0e hv_netvsc\nalias scsi:t-0x00* sd_mod\n";
const DEPENDENCIES: &str = "kernel/hv_vmbus.ko:\nkernel/hv_storvsc.ko: kernel/fc.ko kernel/hv_vmbus.ko\nkernel/fc.ko:\n\
    kernel/hv_netvsc.ko: kernel/hv_vmbus.ko\n";

/// A guest with one kernel, whose initramfs holds `modules` and the aliases of `aliases`.
fn guest(modules: &[&str], aliases: &str) -> (MemoryTree, Inspection) {
    let mut entries: Vec<Entry> = modules
        .iter()
        .map(|module| Entry::file(format!("lib/modules/6.1/kernel/{module}.ko"), "x"))
        .collect();
    entries.push(Entry::file("lib/modules/6.1/modules.alias", aliases));
    let mut tree = MemoryTree::single();
    tree.put("/boot/initrd.img-6.1", cpio::write(&entries)).unwrap();
    tree.put("/lib/modules/6.1/modules.dep", DEPENDENCIES).unwrap();
    tree.put("/lib/modules/6.1/modules.alias", ALIASES).unwrap();
    tree.put("/lib/modules/6.1/modules.builtin", "kernel/sd_mod.ko\n").unwrap();
    tree.put("/lib/modules/6.1/modules.builtin.modinfo", "sd_mod.alias=scsi:t-0x00*\0sd_mod.license=GPL\0")
        .unwrap();
    let initramfs = json!({
        "path": "/boot/initrd.img-6.1", "size": 1, "flavour": "initramfs-tools", "drivers": [], "modules": 0,
    });
    let kernel = json!({
        "version": "6.1", "image": "/boot/vmlinuz-6.1", "modules": "/lib/modules/6.1", "drivers": {}, "initramfs": initramfs,
    });
    let older = json!({
        "version": "5.10", "image": "/boot/vmlinuz-5.10", "modules": null, "drivers": {}, "initramfs": null,
    });
    let inspection = json!({
        "os": guest::inspect::Os::default(), "hostname": null, "mounts": [], "volumes": [], "kernels": [kernel, older],
        "boot": null, "fstab": [], "resume": null, "interfaces": [], "services": [], "selinux": null, "init": null,
        "free": [], "notes": [], "objections": [],
    });
    (tree, serde_json::from_value(inspection).unwrap())
}

fn machine() -> Machine {
    let attachment = Attachment { bus: Bus::Scsi(ScsiModel::HyperV), controller: 0, unit: 0 };
    Machine {
        disks: vec![Disk { id: "disk1".into(), attachment, ..Disk::default() }],
        nics: vec![Nic { id: "nic1".into(), model: NicModel::HyperV, ..Nic::default() }],
        ..Machine::default()
    }
}

fn checked(modules: &[&str], aliases: &str) -> DriverCheck {
    let (mut tree, inspection) = guest(modules, aliases);
    check(&mut tree, &inspection, &machine(), profile::find("hyperv").unwrap()).unwrap().unwrap()
}

#[test]
fn every_driver_is_found_by_its_alias() {
    let check = checked(&["hv_vmbus", "hv_storvsc", "fc"], ALIASES);
    assert!(check.passes(), "{check:#?}");
    assert_eq!((check.kernel.as_str(), check.chosen_by), ("6.1", ChosenBy::Newest));
    assert_eq!(check.initramfs.as_deref(), Some("/boot/initrd.img-6.1"));
    let [disk, nic] = check.devices.as_slice() else { panic!("{check:#?}") };
    let places: Vec<_> = disk.drivers.iter().map(|driver| driver.place).collect();
    assert_eq!(places, [DriverPlace::Initramfs, DriverPlace::Initramfs, DriverPlace::Builtin]);
    assert_eq!(disk.drivers[1].alias.as_deref(), Some("vmbus:d96361baa104294db60572e2ffb1dc7f"));
    assert_eq!(disk.drivers[2].alias.as_deref(), Some("scsi:t-0x00*"));
    assert_eq!(nic.drivers[1].place, DriverPlace::Modules);
    assert_eq!(check.notes, ["the kernel 5.10 would not start: no hv_storvsc, hv_vmbus, sd_mod"]);
}

#[test]
fn a_driver_that_is_not_in_the_initramfs_is_a_problem() {
    let check = checked(&["hv_vmbus"], ALIASES);
    let problems: Vec<_> = check.problems().collect();
    assert_eq!(problems, ["disk1: hv_storvsc is not in /boot/initrd.img-6.1"]);
    assert_eq!(check.devices[0].drivers[1].place, DriverPlace::Modules);
}

#[test]
fn a_driver_without_what_it_needs_is_a_problem() {
    let check = checked(&["hv_vmbus", "hv_storvsc"], ALIASES);
    let problems: Vec<_> = check.problems().collect();
    assert_eq!(problems, ["disk1: hv_storvsc needs fc, which is not in /boot/initrd.img-6.1"]);
}

#[test]
fn an_alias_of_another_device_is_a_problem_unless_a_list_names_the_driver() {
    let others = ALIASES.replace("d96361ba", "32264132");
    let check = checked(&["hv_vmbus", "hv_storvsc", "fc"], &others);
    let problems: Vec<_> = check.problems().collect();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("no alias there stands for vmbus:d96361ba"), "{problems:?}");
}

#[test]
fn a_damaged_initramfs_is_a_problem_and_no_error() {
    let (mut tree, inspection) = guest(&[], ALIASES);
    tree.put("/boot/initrd.img-6.1", "neither an archive nor compressed").unwrap();
    let check = check(&mut tree, &inspection, &machine(), profile::find("hyperv").unwrap()).unwrap().unwrap();
    assert!(check.problems().all(|problem| problem.contains("/boot/initrd.img-6.1: ")), "{check:#?}");
    assert!(!check.passes());
}
