//! The same machine on another hypervisor's virtual hardware: a pure function of the machine and the profile.

use machine::{
    Attachment, Bus, Disk, Firmware, Loss, MacAddress, Machine, Nic, NicModel, Objection, Removable,
    RemovableKind, SerialTarget, Severity,
};
use profile::Profile;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// A machine on a profile's hardware.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapted {
    /// The machine as it will be. Its disks, drives and cards are in the order of the source's, with their `id`s.
    pub machine: Machine,
    /// What becomes something else, or nothing.
    pub losses: Vec<Loss>,
    /// Why the hypervisor cannot run it; empty when it can.
    pub objections: Vec<Objection>,
}

/// Ports of one AHCI controller, as QEMU's ICH9 has them.
const SATA_PORTS: u32 = 6;

/// Maps every device to one that `profile` offers.
///
/// A disk goes where a Linux guest finds it under its old name, if there is such a bus; a CD-ROM drive goes to
/// SATA. A card keeps its address; one without gets an address derived from the machine's UUID or name, so that
/// the same machine always gets the same.
pub fn adapt(source: &Machine, profile: &Profile) -> Adapted {
    let mut adapted = Adapted { machine: source.clone(), losses: Vec::new(), objections: Vec::new() };
    firmware(source, profile, &mut adapted);
    limits(source, profile, &mut adapted.objections);
    disks(source, profile, &mut adapted);
    removables(source, &mut adapted);
    nics(source, profile, &mut adapted);
    serials(source, &mut adapted);
    // SMBIOS has no nil UUID: it means that none is set (section 7.2.1).
    adapted.machine.bios_uuid = source.bios_uuid.filter(|uuid| !uuid.is_nil() && !uuid.is_max());
    adapted
}

fn firmware(source: &Machine, profile: &Profile, adapted: &mut Adapted) {
    let offers = profile.firmware;
    let lacks = |what: &str, remedy: &str| {
        Objection::new("firmware", format!("{} has no {what}", profile.name), remedy)
    };
    match &source.firmware {
        Firmware::Bios if !offers.bios => {
            adapted
                .objections
                .push(lacks("BIOS", "convert the guest to UEFI (GPT and an EFI system partition) first"));
        }
        Firmware::Uefi(_) if !offers.uefi => {
            adapted.objections.push(lacks("UEFI", "make the guest boot from BIOS first"));
        }
        Firmware::Uefi(uefi) if uefi.secure_boot && !offers.secure_boot => {
            adapted.objections.push(lacks("secure boot", "switch secure boot off on the source"));
        }
        Firmware::Uefi(uefi) if uefi.nvram.is_some() => {
            let why = "VMware keeps UEFI variables in a format of its own: the firmware starts with fresh ones, finds \
                       the boot loader by its default path, and own secure-boot keys must be enrolled again";
            adapted.losses.push(Loss::changed("nvram", "fresh UEFI variables", why));
            if let Firmware::Uefi(target) = &mut adapted.machine.firmware {
                target.nvram = None;
            }
        }
        _ => {}
    }
    if source.tpm.is_some() && !offers.tpm {
        adapted.losses.push(Loss::dropped(
            Severity::Warning,
            "tpm",
            format!("{} has no virtual TPM", profile.name),
        ));
        adapted.machine.tpm = None;
    }
}

fn limits(source: &Machine, profile: &Profile, objections: &mut Vec<Objection>) {
    let limits = profile.limits;
    let mut check = |what: &str, has: u64, at_most: u64, remedy: &str| {
        if has > at_most {
            let why = format!("{has}, and {} takes {at_most} at most", profile.name);
            objections.push(Objection::new(what, why, remedy));
        }
    };
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    check(
        "processors",
        u64::from(source.cpu.count()),
        u64::from(limits.cpus),
        "give the machine fewer processors",
    );
    check(
        "memory in GiB",
        source.memory.div_ceil(1 << 30),
        limits.memory_gib,
        "give the machine less memory",
    );
    check("disks", count(source.disks.len()), u64::from(limits.disks), "join or detach disks on the source");
    check(
        "network cards",
        count(source.nics.len()),
        u64::from(limits.nics),
        "remove network cards on the source",
    );
}

/// What a Linux guest calls the disks on a bus.
fn linux_name(bus: Bus) -> &'static str {
    match bus {
        Bus::VirtioBlk => "vd",
        Bus::Nvme => "nvme",
        Bus::Floppy => "fd",
        Bus::Ide | Bus::Sata | Bus::Scsi(_) | Bus::Usb => "sd",
    }
}

