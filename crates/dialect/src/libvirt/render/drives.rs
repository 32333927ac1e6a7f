//! Disks, removable drives and their controllers in a domain.

use crate::render::{DiskFile, RenderError, RenderOptions, path_text};
use crate::xml::Element;
use machine::{Attachment, Bus, Disk, Loss, Machine, Removable, RemovableKind, ScsiModel, Severity};
use profile::Profile;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Names of target devices as libvirt hands them out: `sda`, …, `sdz`, `sdaa`, ….
#[derive(Default)]
struct Names {
    sd: usize,
    vd: usize,
    fd: usize,
}

impl Names {
    fn next(&mut self, prefix: &str) -> String {
        let counter = match prefix {
            "vd" => &mut self.vd,
            "fd" => &mut self.fd,
            _ => &mut self.sd,
        };
        let name = format!("{prefix}{}", letters(*counter));
        *counter += 1;
        name
    }
}

/// The number in the base of 26 letters in which `z` is followed by `aa`.
fn letters(mut number: usize) -> String {
    let mut reversed = Vec::new();
    loop {
        reversed.push(char::from(b'a' + u8::try_from(number % 26).unwrap_or(0)));
        match number / 26 {
            0 => break,
            rest => number = rest - 1,
        }
    }
    reversed.iter().rev().collect()
}

pub(super) fn drives(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
    losses: &mut Vec<Loss>,
) -> Result<Vec<Element>, RenderError> {
    let mut names = Names::default();
    let mut drives = Vec::new();
    for disk in &machine.disks {
        let serial = plain_serial(disk, losses);
        let file = options.disk(&disk.id)?;
        let path = options.absolute(&file.path)?;
        drives.push(hard_disk(disk, profile, (file, path), serial, &mut names)?);
    }
    for (index, drive) in machine.removables.iter().enumerate() {
        let medium = options.media.get(&index).map(|path| path_text(path)).transpose()?;
        drives.push(removable(index, drive, medium, &mut names, losses));
    }
    Ok(drives)
}

fn hard_disk(
    disk: &Disk,
    profile: &Profile,
    (file, path): (&DiskFile, PathBuf),
    serial: Option<String>,
    names: &mut Names,
) -> Result<Element, RenderError> {
    let unknown = || RenderError::Bus { disk: disk.id.clone(), bus: disk.attachment.bus };
    let hardware = profile.disk_hardware(disk.attachment.bus).ok_or_else(unknown)?;
    let path = path_text(&path)?;
    let (bus, prefix, address) = match hardware.bus {
        Bus::Scsi(ScsiModel::VirtioScsi) => ("scsi", "sd", Some(scsi_address(disk.attachment))),
        Bus::Sata => ("sata", "sd", Some(sata_address(disk.attachment))),
        Bus::VirtioBlk => ("virtio", "vd", None),
        _ => return Err(unknown()),
    };
    let driver = Element::new("driver")
        .with("name", "qemu")
        .with("type", &file.format)
        .with("cache", "none")
        .with("discard", "unmap");
    Ok(Element::new("disk")
        .with("type", "file")
        .with("device", "disk")
        .child(driver)
        .child(Element::new("source").with("file", path))
        .child(Element::new("target").with("dev", names.next(prefix)).with("bus", bus))
        .maybe(disk.read_only.then(|| Element::new("readonly")))
        .maybe(serial.map(|serial| Element::new("serial").text(serial)))
        .maybe(disk.boot_order.map(|order| Element::new("boot").with("order", order)))
        .maybe(address))
}

/// A disk's serial number in the characters that libvirt and QEMU allow, and of the length that SCSI does; none
/// when nothing is left of it.
pub(crate) fn plain_serial(disk: &Disk, losses: &mut Vec<Loss>) -> Option<String> {
    let serial = disk.serial.as_deref()?;
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | ' ');
    let plain: String = serial.chars().filter(allowed).take(36).collect();
    let plain = plain.trim().to_owned();
    if plain != serial {
        let why = "a serial number has 36 letters, digits and few other characters at most";
        losses.push(Loss::changed(format!("{}.serial", disk.id), &plain, why));
    }
    (!plain.is_empty()).then_some(plain)
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
    // A drive that was disconnected at the start is one without its medium.
    let medium = medium.filter(|_| drive.connected);
    Element::new("disk")
        .with("type", "file")
        .with("device", device)
        .child(Element::new("driver").with("name", "qemu").with("type", "raw"))
        .maybe(medium.map(|path| Element::new("source").with("file", path)))
        .child(Element::new("target").with("dev", names.next(prefix)).with("bus", bus))
        .maybe((drive.kind == RemovableKind::Cdrom).then(|| Element::new("readonly")))
        .maybe(drive.boot_order.map(|order| Element::new("boot").with("order", order)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_go_on_after_z() {
        assert_eq!([0, 25, 26, 27, 701, 702].map(letters), ["a", "z", "aa", "ab", "zz", "aaa"]);
    }
}
