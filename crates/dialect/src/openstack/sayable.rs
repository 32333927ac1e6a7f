//! A machine reduced to what OpenStack can say of one.

use crate::guest_os::{Vocabulary, is_windows, translate};
use crate::render::{RenderError, RenderOptions};
use crate::unsaid::{Reason, reason};
use machine::{
    Attachment, Bus, Clock, Disk, Firmware, Machine, Nic, NicModel, ScsiModel, SerialPort, SerialTarget,
    Severity, Tpm, Uefi, Video,
};
use profile::Profile;
use std::collections::BTreeMap;

const MIB: u64 = 1 << 20;
/// The longest name and the longest description, in characters.
const MAX_TEXT: usize = 255;

/// Why OpenStack does not say everything.
pub(super) const REASONS: [Reason; 28] = [
    reason("guest_os", Severity::Note, "the images have libosinfo's name of the guest system"),
    reason(
        "name",
        Severity::Note,
        "OpenStack's names are of 255 printable characters, with no spaces around them",
    ),
    reason("notes", Severity::Note, "OpenStack's descriptions are of 255 printable characters"),
    reason(
        "bios_uuid",
        Severity::Change,
        "Nova gives every server an identifier of its own: Windows may want to be activated again, and cloud-init sees a \
         new machine",
    ),
    reason("smbios", Severity::Change, "Nova says that the machine is OpenStack's"),
    reason("max_cpus", Severity::Note, "a server grows by another flavor"),
    reason("max_memory", Severity::Note, "a server grows by another flavor"),
    reason("memory", Severity::Note, "a flavor counts memory in MiB"),
    reason("numa", Severity::Change, "a flavor says which cells of memory a server has (hw:numa_nodes)"),
    reason("clock", Severity::Change, "Nova gives Windows local time, and every other system UTC"),
    reason("firmware.uefi.nvram", Severity::Change, "the firmware starts with fresh variables"),
    reason("tpm", Severity::Change, "OpenStack has TPMs of version 1.2 and 2.0"),
    reason("video", Severity::Note, "Nova has its own graphics cards, and a flavor limits their memory"),
    reason("usb", Severity::Note, "Nova gives a server the USB controllers that its devices need"),
    reason("serials", Severity::Note, "every server has one serial console"),
    reason(
        "removables.*",
        Severity::Change,
        "OpenStack's drives hold volumes: upload the image and attach it as one",
    ),
    reason("disk*.attachment", Severity::Note, "Nova numbers the disks of a bus in their order"),
    reason("disk*.serial", Severity::Change, "the serial number is the identifier of the volume"),
    reason(
        "disk*.boot_order",
        Severity::Note,
        "OpenStack's boot order has every disk that has a place in it, from 0",
    ),
    reason("disk*.cache", Severity::Note, "how the host caches is the cloud's to decide"),
    reason("disk*.ssd", Severity::Note, "OpenStack does not say whether a disk rotates"),
    reason("disk*.read_only", Severity::Warning, "the volume can be written: set it to read-only by hand"),
    reason("disk*.independent", Severity::Note, "snapshots include it like every other"),
    reason("disk*.shared", Severity::Warning, "a volume is shared by its type (multiattach)"),
    reason("nic*.model", Severity::Change, "all cards of a server are of the same model"),
    reason("nic*.vlan", Severity::Warning, "the network says which VLAN it is"),
    reason("nic*.boot_order", Severity::Change, "Nova starts servers from disks"),
    reason(
        "properties",
        Severity::Note,
        "settings that mean something to the source's hypervisor alone; the manifest keeps them",
    ),
];

/// Glance's names of the bus for disks and of the model of its controller.
pub(super) fn bus(bus: Bus) -> Option<(&'static str, Option<&'static str>)> {
    match bus {
        Bus::Scsi(ScsiModel::VirtioScsi) => Some(("scsi", Some("virtio-scsi"))),
        Bus::VirtioBlk => Some(("virtio", None)),
        Bus::Sata => Some(("sata", None)),
        Bus::Ide => Some(("ide", None)),
        Bus::Usb => Some(("usb", None)),
        _ => None,
    }
}

