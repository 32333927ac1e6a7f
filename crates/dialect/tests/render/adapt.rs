//! The mapping of hardware.

use crate::{VMX, kvm};
use dialect::adapt;
use machine::{Bus, MacAddress, Machine, Nic, NicModel, ScsiModel, SerialTarget, Severity};

fn source() -> Machine {
    dialect::vmx::parse(VMX.as_bytes()).unwrap().machine
}

#[test]
fn disks_keep_their_names_where_a_bus_does() {
    let adapted = adapt(&source(), kvm());
    let places: Vec<_> = adapted
        .machine
        .disks
        .iter()
        .map(|disk| (disk.id.as_str(), disk.attachment.bus, disk.attachment.unit))
        .collect();
    let virtio = Bus::Scsi(ScsiModel::VirtioScsi);
    assert_eq!(places, [("disk1", virtio, 0), ("disk2", virtio, 1), ("disk3", virtio, 2)]);
    let said: Vec<String> = adapted.losses.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|said| {
        said.contains("disk1.attachment → virtio-scsi: it was on VMware paravirtual SCSI; the target's bus")
    }));
    assert!(said.iter().any(|said| {
        said.contains("disk3.attachment → virtio-scsi: it was on NVMe; no bus of the target's keeps")
    }));
    assert_eq!(adapted.machine.removables[0].attachment.bus, Bus::Sata);
}

#[test]
fn addresses_are_kept_or_the_same_every_time() {
    let (first, second) = (adapt(&source(), kvm()), adapt(&source(), kvm()));
    assert_eq!(first, second);
    let macs: Vec<_> = first.machine.nics.iter().map(|nic| nic.mac.unwrap()).collect();
    assert_eq!(macs[0], MacAddress([0, 0x50, 0x56, 1, 2, 3]));
    assert_eq!(macs[1].0[..3], [0x52, 0x54, 0]);
    assert!(first.machine.nics.iter().all(|nic| nic.model == NicModel::Virtio));

    // Another machine, and another card, have others.
    let other = adapt(&Machine { bios_uuid: None, name: "other".to_owned(), ..source() }, kvm());
    assert_ne!(other.machine.nics[1].mac, Some(macs[1]));
}

#[test]
fn an_address_that_no_card_can_have_is_replaced() {
    let nic = |mac| Nic { mac: Some(MacAddress(mac)), ..source().nics[0].clone() };
    let twice = [0, 0x50, 0x56, 1, 2, 3];
    let machine =
        Machine { nics: vec![nic([1, 0, 0x5e, 0, 0, 1]), nic([0; 6]), nic(twice), nic(twice)], ..source() };
    let adapted = adapt(&machine, kvm());
    let macs: std::collections::BTreeSet<_> =
        adapted.machine.nics.iter().map(|nic| nic.mac.unwrap()).collect();
    assert_eq!(macs.len(), 4);
    assert!(macs.iter().all(|mac| mac.0[0] & 1 == 0 && mac.0 != [0; 6]));
    assert_eq!(adapted.machine.nics[2].mac, Some(MacAddress(twice)));
}

#[test]
fn what_the_target_lacks_is_an_objection_with_a_remedy() {
    let mut machine = source();
    machine.cpu.sockets = 5000;
    machine.memory = 1 << 50;
    machine.disks[0].source = None;
    let mut profile = kvm().clone();
    profile.firmware.secure_boot = false;
    let objections = adapt(&machine, &profile).objections;
    let what: Vec<_> = objections.iter().map(|objection| objection.what.as_str()).collect();
    assert_eq!(what, ["firmware", "processors", "memory in GiB", "disk1"]);
    assert!(objections.iter().all(|objection| !objection.remedy.is_empty()));
}

#[test]
fn everything_that_changes_is_said() {
    let adapted = adapt(&source(), kvm());
    let said: Vec<&str> = adapted.losses.iter().map(|loss| loss.what.as_str()).collect();
    for what in
        ["firmware.uefi.nvram", "disk2.independent", "nic1.model", "nic2.model", "nic2.mac", "serials.0"]
    {
        assert!(said.contains(&what), "{what}: {said:?}");
    }
    assert_eq!(adapted.machine.serials[0].target, SerialTarget::Console);

    let mut shared = source();
    shared.disks[0].shared = true;
    let losses = adapt(&shared, kvm()).losses;
    assert!(losses.iter().any(|loss| loss.what == "disk1.shared" && loss.severity == Severity::Warning));
}
