//! A machine reduced to what KubeVirt can say of one.

use super::label;
use super::yaml::Value;
use crate::guest_os::{Vocabulary, translate};
use crate::render::{Network, RenderError, RenderOptions};
use crate::text::excerpt;
use crate::unsaid::{Reason, reason};
use machine::{
    Attachment, Bus, Cache, Clock, Disk, Firmware, Loss, Machine, Nic, NicModel, ScsiModel, SerialPort,
    SerialTarget, Severity, Smbios, Tpm, Uefi, Video,
};
use profile::Profile;
use std::collections::{BTreeMap, BTreeSet};

/// The longest notes that are kept, in bytes: all annotations of an object have 256 KiB.
const MAX_NOTES: usize = 128 << 10;
/// The longest serial number that KubeVirt takes.
const MAX_SERIAL: usize = 256;

/// Why KubeVirt does not say everything.
pub(super) const REASONS: [Reason; 23] = [
    reason("max_cpus", Severity::Note, "KubeVirt plugs in whole sockets"),
    reason("memory", Severity::Note, "memory is counted in KiB"),
    reason("max_memory", Severity::Note, "how far memory can grow is the cluster's to decide (LiveUpdate)"),
    reason("numa", Severity::Change, "KubeVirt takes the cells of memory from the node"),
    reason(
        "clock",
        Severity::Change,
        "KubeVirt's clock is UTC or of a named zone: set clock.timezone if the guest needs it",
    ),
    reason(
        "smbios",
        Severity::Change,
        "the cluster's administrator sets what the firmware says of the machine (smbios in KubeVirt's configuration)",
    ),
    reason("notes", Severity::Note, "annotations have 256 KiB"),
    reason("firmware.uefi.nvram", Severity::Change, "the firmware starts with fresh variables"),
    reason("tpm", Severity::Change, "KubeVirt's TPM is of version 2.0"),
    reason("video", Severity::Note, "KubeVirt chooses the graphics card"),
    reason("usb", Severity::Note, "KubeVirt gives a machine the USB controllers that its devices need"),
    reason("serials", Severity::Note, "every machine has one serial console"),
    reason(
        "removables.*",
        Severity::Change,
        "KubeVirt's drives need a volume: upload the image as one and attach it as a cdrom",
    ),
    reason("disk*.attachment", Severity::Note, "KubeVirt numbers the disks of a bus in their order"),
    reason("disk*.serial", Severity::Change, "KubeVirt's serial numbers are ASCII letters, digits and _.+-"),
    reason(
        "disk*.boot_order",
        Severity::Change,
        "no two devices have the same place in KubeVirt's boot order",
    ),
    reason("disk*.cache", Severity::Note, "KubeVirt caches not at all, writes back or writes through"),
    reason("disk*.ssd", Severity::Note, "KubeVirt does not say whether a disk rotates"),
    reason("disk*.independent", Severity::Note, "snapshots include it like every other"),
    reason("nic*.vlan", Severity::Warning, "a NetworkAttachmentDefinition says which VLAN a network is"),
    reason(
        "nic*.boot_order",
        Severity::Change,
        "no two devices have the same place in KubeVirt's boot order",
    ),
    reason("guest_os", Severity::Note, "an annotation has libosinfo's name of the guest system"),
    reason(
        "properties",
        Severity::Note,
        "settings that mean something to the source's hypervisor alone; the manifest keeps them",
    ),
];

/// KubeVirt's name of a bus for disks.
pub(super) fn bus(bus: Bus) -> Option<&'static str> {
    match bus {
        Bus::Scsi(ScsiModel::VirtioScsi) => Some("scsi"),
        Bus::VirtioBlk => Some("virtio"),
        Bus::Sata => Some("sata"),
        Bus::Usb => Some("usb"),
        _ => None,
    }
}

/// KubeVirt's name of a network card.
pub(super) fn model(model: &NicModel) -> Option<&'static str> {
    match model {
        NicModel::Virtio => Some("virtio"),
        NicModel::E1000 => Some("e1000"),
        NicModel::E1000e => Some("e1000e"),
        NicModel::Rtl8139 => Some("rtl8139"),
        NicModel::Pcnet => Some("pcnet"),
        _ => None,
    }
}

/// KubeVirt's name of a way to cache.
pub(super) fn cache(cache: Cache) -> Option<&'static str> {
    match cache {
        Cache::None => Some("none"),
        Cache::WriteBack => Some("writeback"),
        Cache::WriteThrough => Some("writethrough"),
        Cache::DirectSync | Cache::Unsafe => None,
    }
}