/// Glance's name of a network card.
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

/// Glance's graphics cards for x86.
const GRAPHICS: [&str; 4] = ["vga", "virtio", "qxl", "bochs"];

/// The machine as OpenStack can say it; all of it is written.
///
/// # Errors
/// When it is not on the profile's hardware.
pub(super) fn sayable(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Machine, RenderError> {
    let wanted = options.name.as_deref();
    Ok(Machine {
        name: match plain(wanted.unwrap_or(&machine.name)) {
            name if name.is_empty() => "machine".to_owned(),
            name => name,
        },
        firmware: match &machine.firmware {
            Firmware::Bios => Firmware::Bios,
            Firmware::Uefi(uefi) => Firmware::Uefi(Uefi { nvram: None, ..uefi.clone() }),
        },
        cpu: machine.cpu,
        memory: machine.memory.checked_next_multiple_of(MIB).unwrap_or(machine.memory),
        disks: disks(machine, profile)?,
        nics: nics(machine, profile)?,
        serials: vec![SerialPort { target: SerialTarget::Console }],
        tpm: machine.tpm.map(|tpm| Tpm { version: if tpm.version == 1 { 1 } else { 2 } }),
        video: machine.video.as_ref().map(|video| Video { model: graphics(video), memory: None }),
        clock: if is_windows(machine) { Clock::LocalTime } else { Clock::Utc },
        guest_os: machine
            .guest_os
            .as_ref()
            .and_then(|os| translate(os, Vocabulary::Libosinfo))
            .map(|found| found.os),
        notes: machine.notes.as_deref().map(plain).filter(|notes| !notes.is_empty()),
        ..Machine::default()
    })
}

fn graphics(video: &Video) -> Option<String> {
    let wanted = video.model.as_deref()?;
    GRAPHICS.iter().find(|known| known.eq_ignore_ascii_case(wanted)).map(|known| (*known).to_owned())
}

/// Text as Nova takes it: printable, without spaces around it.
fn plain(text: &str) -> String {
    let printable = |c: char| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c };
    let text: String = text.trim().chars().take(MAX_TEXT).map(printable).collect();
    text.trim().to_owned()
}

fn disks(machine: &Machine, profile: &Profile) -> Result<Vec<Disk>, RenderError> {
    let mut order: Vec<(u32, usize)> = machine
        .disks
        .iter()
        .enumerate()
        .filter_map(|(index, disk)| Some((disk.boot_order?, index)))
        .collect();
    order.sort_unstable();
    // A server without a disk to start from is none.
    if order.is_empty() && !machine.disks.is_empty() {
        order.push((1, 0));
    }
    let mut units = BTreeMap::new();
    let mut disks = Vec::new();
    for (index, disk) in machine.disks.iter().enumerate() {
        let at = disk.attachment;
        let known = bus(at.bus).and(profile.disk_hardware(at.bus));
        known.ok_or_else(|| RenderError::bus(disk))?;
        let unit: &mut u32 = units.entry(at.bus).or_default();
        let attachment = Attachment { bus: at.bus, controller: 0, unit: *unit };
        *unit += 1;
        let place = order.iter().zip(1..).find(|((_, this), _)| *this == index);
        disks.push(Disk {
            id: disk.id.clone(),
            attachment,
            boot_order: place.map(|(_, place)| place),
            source: disk.source.clone(),
            format: disk.format.clone(),
            capacity: disk.capacity,
            ..Disk::default()
        });
    }
    Ok(disks)
}

fn nics(machine: &Machine, profile: &Profile) -> Result<Vec<Nic>, RenderError> {
    let mut nics: Vec<Nic> = Vec::new();
    for nic in &machine.nics {
        let known = model(&nic.model).and(profile.nic_hardware(&nic.model));
        known.ok_or_else(|| RenderError::card(nic))?;
        let model = nics.first().map_or_else(|| nic.model.clone(), |first| first.model.clone());
        nics.push(Nic { model, vlan: None, boot_order: None, ..nic.clone() });
    }
    Ok(nics)
}