fn disks(source: &Machine, profile: &Profile, adapted: &mut Adapted) {
    let mut disks = Vec::new();
    let mut placed: Vec<(Bus, u32)> = Vec::new();
    for disk in &source.disks {
        let name = linux_name(disk.attachment.bus);
        let Some(hardware) = profile.bus_keeping_name(name) else {
            let why = format!("{} has no bus for disks", profile.name);
            adapted.objections.push(Objection::new(&disk.id, why, "choose another target"));
            continue;
        };
        let index = next_place(&mut placed, hardware.bus);
        let attachment = match hardware.bus {
            Bus::Sata => {
                Attachment { bus: Bus::Sata, controller: index / SATA_PORTS, unit: index % SATA_PORTS }
            }
            bus => Attachment { bus, controller: 0, unit: index },
        };
        if hardware.bus != disk.attachment.bus {
            let why = if hardware.linux_name == name {
                format!("the target's bus under which a Linux guest still finds it as {name}X")
            } else {
                format!(
                    "no bus of the target's keeps its name {name}X: the guest's configuration has to follow"
                )
            };
            let what = format!("{} on {}", disk.id, describe(disk.attachment.bus));
            adapted.losses.push(Loss::changed(what, describe(hardware.bus), why));
        }
        disk_traits(disk, adapted);
        disks.push(Disk { attachment, independent: false, shared: false, ..disk.clone() });
    }
    adapted.machine.disks = disks;
}

/// How many disks the bus has already; counts one more.
fn next_place(placed: &mut Vec<(Bus, u32)>, bus: Bus) -> u32 {
    match placed.iter_mut().find(|(other, _)| *other == bus) {
        Some((_, count)) => {
            *count += 1;
            *count - 1
        }
        None => {
            placed.push((bus, 1));
            0
        }
    }
}

fn disk_traits(disk: &Disk, adapted: &mut Adapted) {
    if disk.shared {
        let why =
            "other machines use this disk too: the copy is this machine's own, and a cluster breaks over it";
        adapted.losses.push(Loss::dropped(Severity::Warning, format!("{}: shared", disk.id), why));
    }
    if disk.independent {
        let why = "snapshots of the target include it like every other";
        adapted.losses.push(Loss::dropped(Severity::Note, format!("{}: independent", disk.id), why));
    }
    if disk.source.is_none() && disk.capacity.is_none() {
        let why = "neither a file nor a size is named for it";
        adapted.objections.push(Objection::new(
            &disk.id,
            why,
            "detach the disk on the source, or name its file",
        ));
    }
}

fn describe(bus: Bus) -> String {
    match bus {
        Bus::Ide => "IDE".to_owned(),
        Bus::Sata => "SATA".to_owned(),
        Bus::Nvme => "NVMe".to_owned(),
        Bus::Usb => "USB".to_owned(),
        Bus::Floppy => "floppy".to_owned(),
        Bus::VirtioBlk => "virtio-blk".to_owned(),
        Bus::Scsi(model) => match model {
            machine::ScsiModel::BusLogic => "BusLogic SCSI".to_owned(),
            machine::ScsiModel::LsiLogic => "LSI Logic SCSI".to_owned(),
            machine::ScsiModel::LsiSas => "LSI Logic SAS".to_owned(),
            machine::ScsiModel::Pvscsi => "VMware paravirtual SCSI".to_owned(),
            machine::ScsiModel::VirtioScsi => "virtio-scsi".to_owned(),
        },
    }
}

fn removables(source: &Machine, adapted: &mut Adapted) {
    let sata_disks = adapted.machine.disks.iter().filter(|disk| disk.attachment.bus == Bus::Sata).count();
    let mut port = u32::try_from(sata_disks).unwrap_or(u32::MAX / 2);
    let mut floppies = 0;
    let mut drives = Vec::new();
    for drive in &source.removables {
        let attachment = match drive.kind {
            RemovableKind::Cdrom => {
                let place =
                    Attachment { bus: Bus::Sata, controller: port / SATA_PORTS, unit: port % SATA_PORTS };
                port += 1;
                place
            }
            RemovableKind::Floppy => {
                if floppies == 2 {
                    let why = "a PC has two floppy drives at most";
                    adapted.losses.push(Loss::dropped(Severity::Warning, "floppy drive", why));
                    continue;
                }
                floppies += 1;
                Attachment { bus: Bus::Floppy, controller: 0, unit: floppies - 1 }
            }
        };
        drives.push(Removable { attachment, ..drive.clone() });
    }
    adapted.machine.removables = drives;
}

