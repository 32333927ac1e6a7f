//! Controllers, disks and drives among the items.

use super::Result;
use super::hardware::Context;
use super::item::Item;
use super::references::{FileReference, VirtualDisk};
use super::{Error, capacity::number};
use crate::text::excerpt;
use machine::{Attachment, Bus, Disk, Loss, Machine, Removable, RemovableKind, ScsiModel, Severity};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn read(
    context: &Context,
    items: &[Item],
    machine: &mut Machine,
    losses: &mut Vec<Loss>,
) -> Result<()> {
    let controllers = controllers(items, losses);
    let mut places = Places { controllers, taken: BTreeSet::new() };
    let mut by_instance = Vec::new();
    for item in items {
        match item.resource_type {
            17 | 19 | 31 => {
                if let Some(disk) = disk(context, item, &mut places, losses)? {
                    by_instance.push((item.instance.clone(), disk));
                }
            }
            15 | 16 => {
                let attachment = places.attach(item, losses, Bus::Ide);
                machine.removables.push(removable(context, item, RemovableKind::Cdrom, attachment, losses)?);
            }
            14 => {
                let unit =
                    machine.removables.iter().filter(|drive| drive.kind == RemovableKind::Floppy).count();
                let unit = item.address_on_parent.unwrap_or(u32::try_from(unit).unwrap_or(0));
                let attachment = Attachment { bus: Bus::Floppy, controller: 0, unit };
                machine.removables.push(removable(context, item, RemovableKind::Floppy, attachment, losses)?);
            }
            _ => {}
        }
    }
    by_instance.sort_by_key(|(_, disk)| {
        let Attachment { bus, controller, unit } = disk.attachment;
        (rank(bus), controller, unit)
    });
    for (index, (_, disk)) in by_instance.into_iter().enumerate() {
        let (id, boot_order) = (format!("disk{}", index + 1), u32::try_from(index + 1).ok());
        machine.disks.push(Disk { id, boot_order, ..disk });
    }
    Ok(())
}

/// The order in which VMware's BIOS numbers disks of different buses.
fn rank(bus: Bus) -> u8 {
    match bus {
        Bus::Scsi(_) => 0,
        Bus::Sata => 1,
        Bus::Nvme => 2,
        _ => 3,
    }
}

/// Whether an item of type 20 ("other storage device") is a controller that is known.
pub(super) fn is_drive_controller(item: &Item) -> bool {
    item.pick(other_controller).is_some()
}

fn other_controller(subtype: &str) -> Option<Bus> {
    match subtype {
        "ahci" | "vmware.sata.ahci" | "sata" => Some(Bus::Sata),
        "vmware.nvme.controller" | "nvme" => Some(Bus::Nvme),
        "virtio-scsi" | "virtioscsi" => Some(Bus::Scsi(ScsiModel::VirtioScsi)),
        "virtio" | "virtio-blk" => Some(Bus::VirtioBlk),
        _ => None,
    }
}

fn scsi_model(subtype: &str) -> Option<ScsiModel> {
    match subtype {
        "lsilogic" => Some(ScsiModel::LsiLogic),
        "virtualscsi" | "pvscsi" => Some(ScsiModel::Pvscsi),
        "buslogic" => Some(ScsiModel::BusLogic),
        "lsilogicsas" => Some(ScsiModel::LsiSas),
        "virtio" | "virtio-scsi" => Some(ScsiModel::VirtioScsi),
        _ => None,
    }
}

/// The controllers by instance: kind of bus, and number among its kind.
fn controllers(items: &[Item], losses: &mut Vec<Loss>) -> BTreeMap<String, (Bus, u32)> {
    let mut controllers = BTreeMap::new();
    let mut used: BTreeSet<(u8, u32)> = BTreeSet::new();
    for item in items {
        let bus = match item.resource_type {
            5 => Bus::Ide,
            6 => Bus::Scsi(item.pick(scsi_model).unwrap_or_else(|| {
                let why = match item.subtypes.first() {
                    Some(other) => format!("{:?} is no controller that is known", excerpt(other, 40)),
                    None => "the descriptor does not say which controller it is".to_owned(),
                };
                losses.push(Loss::changed(item.describe(), "lsilogic", why));
                ScsiModel::LsiLogic
            })),
            20 => match item.pick(other_controller) {
                Some(bus) => bus,
                None => continue,
            },
            _ => continue,
        };
        let address =
            item.address.as_deref().and_then(|text| number(text.trim())).and_then(|n| u32::try_from(n).ok());
        let wanted = address.or(item.bus_number).unwrap_or(0);
        let rank = rank(bus);
        let free = (0..=u32::MAX).find(|n| !used.contains(&(rank, *n))).unwrap_or(0);
        let controller = if used.contains(&(rank, wanted)) { free } else { wanted };
        used.insert((rank, controller));
        controllers.entry(item.instance.clone()).or_insert((bus, controller));
    }
    controllers
}

