//! What every machine that was read must allow.

use dialect::{DiskFile, RenderOptions};
use machine::Machine;
use std::collections::BTreeSet;

/// Moves the machine to KVM and describes it there: the XML must parse and say the same notes, disks must have
/// places of their own, and cards addresses of their own.
pub fn check(machine: &Machine) {
    let kvm = profile::find("kvm").expect("there is a profile for KVM");
    let adapted = dialect::adapt(machine, kvm).machine;
    let places: BTreeSet<_> = adapted.disks.iter().map(|disk| disk.attachment).collect();
    assert_eq!(places.len(), adapted.disks.len());
    let addresses: BTreeSet<_> =
        adapted.nics.iter().map(|nic| nic.mac.expect("every card has an address")).collect();
    assert_eq!(addresses.len(), adapted.nics.len());

    let disks = adapted.disks.iter().map(|disk| DiskFile {
        id: disk.id.clone(),
        path: format!("/images/{}.qcow2", disk.id).into(),
        format: "qcow2".to_owned(),
        ..DiskFile::default()
    });
    let options = RenderOptions { disks: disks.collect(), ..RenderOptions::default() };
    let domain =
        dialect::libvirt::render(&adapted, kvm, &options).expect("an adapted machine can be described").text;
    let tree = roxmltree::Document::parse(&domain).expect("the domain is XML");
    assert_eq!(tree.descendants().filter(|node| node.has_tag_name("domain")).count(), 1);
    dialect::qemu_script::render(&adapted, kvm, &options).expect("an adapted machine can be run");
}
