//! What every machine that was read must allow.

use dialect::{Dialect, DiskFile, RenderOptions};
use machine::{Machine, differences};
use profile::Profile;
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

/// Writes the machine in a dialect for a hypervisor and reads it again: what differs is told by a loss. What a disk's file
/// is, comes from the options; what a description says of itself beside, is no loss.
#[allow(dead_code)]
pub fn there_and_back(machine: &Machine, dialect: &Dialect, profile: &Profile) {
    let (Some(render), Some(parse)) = (dialect.render, dialect.parse) else { return };
    let adapted = dialect::adapt(machine, profile);
    if !adapted.objections.is_empty() {
        return;
    }
    let mut machine = adapted.machine;
    let disks = machine.disks.iter().map(|disk| DiskFile {
        id: disk.id.clone(),
        path: format!("{}.vmdk", disk.id).into(),
        format: "vmdk".to_owned(),
        capacity: 1 << 20,
        ..DiskFile::default()
    });
    let options = RenderOptions { disks: disks.collect(), ..RenderOptions::default() };
    let rendered = render(&machine, profile, &options).expect("an adapted machine can be described");
    let mut read = parse(rendered.text.as_bytes()).expect("what is written is read").machine;
    for (disk, was) in read.disks.iter_mut().zip(&machine.disks) {
        disk.source.clone_from(&was.source);
        disk.format.clone_from(&was.format);
        disk.capacity = was.capacity;
    }
    read.properties.retain(|property| machine.properties.contains(property));
    machine.properties.sort();
    read.properties.sort();
    for difference in differences(&machine, &read) {
        assert!(rendered.losses.iter().any(|loss| difference.is_told_by(loss)), "{difference:?}");
    }
}