fn nics(source: &Machine, profile: &Profile, adapted: &mut Adapted) {
    let mut used = BTreeSet::new();
    let mut nics = Vec::new();
    for (index, nic) in source.nics.iter().enumerate() {
        let Some(hardware) = profile.nic.first() else {
            let why = format!("{} has no network cards", profile.name);
            adapted.objections.push(Objection::new(&nic.id, why, "choose another target"));
            continue;
        };
        if hardware.model != nic.model {
            let why = "the target's network card; the guest needs its driver";
            let what = format!("{}: {}", nic.id, model_name(&nic.model));
            adapted.losses.push(Loss::changed(what, model_name(&hardware.model), why));
        }
        let mac = nic.mac.filter(|mac| is_station(*mac) && !used.contains(mac));
        let mac = mac.unwrap_or_else(|| {
            let derived = derived_mac(source, index, &used);
            let why = match nic.mac {
                None => "the description leaves the address to the hypervisor; this one is derived from the machine",
                Some(_) => "the described address is no single card's, or another card has it already",
            };
            adapted.losses.push(Loss::changed(format!("{}: address", nic.id), derived.to_string(), why));
            derived
        });
        used.insert(mac);
        nics.push(Nic { model: hardware.model.clone(), mac: Some(mac), ..nic.clone() });
    }
    adapted.machine.nics = nics;
}

/// Whether an address is one that a card can have: not a group's (IEEE 802, the lowest bit of the first byte), not nil.
fn is_station(mac: MacAddress) -> bool {
    let [first, ..] = mac.0;
    first & 1 == 0 && mac.0 != [0; 6]
}

/// An address of QEMU's range (52:54:00) from a hash of the machine and the card's place.
fn derived_mac(source: &Machine, index: usize, used: &BTreeSet<MacAddress>) -> MacAddress {
    let identity = source.bios_uuid.map_or_else(|| source.name.clone(), |uuid| uuid.to_string());
    let mut attempt = 0_u32;
    loop {
        let mut hash = Sha256::new();
        hash.update(b"anyvisor card\0");
        hash.update(identity.as_bytes());
        hash.update([0]);
        hash.update(index.to_le_bytes());
        hash.update(attempt.to_le_bytes());
        let [a, b, c, ..] = <[u8; 32]>::from(hash.finalize());
        let mac = MacAddress([0x52, 0x54, 0x00, a, b, c]);
        // The cards of one machine are far fewer than the attempts.
        if !used.contains(&mac) || attempt > 1000 {
            return mac;
        }
        attempt += 1;
    }
}

/// A card's model as people write it.
pub(crate) fn model_name(model: &NicModel) -> String {
    match model {
        NicModel::Pcnet => "PCnet32".to_owned(),
        NicModel::E1000 => "e1000".to_owned(),
        NicModel::E1000e => "e1000e".to_owned(),
        NicModel::Vmxnet2 => "vmxnet2".to_owned(),
        NicModel::Vmxnet3 => "vmxnet3".to_owned(),
        NicModel::Virtio => "virtio".to_owned(),
        NicModel::Rtl8139 => "rtl8139".to_owned(),
        NicModel::Tulip => "tulip".to_owned(),
        NicModel::Other(name) => crate::text::excerpt(name, 40),
    }
}

/// The most serial ports of a PC.
const SERIAL_PORTS: usize = 4;

fn serials(source: &Machine, adapted: &mut Adapted) {
    for (index, serial) in source.serials.iter().enumerate() {
        let what = format!("serial{index}");
        if index >= SERIAL_PORTS {
            adapted.losses.push(Loss::dropped(Severity::Warning, what, "a PC has four serial ports at most"));
            continue;
        }
        let was = match &serial.target {
            SerialTarget::Console => continue,
            SerialTarget::File(_) => "a file",
            SerialTarget::Pipe(_) => "a pipe",
            SerialTarget::Network(_) => "a network address",
            SerialTarget::Device(_) => "a port of the host's",
        };
        let why = format!("it led to {was} of the source's, which does not move");
        adapted.losses.push(Loss::changed(what, "a console", why));
    }
    adapted.machine.serials.truncate(SERIAL_PORTS);
    for serial in &mut adapted.machine.serials {
        serial.target = SerialTarget::Console;
    }
}
