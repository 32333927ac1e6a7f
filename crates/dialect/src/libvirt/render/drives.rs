//! Disks, removable drives and their controllers in a domain.

use super::BootOrder;
use crate::naming::letters;
use crate::render::{DiskFile, RenderError, RenderOptions, path_text};
use crate::xml::Element;
use machine::{Attachment, Bus, Cache, Disk, Loss, Machine, Removable, RemovableKind, ScsiModel, Severity};
use profile::Profile;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Names of target devices as libvirt hands them out: `sda`, …, `sdz`, `sdaa`, ….
#[derive(Default)]
struct Names {
    sd: usize,
    fd: usize,
}

impl Names {
    fn next(&mut self, prefix: &str) -> String {
        let counter = match prefix {
            "fd" => &mut self.fd,
            _ => &mut self.sd,
        };
        let name = format!("{prefix}{}", letters(*counter));
        *counter += 1;
        name
    }
}

pub(super) fn drives(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
    boot: &mut BootOrder,
    losses: &mut Vec<Loss>,
) -> Result<Vec<Element>, RenderError> {
    let mut names = Names::default();
    let mut drives = Vec::new();
    for disk in &machine.disks {
        let serial = plain_serial(disk, losses);
        let file = options.disk(&disk.id)?;
        let path = options.absolute(&file.path)?;
        let node = hard_disk(disk, profile, (file, path), &mut names, losses)?
            .maybe(serial.map(|serial| Element::new("serial").text(serial)))
            .maybe(boot.element(&disk.id, disk.boot_order, losses));
        drives.push(node);
    }
    for (index, drive) in machine.removables.iter().enumerate() {
        let medium = options.media.get(&index).map(|path| path_text(path)).transpose()?;
        let order = boot.element(&format!("removables.{index}"), drive.boot_order, losses);
        drives.push(removable(index, drive, medium, &mut names, losses).maybe(order));
    }
    Ok(drives)
}

fn hard_disk(
    disk: &Disk,
    profile: &Profile,
    (file, path): (&DiskFile, PathBuf),
    names: &mut Names,
    losses: &mut Vec<Loss>,
) -> Result<Element, RenderError> {
    let unknown = || RenderError::bus(disk);
    let hardware = profile.disk_hardware(disk.attachment.bus).ok_or_else(unknown)?;
    let path = path_text(&path)?;
    let (bus, name, address) = match hardware.bus {
        Bus::Scsi(ScsiModel::VirtioScsi) => ("scsi", names.next("sd"), Some(scsi_address(disk.attachment))),
        Bus::Sata => ("sata", names.next("sd"), Some(sata_address(disk.attachment))),
        // Its name is its only address.
        Bus::VirtioBlk => ("virtio", virtio_name(disk.attachment), None),
        _ => return Err(unknown()),
    };
    let driver = Element::new("driver").with("name", "qemu").with("type", &file.format);
    let driver = match disk.cache {
        Some(cache) => driver.with("cache", cache_name(cache)),
        None => driver,
    };
    let node = Element::new("disk").with("type", "file").with("device", "disk");
    let node = if disk.independent { node.with("snapshot", "no") } else { node };
    Ok(node
        .child(driver.with("discard", "unmap"))
        .child(Element::new("source").with("file", path))
        .child(target(disk, &name, bus, losses))
        .maybe(is_read_only(disk, losses).then(|| Element::new("readonly")))
        .maybe(disk.shared.then(|| Element::new("shareable")))
        .maybe(address))
}

fn cache_name(cache: Cache) -> &'static str {
    match cache {
        Cache::None => "none",
        Cache::WriteBack => "writeback",
        Cache::WriteThrough => "writethrough",
        Cache::DirectSync => "directsync",
        Cache::Unsafe => "unsafe",
    }
}

/// A rotation rate of 1 says that nothing rotates; virtio-blk has none.
fn target(disk: &Disk, name: &str, bus: &str, losses: &mut Vec<Loss>) -> Element {
    let target = Element::new("target").with("dev", name).with("bus", bus);
    if disk.ssd && bus == "virtio" {
        let why = "a virtio disk does not say whether it rotates";
        losses.push(Loss::dropped(Severity::Note, format!("{}.ssd", disk.id), why));
    }
    if disk.ssd && bus != "virtio" { target.with("rotation_rate", 1) } else { target }
}

