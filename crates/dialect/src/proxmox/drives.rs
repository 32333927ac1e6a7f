//! Disks, CD-ROM drives and what else a `.conf` keeps in volumes.

use super::document::{Document, unescape};
use super::options::{Options, size};
use crate::text::excerpt;
use machine::{Attachment, Bus, Cache, Disk, Loss, Machine, Removable, RemovableKind, ScsiModel, Severity};

/// A bus: its keys, the last number, and where a drive of a number hangs.
pub(super) struct Drives {
    pub(super) key: &'static str,
    pub(super) last: u32,
    /// How many drives a controller has.
    pub(super) units: u32,
}

/// The buses, in the order in which drives are numbered.
pub(super) const BUSES: [Drives; 4] = [
    Drives { key: "scsi", last: 30, units: 31 },
    Drives { key: "virtio", last: 15, units: 16 },
    Drives { key: "sata", last: 5, units: 6 },
    Drives { key: "ide", last: 3, units: 2 },
];

/// How a disk can be cached.
pub(super) const CACHES: [(&str, Cache); 5] = [
    ("none", Cache::None),
    ("writeback", Cache::WriteBack),
    ("writethrough", Cache::WriteThrough),
    ("directsync", Cache::DirectSync),
    ("unsafe", Cache::Unsafe),
];

/// The models of a SCSI controller. The first of a model is written.
pub(super) const CONTROLLERS: [(&str, ScsiModel); 6] = [
    ("virtio-scsi-pci", ScsiModel::VirtioScsi),
    ("virtio-scsi-single", ScsiModel::VirtioScsi),
    ("pvscsi", ScsiModel::Pvscsi),
    ("megasas", ScsiModel::LsiSas),
    ("lsi", ScsiModel::LsiLogic),
    ("lsi53c810", ScsiModel::LsiLogic),
];

/// A drive's key, and where in the machine it is.
pub(super) enum Drive {
    /// A disk, by its index.
    Disk(String, usize),
    /// A removable drive, by its index.
    Removable(String, usize),
}

/// Reads all drives, and gives their keys.
pub(super) fn read(keys: &mut Document, machine: &mut Machine, losses: &mut Vec<Loss>) -> Vec<Drive> {
    let scsi = controller(keys, losses);
    let mut drives = Vec::new();
    for bus in &BUSES {
        for number in keys.numbers(bus.key, bus.last) {
            let key = format!("{}{number}", bus.key);
            let Some(value) = keys.take(&key) else { continue };
            let kind = match bus.key {
                "scsi" => Bus::Scsi(scsi),
                "virtio" => Bus::VirtioBlk,
                "sata" => Bus::Sata,
                _ => Bus::Ide,
            };
            let at = Attachment { bus: kind, controller: number / bus.units, unit: number % bus.units };
            let mut options = Options::parse(&value, "file");
            let file = options.take("file").or_else(|| options.take("volume")).unwrap_or_default();
            let is_cloud_init =
                file == "cloudinit" || file.ends_with("-cloudinit") || file.contains("-cloudinit.");
            if options.take("media").as_deref() == Some("cdrom") {
                if is_cloud_init {
                    let why = "Proxmox makes this drive's content at every start: cloud-init has it already";
                    losses.push(Loss::dropped(Severity::Change, key, why));
                    continue;
                }
                drives.push(Drive::Removable(key.clone(), machine.removables.len()));
                machine.removables.push(cdrom(&key, file, at, losses));
            } else {
                drives.push(Drive::Disk(key.clone(), machine.disks.len()));
                let id = format!("disk{}", machine.disks.len() + 1);
                machine.disks.push(disk(id, &file, at, &mut options));
                if let Some(rest) = options.rest() {
                    keys.put_back(key, rest);
                }
            }
        }
    }
    for number in keys.numbers("unused", 255) {
        let key = format!("unused{number}");
        keys.take(&key);
        losses.push(Loss::dropped(
            Severity::Note,
            key,
            "a volume that the machine does not use stays behind",
        ));
    }
    drives
}

/// The model of the SCSI controllers. A spelling that is not written for the model is kept.
fn controller(keys: &mut Document, losses: &mut Vec<Loss>) -> ScsiModel {
    let Some(name) = keys.peek("scsihw").map(str::to_owned) else { return ScsiModel::LsiLogic };
    let Some((_, model)) = CONTROLLERS.iter().find(|(known, _)| *known == name) else {
        let why = format!("{:?} is no controller that is known", excerpt(&name, 40));
        losses.push(Loss::changed("scsihw", "lsi", why));
        return ScsiModel::LsiLogic;
    };
    if controller_name(*model) == Some(&name) {
        keys.take("scsihw");
    }
    *model
}

/// What Proxmox calls the model of a SCSI controller.
pub(super) fn controller_name(model: ScsiModel) -> Option<&'static str> {
    CONTROLLERS.iter().find(|(_, known)| *known == model).map(|(name, _)| *name)
}

fn cdrom(key: &str, file: String, attachment: Attachment, losses: &mut Vec<Loss>) -> Removable {
    let medium = match file.as_str() {
        "none" | "" => None,
        "cdrom" => {
            let why = "the drive of the source's host does not move: the drive stays, empty";
            losses.push(Loss::dropped(Severity::Note, key, why));
            None
        }
        _ => Some(file),
    };
    Removable { kind: RemovableKind::Cdrom, attachment, medium, connected: true, boot_order: None }
}

fn disk(id: String, file: &str, attachment: Attachment, options: &mut Options) -> Disk {
    let cache = options.take("cache");
    let known = cache.as_deref().and_then(|cache| CACHES.iter().find(|(known, _)| *known == cache));
    let size = options.take("size").and_then(|text| size(&text));
    let ending = file.rsplit_once('.').map(|(_, ending)| ending).filter(|ending| FORMATS.contains(ending));
    Disk {
        id,
        attachment,
        source: (!file.is_empty()).then(|| file.to_owned()),
        format: options.take("format").or_else(|| ending.map(str::to_owned)),
        capacity: size,
        serial: options.take("serial").map(|serial| unescape(&serial)),
        read_only: options.flag("ro"),
        cache: known.map(|(_, cache)| *cache),
        ssd: options.flag("ssd"),
        raw_device: file.starts_with("/dev/"),
        ..Disk::default()
    }
}

/// The endings that say a volume's format.
const FORMATS: [&str; 3] = ["qcow2", "raw", "vmdk"];
