//! Storage controllers and what is attached to them.

use super::document::{Settings, child, children, flag, uuid};
use super::media::{Media, Medium};
use super::names::{Controller, FORMATS};
use crate::text::excerpt;
use machine::{Attachment, Bus, Cache, Disk, Loss, Machine, Property, Removable, RemovableKind, Severity};
use roxmltree::Node;
use std::collections::BTreeMap;

/// Reads the controllers. Which of its kind each is follows from the file's order.
pub(super) fn read(
    settings: &Settings<'_>,
    hardware: Node,
    media: &Media,
    machine: &mut Machine,
    losses: &mut Vec<Loss>,
) {
    let mut reader = Reader { media, machine, losses, counts: BTreeMap::new() };
    // Settings before 1.17 have the controllers beside the hardware.
    let parents = [child(hardware, "StorageControllers"), child(settings.machine, "StorageControllers")];
    for controller in parents.into_iter().flatten().flat_map(|list| children(list, "StorageController")) {
        reader.controller(controller);
    }
}

struct Reader<'a> {
    media: &'a Media,
    machine: &'a mut Machine,
    losses: &'a mut Vec<Loss>,
    /// How many controllers of each bus there were.
    counts: BTreeMap<Bus, u32>,
}

/// An attached device, as its element says.
struct Attached<'a> {
    node: Node<'a, 'a>,
    /// What it is called in losses.
    what: String,
    at: Attachment,
    cache: Option<Cache>,
}

impl Reader<'_> {
    fn controller(&mut self, node: Node) {
        let name = excerpt(node.attribute("name").unwrap_or_default(), 60);
        let kind = node.attribute("type").unwrap_or_default();
        let Some(controller) = Controller::named(kind) else {
            let why = format!(
                "{:?} is no controller that is known: what hangs on it is left out",
                excerpt(kind, 40)
            );
            return self.losses.push(Loss::dropped(
                Severity::Warning,
                format!("StorageController[{name}]"),
                why,
            ));
        };
        if !controller.is_usual() {
            let key = format!("Hardware/StorageControllers/StorageController[{name}]/@type");
            let value = kind.to_owned();
            self.machine.properties.push(Property { dialect: "vbox".to_owned(), key, value });
        }
        let count = self.counts.entry(controller.bus).or_default();
        let number = *count;
        *count += 1;
        let cache = host_cache(node, controller);
        for device in children(node, "AttachedDevice") {
            let place = |attribute: &str| {
                device.attribute(attribute).and_then(|text| text.trim().parse::<u32>().ok())
            };
            let (port, unit) = (place("port").unwrap_or(0), place("device").unwrap_or(0));
            let what = format!("StorageController[{name}]/AttachedDevice[{port}:{unit}]");
            let at = attachment(controller.bus, number, port, unit);
            self.device(&Attached { node: device, what, at, cache });
        }
    }

    fn device(&mut self, device: &Attached<'_>) {
        match device.node.attribute("type").unwrap_or("HardDisk") {
            "HardDisk" => self.disk(device),
            "DVD" => self.drive(device, RemovableKind::Cdrom),
            "Floppy" => self.drive(device, RemovableKind::Floppy),
            other => {
                let why = format!("{:?} is no device that is known", excerpt(other, 40));
                self.losses.push(Loss::dropped(Severity::Warning, &device.what, why));
            }
        }
    }

    /// The medium in a device; a loss when the file does not register it.
    fn medium(&mut self, device: &Attached<'_>) -> Option<Medium> {
        let image = child(device.node, "Image")?;
        let found = uuid(image, "uuid").and_then(|id| self.media.find(id)).cloned();
        if found.is_none() {
            let id = excerpt(image.attribute("uuid").unwrap_or_default(), 60);
            let why = format!(
                "the medium {id} is not in the media registry of this file; VirtualBox's own VirtualBox.xml may know its file"
            );
            self.losses.push(Loss::dropped(Severity::Warning, format!("{}/Image", device.what), why));
        }
        found
    }

    fn disk(&mut self, device: &Attached<'_>) {
        let medium = self.medium(device).unwrap_or_default();
        let what = || format!("{}/Image", device.what);
        match medium.kind.as_str() {
            "Immutable" | "MultiAttach" => {
                let why = format!(
                    "the type {} undoes the guest's writes or keeps them apart; on the target they stay",
                    medium.kind
                );
                self.losses.push(Loss::dropped(Severity::Change, what(), why));
            }
            _ => {}
        }
        if medium.format.as_deref() == Some("iSCSI") {
            let why = "the disk is a target of the network: copy it into an image first, or attach it on the target";
            self.losses.push(Loss::dropped(Severity::Warning, what(), why));
        }
        let format = medium.format.map(|format| {
            let known = FORMATS.iter().find(|(_, theirs)| theirs.eq_ignore_ascii_case(&format));
            known.map_or_else(|| format.to_ascii_lowercase(), |(ours, _)| (*ours).to_owned())
        });
        self.machine.disks.push(Disk {
            id: format!("disk{}", self.machine.disks.len() + 1),
            attachment: device.at,
            source: Some(medium.location).filter(|location| !location.is_empty()),
            format,
            read_only: medium.kind == "Readonly",
            // VirtualBox leaves such media out of snapshots.
            independent: medium.kind == "Writethrough",
            shared: medium.kind == "Shareable",
            cache: device.cache,
            ssd: flag(device.node, "nonrotational") == Some(true),
            ..Disk::default()
        });
    }

    fn drive(&mut self, device: &Attached<'_>, kind: RemovableKind) {
        if let Some(host) = child(device.node, "HostDrive") {
            let source = excerpt(host.attribute("src").unwrap_or_default(), 60);
            let why =
                format!("the drive {source:?} of the source's host does not move: the drive stays, empty");
            self.losses.push(Loss::dropped(Severity::Note, format!("{}/HostDrive", device.what), why));
        }
        let medium = self.medium(device).map(|medium| medium.location).filter(|file| !file.is_empty());
        self.machine.removables.push(Removable {
            kind,
            attachment: device.at,
            medium,
            connected: true,
            boot_order: None,
        });
    }
}

/// How the host caches what hangs on a controller; `None` where that is as usual for its type.
fn host_cache(node: Node, controller: &Controller) -> Option<Cache> {
    let used = flag(node, "useHostIOCache").filter(|used| *used != controller.host_cache)?;
    Some(if used { Cache::WriteBack } else { Cache::None })
}

/// The place of a port and a device. Only IDE has two devices on a port, which is a channel there, and a floppy
/// controller two drives on its only one.
fn attachment(bus: Bus, number: u32, port: u32, device: u32) -> Attachment {
    match bus {
        Bus::Ide => {
            Attachment { bus, controller: number.saturating_mul(2).saturating_add(port), unit: device }
        }
        Bus::Floppy => Attachment { bus, controller: number, unit: device },
        _ => Attachment { bus, controller: number, unit: port },
    }
}

/// The number of a controller, the port and the device of a place.
pub(super) fn position(at: Attachment) -> (u32, u32, u32) {
    match at.bus {
        Bus::Ide => (at.controller / 2, at.controller % 2, at.unit),
        Bus::Floppy => (at.controller, 0, at.unit),
        _ => (at.controller, at.unit, 0),
    }
}