/// ATA has no disks that cannot be written, and libvirt refuses them.
fn is_read_only(disk: &Disk, losses: &mut Vec<Loss>) -> bool {
    let possible = disk.attachment.bus != Bus::Sata;
    if disk.read_only && !possible {
        let why = "a SATA disk can be written always";
        losses.push(Loss::dropped(Severity::Warning, format!("{}.read_only", disk.id), why));
    }
    disk.read_only && possible
}

/// A disk's serial number in the characters that libvirt and QEMU allow, and of the length that the bus does (20 on
/// virtio-blk, VIRTIO 1.2 section 5.2.6.1); none when nothing is left of it.
pub(crate) fn plain_serial(disk: &Disk, losses: &mut Vec<Loss>) -> Option<String> {
    let serial = disk.serial.as_deref()?;
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | ' ');
    let longest = if disk.attachment.bus == Bus::VirtioBlk { 20 } else { 36 };
    let plain: String = serial.chars().filter(allowed).take(longest).collect();
    let plain = plain.trim().to_owned();
    if plain != serial || plain.is_empty() {
        let why = format!("a serial number has 1 to {longest} letters, digits and few other characters");
        losses.push(Loss::changed(format!("{}.serial", disk.id), &plain, why));
    }
    (!plain.is_empty()).then_some(plain)
}

fn virtio_name(at: Attachment) -> String {
    format!("vd{}", letters(usize::try_from(at.unit).unwrap_or_default()))
}

/// One disk a target: virtio-scsi has 256 of them, and a guest numbers them in order.
fn scsi_address(at: Attachment) -> Element {
    drive_address(at.controller, at.unit, 0)
}

fn sata_address(at: Attachment) -> Element {
    drive_address(at.controller, 0, at.unit)
}

fn drive_address(controller: u32, target: u32, unit: u32) -> Element {
    Element::new("address")
        .with("type", "drive")
        .with("controller", controller)
        .with("bus", 0)
        .with("target", target)
        .with("unit", unit)
}

fn removable(
    index: usize,
    drive: &Removable,
    medium: Option<&str>,
    names: &mut Names,
    losses: &mut Vec<Loss>,
) -> Element {
    let (device, bus, prefix, address) = match drive.kind {
        RemovableKind::Cdrom => ("cdrom", "sata", "sd", sata_address(drive.attachment)),
        RemovableKind::Floppy => ("floppy", "fdc", "fd", drive_address(0, 0, drive.attachment.unit)),
    };
    if medium.is_none()
        && let Some(name) = &drive.medium
    {
        let why =
            format!("{} is not carried over: the {device} drive is empty", crate::text::excerpt(name, 80));
        losses.push(Loss::dropped(Severity::Change, format!("removables.{index}.medium"), why));
    }
    // A drive that was disconnected at the start is one without its medium, its tray open.
    let medium = medium.filter(|_| drive.connected);
    let target = Element::new("target").with("dev", names.next(prefix)).with("bus", bus);
    Element::new("disk")
        .with("type", "file")
        .with("device", device)
        .child(Element::new("driver").with("name", "qemu").with("type", "raw"))
        .maybe(medium.map(|path| Element::new("source").with("file", path)))
        .child(if drive.connected { target } else { target.with("tray", "open") })
        .maybe((drive.kind == RemovableKind::Cdrom).then(|| Element::new("readonly")))
        .child(address)
}

/// The controllers that the drives hang on.
pub(super) fn controllers(machine: &Machine) -> Vec<Element> {
    let disks = machine.disks.iter().map(|disk| disk.attachment);
    let places: BTreeSet<(&str, u32)> = disks
        .chain(machine.removables.iter().map(|drive| drive.attachment))
        .filter_map(|at| match at.bus {
            Bus::Scsi(_) => Some(("scsi", at.controller)),
            Bus::Sata => Some(("sata", at.controller)),
            _ => None,
        })
        .collect();
    places
        .into_iter()
        .map(|(kind, index)| {
            let controller = Element::new("controller").with("type", kind).with("index", index);
            if kind == "scsi" { controller.with("model", "virtio-scsi") } else { controller }
        })
        .collect()
}