/// The machine as KubeVirt can say it; all of it is written.
///
/// # Errors
/// When it is not on the profile's hardware.
pub(super) fn sayable(machine: &Machine, profile: &Profile) -> Result<Machine, RenderError> {
    let mut taken = BTreeSet::new();
    let mut order = |wanted: Option<u32>| wanted.filter(|order| *order > 0 && taken.insert(*order));
    let mut units = BTreeMap::new();
    let mut disks = Vec::new();
    for disk in &machine.disks {
        let at = disk.attachment;
        let known = bus(at.bus).and(profile.disk_hardware(at.bus));
        known.ok_or_else(|| RenderError::bus(disk))?;
        let unit: &mut u32 = units.entry(at.bus).or_default();
        let attachment = Attachment { bus: at.bus, controller: 0, unit: *unit };
        *unit += 1;
        disks.push(Disk {
            attachment,
            boot_order: order(disk.boot_order),
            serial: disk.serial.as_deref().and_then(serial),
            cache: disk.cache.filter(|wanted| cache(*wanted).is_some()),
            ssd: false,
            independent: false,
            raw_device: false,
            ..disk.clone()
        });
    }
    let mut nics = Vec::new();
    for nic in &machine.nics {
        let known = model(&nic.model).and(profile.nic_hardware(&nic.model));
        known.ok_or_else(|| RenderError::card(nic))?;
        nics.push(Nic { boot_order: order(nic.boot_order), vlan: None, ..nic.clone() });
    }
    let per_socket = machine.cpu.cores_per_socket.saturating_mul(machine.cpu.threads_per_core).max(1);
    Ok(Machine {
        name: machine.name.clone(),
        bios_uuid: machine.bios_uuid,
        firmware: firmware(&machine.firmware),
        cpu: machine.cpu,
        max_cpus: machine
            .max_cpus
            .filter(|most| *most > machine.cpu.count() && most.is_multiple_of(per_socket)),
        memory: machine.memory.checked_next_multiple_of(1024).unwrap_or(machine.memory),
        smbios: Smbios {
            serial: machine.smbios.serial.as_deref().and_then(serial),
            asset_tag: machine.smbios.asset_tag.clone().filter(|tag| !tag.contains(char::is_control)),
            ..Smbios::default()
        },
        disks,
        nics,
        serials: vec![SerialPort { target: SerialTarget::Console }],
        tpm: machine.tpm.map(|_| Tpm { version: 2 }),
        video: machine.video.as_ref().map(|_| Video::default()),
        clock: Clock::Utc,
        guest_os: machine
            .guest_os
            .as_ref()
            .and_then(|os| translate(os, Vocabulary::Libosinfo))
            .map(|found| found.os),
        notes: machine.notes.as_ref().map(|notes| within(notes, MAX_NOTES)),
        ..Machine::default()
    })
}

fn firmware(firmware: &Firmware) -> Firmware {
    match firmware {
        Firmware::Bios => Firmware::Bios,
        Firmware::Uefi(uefi) => Firmware::Uefi(Uefi { nvram: None, ..uefi.clone() }),
    }
}

/// A serial number in the characters that KubeVirt takes; none when nothing is left of it.
fn serial(serial: &str) -> Option<String> {
    let is_taken = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-');
    let serial: String = serial.chars().filter(is_taken).take(MAX_SERIAL).collect();
    (!serial.is_empty()).then_some(serial)
}

/// The beginning of a text, of at most so many bytes.
fn within(text: &str, most: usize) -> String {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

/// What a card is connected to.
pub(super) struct Connection {
    /// What the card and its network are called in the machine.
    name: String,
    /// The NetworkAttachmentDefinition; the pod's own network without one.
    definition: Option<String>,
}

impl Connection {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How the card is bound to its network: a pod's address is translated, a network of its own is bridged.
    pub(super) fn binding(&self) -> &'static str {
        if self.definition.is_some() { "bridge" } else { "masquerade" }
    }

    pub(super) fn network(&self) -> Value {
        let network = Value::map().with("name", Value::text(&self.name));
        match &self.definition {
            Some(name) => network.with("multus", Value::map().with("networkName", Value::text(name))),
            None => network.with("pod", Value::map()),
        }
    }
}

/// What the cards are connected to, and a loss for each that nobody sent there.
pub(super) fn connections(
    said: &Machine,
    options: &RenderOptions,
    losses: &mut Vec<Loss>,
) -> Vec<Connection> {
    let mut pod_is_free = true;
    let mut connections = Vec::new();
    for nic in &said.nics {
        let sent = options.network(nic.network.as_deref());
        let definition = match sent {
            Some(Network::Managed(name) | Network::Bridge(name)) => Some(attachment_definition(name)),
            Some(Network::User) | None if std::mem::take(&mut pod_is_free) => None,
            _ => Some(label(nic.network.as_deref().unwrap_or(&nic.id))),
        };
        let is_sent = nic.network.as_ref().is_some_and(|name| options.networks.contains_key(name));
        if !is_sent && (nic.network.is_some() || definition.is_some()) {
            let kept_as = match &definition {
                Some(name) => format!("the NetworkAttachmentDefinition {name:?}"),
                None => "the pod's network".to_owned(),
            };
            let network = excerpt(nic.network.as_deref().unwrap_or("its network"), 60);
            let why = format!("nothing says which network of the cluster's {network:?} is");
            losses.push(Loss::changed(format!("{}.network", nic.id), kept_as, why));
        }
        connections.push(Connection { name: label(&nic.id), definition });
    }
    connections
}

/// The name of a NetworkAttachmentDefinition, with a namespace or without.
fn attachment_definition(name: &str) -> String {
    match name.split_once('/') {
        Some((namespace, name)) => format!("{}/{}", label(namespace), label(name)),
        None => label(name),
    }
}