/// Which places on which controller are taken.
struct Places {
    controllers: BTreeMap<String, (Bus, u32)>,
    taken: BTreeSet<Attachment>,
}

impl Places {
    /// Where a drive hangs: where the item says, else on the next free place of its controller, else of the first.
    fn attach(&mut self, item: &Item, losses: &mut Vec<Loss>, otherwise: Bus) -> Attachment {
        let found = item.parent.as_deref().and_then(|parent| self.controllers.get(parent)).copied();
        let (bus, controller) = found.unwrap_or_else(|| {
            let why = "its controller is not among the items";
            losses.push(Loss::changed(item.describe(), "the first controller", why));
            (otherwise, 0)
        });
        let wanted = item.address_on_parent.map(|unit| Attachment { bus, controller, unit });
        let attachment = match wanted.filter(|wanted| !self.taken.contains(wanted)) {
            Some(wanted) => wanted,
            None => {
                if wanted.is_some() {
                    let why = "another drive has the same address on its controller";
                    losses.push(Loss::changed(item.describe(), "the next free address", why));
                }
                (0..=u32::MAX)
                    .map(|unit| Attachment { bus, controller, unit })
                    .find(|place| !self.taken.contains(place))
                    .unwrap_or(Attachment { bus, controller, unit: 0 })
            }
        };
        self.taken.insert(attachment);
        attachment
    }
}

/// What a `HostResource` points at.
enum Resource<'a> {
    Disk(&'a VirtualDisk),
    File(&'a FileReference),
}

/// Follows `ovf:/disk/ID` or `ovf:/file/ID` (clause 8.3.1), with the prefixes that older versions write.
fn resolve<'a>(context: &'a Context, item: &Item, uri: &str) -> Result<Option<Resource<'a>>> {
    let path = uri.strip_prefix("ovf:").unwrap_or(uri).trim_start_matches('/');
    let dangling = |what, id: &str| Error::Dangling {
        from: format!("{:?}", item.describe()),
        what,
        id: excerpt(id, 60),
        line: item.line,
    };
    if let Some(id) = path.strip_prefix("disk/") {
        let disk = context.disks.iter().find(|disk| disk.id == id).ok_or_else(|| dangling("the disk", id))?;
        return Ok(Some(Resource::Disk(disk)));
    }
    if let Some(id) = path.strip_prefix("file/") {
        let file = context.files.iter().find(|file| file.id == id).ok_or_else(|| dangling("the file", id))?;
        return Ok(Some(Resource::File(file)));
    }
    Ok(None)
}

fn disk(context: &Context, item: &Item, places: &mut Places, losses: &mut Vec<Loss>) -> Result<Option<Disk>> {
    let Some(uri) = item.host_resource.as_deref() else {
        let why = "the item names no disk (HostResource)";
        losses.push(Loss::dropped(Severity::Warning, item.describe(), why));
        return Ok(None);
    };
    let (file, capacity, format) = match resolve(context, item, uri)? {
        Some(Resource::Disk(disk)) => (disk.file.as_ref(), disk.capacity, disk.format_name()),
        Some(Resource::File(file)) => (Some(file), None, None),
        None => {
            let why = format!("{:?} is a resource of the source's host and does not move", excerpt(uri, 80));
            losses.push(Loss::dropped(Severity::Warning, item.describe(), why));
            return Ok(None);
        }
    };
    let attachment = places.attach(item, losses, Bus::Scsi(ScsiModel::LsiLogic));
    Ok(Some(Disk {
        id: String::new(),
        attachment,
        source: file.map(|file| file.href.clone()),
        format: format.map(str::to_owned),
        capacity,
        independent: item.config("backing.diskMode").is_some_and(|mode| mode.starts_with("independent")),
        shared: item.config("backing.sharing").is_some_and(|sharing| sharing == "sharingMultiWriter"),
        ..Disk::default()
    }))
}

fn removable(
    context: &Context,
    item: &Item,
    kind: RemovableKind,
    attachment: Attachment,
    losses: &mut Vec<Loss>,
) -> Result<Removable> {
    let medium =
        match item.host_resource.as_deref().map(|uri| resolve(context, item, uri)).transpose()?.flatten() {
            Some(Resource::File(file)) => Some(file.href.clone()),
            Some(Resource::Disk(disk)) => disk.file.as_ref().map(|file| file.href.clone()),
            None => {
                if let Some(uri) = &item.host_resource {
                    let why =
                        format!("{:?} is of the source's host: the drive stays, empty", excerpt(uri, 80));
                    losses.push(Loss::dropped(Severity::Note, item.describe(), why));
                }
                None
            }
        };
    Ok(Removable { kind, attachment, medium, connected: item.automatic, boot_order: None })
}
