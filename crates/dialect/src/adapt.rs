//! The same machine on another hypervisor's virtual hardware: a pure function of the machine and the profile.

use machine::{
    Attachment, Bus, Disk, Firmware, Loss, MacAddress, Machine, Nic, NicModel, Objection, Removable,
    RemovableKind, SerialTarget, Severity,
};
use profile::{CdromHardware, DiskHardware, FirmwareKind, Place, Profile};
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

/// Maps every device to one that `profile` offers.
///
/// A disk goes where a Linux guest finds it under its old name, if there is such a bus; a CD-ROM drive goes to
/// SATA. A card keeps its address; one without gets an address derived from the machine's UUID or name, so that
/// the same machine always gets the same.
pub fn adapt(source: &Machine, profile: &Profile) -> Adapted {
    let mut adapted = Adapted { machine: source.clone(), losses: Vec::new(), objections: Vec::new() };
    firmware(source, profile, &mut adapted);
    limits(source, profile, &mut adapted.objections);
    let mut places = Places::default();
    disks(source, profile, &mut places, &mut adapted);
    removables(source, profile, &mut places, &mut adapted);
    nics(source, profile, &mut adapted);
    serials(source, profile, &mut adapted);
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
            let why = "every hypervisor keeps UEFI variables in a format of its own: the firmware starts with fresh ones, finds \
                       the boot loader by its default path, and own secure-boot keys must be enrolled again";
            adapted.losses.push(Loss::changed("firmware.uefi.nvram", "fresh UEFI variables", why));
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

fn disks(source: &Machine, profile: &Profile, places: &mut Places, adapted: &mut Adapted) {
    let firmware = FirmwareKind::from(&source.firmware);
    let boot = boot_disk(source);
    let mut disks = Vec::new();
    for (index, disk) in source.disks.iter().enumerate() {
        let offered: Vec<&DiskHardware> =
            profile.disks_for(firmware).filter(|hardware| hardware.boots || index != boot).collect();
        let Some((hardware, attachment)) = places.for_disk(disk, &offered, profile.keeps_hardware) else {
            let why = format!("{} has no place for so many disks", profile.name);
            let remedy = "join or detach disks on the source, or choose another target";
            adapted.objections.push(Objection::new(&disk.id, why, remedy));
            continue;
        };
        if hardware.bus != disk.attachment.bus {
            let name = disk.attachment.bus.linux_name();
            let why = if hardware.linux_name == name {
                format!("the target's bus under which a Linux guest still finds it as {name}X")
            } else {
                format!(
                    "no bus of the target's keeps its name {name}X: the guest's configuration has to follow"
                )
            };
            let kept_as = describe(hardware.bus);
            let why = format!("it was on {}; {why}", describe(disk.attachment.bus));
            adapted.losses.push(Loss::changed(format!("{}.attachment", disk.id), kept_as, why));
        } else if attachment != disk.attachment {
            let why = "another place on the same bus";
            let kept_as = format!("{}:{}", attachment.controller, attachment.unit);
            adapted.losses.push(Loss::changed(format!("{}.attachment", disk.id), kept_as, why));
        }
        disk_traits(disk, profile, adapted);
        disks.push(Disk { attachment, independent: false, shared: false, raw_device: false, ..disk.clone() });
    }
    adapted.machine.disks = disks;
}

/// The disk from which the firmware starts, by its place in the list: the first in the boot order, else the first.
fn boot_disk(source: &Machine) -> usize {
    let order = |(_, disk): &(usize, &Disk)| disk.boot_order.unwrap_or(u32::MAX);
    source.disks.iter().enumerate().min_by_key(order).map_or(0, |(index, _)| index)
}

/// Which places for drives are taken.
#[derive(Default)]
struct Places {
    taken: BTreeSet<Attachment>,
}

impl Places {
    /// Takes the place where it is now, or the first free one.
    fn take(&mut self, bus: Bus, place: Place, now: Attachment) -> Option<Attachment> {
        let stays = now.bus == bus && place.holds(now) && !self.taken.contains(&now);
        let found = if stays { now } else { place.all(bus).find(|at| !self.taken.contains(at))? };
        self.taken.insert(found);
        Some(found)
    }

    /// A bus and a place for a disk: the bus that it is on where that is kept, else one under which a Linux guest finds it
    /// by the same name, else any.
    fn for_disk<'a>(
        &mut self,
        disk: &Disk,
        offered: &[&'a DiskHardware],
        keeps: bool,
    ) -> Option<(&'a DiskHardware, Attachment)> {
        let name = disk.attachment.bus.linux_name();
        let same = offered.iter().filter(|hardware| keeps && hardware.bus == disk.attachment.bus);
        let named = offered.iter().filter(|hardware| hardware.linux_name == name);
        same.chain(named)
            .chain(offered)
            .find_map(|hardware| Some((*hardware, self.take(hardware.bus, hardware.place, disk.attachment)?)))
    }
}

fn disk_traits(disk: &Disk, profile: &Profile, adapted: &mut Adapted) {
    if disk.raw_device {
        let why = "it was a device of the source's host: its content is copied into an image";
        adapted.losses.push(Loss::changed(format!("{}.raw_device", disk.id), "a virtual disk", why));
    }
    if let (Some(capacity), Some(limit)) = (disk.capacity, profile.limits.disk_gib)
        && capacity.div_ceil(1 << 30) > limit
    {
        let why = format!(
            "it has {} GiB, and {} takes {limit} GiB at most",
            capacity.div_ceil(1 << 30),
            profile.name
        );
        let remedy = "make the disk smaller on the source, or choose another target";
        adapted.objections.push(Objection::new(&disk.id, why, remedy));
    }
    if disk.shared {
        let why =
            "other machines use this disk too: the copy is this machine's own, and a cluster breaks over it";
        adapted.losses.push(Loss::dropped(Severity::Warning, format!("{}.shared", disk.id), why));
    }
    if disk.independent {
        let why = "snapshots of the target include it like every other";
        adapted.losses.push(Loss::dropped(Severity::Note, format!("{}.independent", disk.id), why));
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
        Bus::Xen => "Xen's block device".to_owned(),
        Bus::Scsi(model) => match model {
            machine::ScsiModel::BusLogic => "BusLogic SCSI".to_owned(),
            machine::ScsiModel::LsiLogic => "LSI Logic SCSI".to_owned(),
            machine::ScsiModel::LsiSas => "LSI Logic SAS".to_owned(),
            machine::ScsiModel::Pvscsi => "VMware paravirtual SCSI".to_owned(),
            machine::ScsiModel::VirtioScsi => "virtio-scsi".to_owned(),
            machine::ScsiModel::HyperV => "Hyper-V's SCSI".to_owned(),
        },
    }
}

fn removables(source: &Machine, profile: &Profile, places: &mut Places, adapted: &mut Adapted) {
    let firmware = FirmwareKind::from(&source.firmware);
    let mut floppies = 0;
    let mut drives = Vec::new();
    for (index, drive) in source.removables.iter().enumerate() {
        let what = format!("removables.{index}");
        let attachment = match drive.kind {
            RemovableKind::Cdrom => {
                let mut offered: Vec<&CdromHardware> = profile.cdroms_for(firmware).collect();
                offered
                    .sort_by_key(|hardware| !profile.keeps_hardware || hardware.bus != drive.attachment.bus);
                let place = offered
                    .iter()
                    .find_map(|hardware| places.take(hardware.bus, hardware.place, drive.attachment));
                if place.is_none() {
                    let why = format!("{} has no place for so many CD-ROM drives", profile.name);
                    adapted.losses.push(Loss::dropped(Severity::Warning, what.clone(), why));
                }
                place
            }
            RemovableKind::Floppy if floppies == profile.limits.floppies => {
                let why = format!("{} has {} floppy drives at most", profile.name, profile.limits.floppies);
                adapted.losses.push(Loss::dropped(Severity::Warning, what.clone(), why));
                None
            }
            RemovableKind::Floppy => {
                floppies += 1;
                Some(Attachment { bus: Bus::Floppy, controller: 0, unit: floppies - 1 })
            }
        };
        if let Some(attachment) = attachment {
            if attachment != drive.attachment {
                let kept_as =
                    format!("{} {}:{}", describe(attachment.bus), attachment.controller, attachment.unit);
                let why = "the place that the target has for it";
                let loss = Loss {
                    severity: Severity::Note,
                    ..Loss::changed(format!("{what}.attachment"), kept_as, why)
                };
                adapted.losses.push(loss);
            }
            drives.push(Removable { attachment, ..drive.clone() });
        }
    }
    adapted.machine.removables = drives;
}

fn nics(source: &Machine, profile: &Profile, adapted: &mut Adapted) {
    let mut used = BTreeSet::new();
    let mut nics = Vec::new();
    for (index, nic) in source.nics.iter().enumerate() {
        let firmware = FirmwareKind::from(&source.firmware);
        let kept = profile.nics_for(firmware).find(|card| profile.keeps_hardware && card.model == nic.model);
        let Some(hardware) = kept.or_else(|| profile.nics_for(firmware).next()) else {
            let why = format!("{} has no network cards", profile.name);
            adapted.objections.push(Objection::new(&nic.id, why, "choose another target"));
            continue;
        };
        if hardware.model != nic.model {
            let why = format!("it was {}; the guest needs the new card's driver", model_name(&nic.model));
            adapted.losses.push(Loss::changed(format!("{}.model", nic.id), model_name(&hardware.model), why));
        }
        let mac = nic.mac.filter(|mac| is_station(*mac) && !used.contains(mac));
        let mac = mac.unwrap_or_else(|| {
            let derived = derived_mac(source, profile, index, &used);
            let why = match nic.mac {
                None => "the description leaves the address to the hypervisor; this one is derived from the machine",
                Some(_) => "the described address is no single card's, or another card has it already",
            };
            adapted.losses.push(Loss::changed(format!("{}.mac", nic.id), derived.to_string(), why));
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

/// An address of the target's range from a hash of the machine and the card's place.
fn derived_mac(source: &Machine, profile: &Profile, index: usize, used: &BTreeSet<MacAddress>) -> MacAddress {
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
        let mac = profile.mac([a, b, c]);
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
        NicModel::HyperV => "Hyper-V's synthetic card".to_owned(),
        NicModel::Xen => "Xen's paravirtual card".to_owned(),
        NicModel::Other(name) => crate::text::excerpt(name, 40),
    }
}

fn serials(source: &Machine, profile: &Profile, adapted: &mut Adapted) {
    let ports = usize::try_from(profile.limits.serial_ports).unwrap_or(usize::MAX);
    for (index, serial) in source.serials.iter().enumerate() {
        let what = format!("serials.{index}");
        if index >= ports {
            let why = format!("{} has {ports} serial ports at most", profile.name);
            adapted.losses.push(Loss::dropped(Severity::Warning, what, why));
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
    adapted.machine.serials.truncate(ports);
    for serial in &mut adapted.machine.serials {
        serial.target = SerialTarget::Console;
    }
}
