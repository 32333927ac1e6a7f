//! Hyper-V's drives as a machine's, and the other way round.

use super::facts::{Controller, HardDrive, RemovableDrive, RemovableDriveKind};
use crate::render::path_text;
use crate::text::excerpt;
use crate::{RenderError, RenderOptions};
use machine::{
    Attachment, Bus, Disk, Firmware, Loss, Machine, Removable, RemovableKind, ScsiModel, Severity,
};
use profile::{FirmwareKind, Profile};
use std::path::PathBuf;

pub(super) fn disks(drives: &[HardDrive]) -> Vec<Disk> {
    let disk = |(index, drive): (usize, &HardDrive)| Disk {
        id: format!("disk{}", index + 1),
        attachment: attachment(drive.controller_type, drive.controller_number, drive.controller_location),
        source: drive.path.clone(),
        format: drive.format.clone(),
        capacity: drive.size_bytes,
        raw_device: drive.path.is_none(),
        ..Disk::default()
    };
    drives.iter().enumerate().map(disk).collect()
}

pub(super) fn removable(drive: &RemovableDrive) -> Removable {
    let attachment = match drive.kind {
        RemovableDriveKind::Dvd => {
            attachment(drive.controller_type, drive.controller_number, drive.controller_location)
        }
        RemovableDriveKind::Floppy => Attachment { bus: Bus::Floppy, ..Attachment::default() },
    };
    Removable {
        kind: drive.kind.into(),
        attachment,
        medium: drive.path.clone(),
        connected: true,
        boot_order: None,
    }
}

fn attachment(kind: Controller, controller: u32, unit: u32) -> Attachment {
    let bus = match kind {
        Controller::Ide => Bus::Ide,
        Controller::Scsi => Bus::Scsi(ScsiModel::HyperV),
    };
    Attachment { bus, controller, unit }
}

/// A machine's disks as Hyper-V's.
pub(super) fn hard_drives(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
    losses: &mut Vec<Loss>,
) -> Result<Vec<HardDrive>, RenderError> {
    let firmware = FirmwareKind::from(&machine.firmware);
    let drive = |disk: &Disk| {
        let at = disk.attachment;
        let offered =
            profile.disks_for(firmware).any(|hardware| hardware.bus == at.bus && hardware.place.holds(at));
        let unknown = || RenderError::bus(disk);
        let controller_type = controller(at.bus).filter(|_| offered).ok_or_else(unknown)?;
        let file = options.disk(&disk.id)?;
        Ok(HardDrive {
            controller_type,
            controller_number: at.controller,
            controller_location: at.unit,
            path: Some(path_text(&file.path)?.to_owned()),
            format: Some(file.format.clone()),
            size_bytes: Some(file.capacity),
        })
    };
    for disk in &machine.disks {
        report(disk, losses);
    }
    machine.disks.iter().map(drive).collect()
}

/// Says what of a disk Hyper-V cannot.
fn report(disk: &Disk, losses: &mut Vec<Loss>) {
    let traits = [
        (
            disk.serial.is_some(),
            "serial",
            Severity::Warning,
            "a virtual disk's serial number is Hyper-V's own",
        ),
        (disk.read_only, "read_only", Severity::Change, "a guest may always write to its disks"),
        (disk.cache.is_some(), "cache", Severity::Note, "how the host caches a disk is not a setting of it"),
        (disk.ssd, "ssd", Severity::Note, "Hyper-V does not say whether a disk rotates"),
        (disk.shared, "shared", Severity::Warning, "the copy is this machine's own"),
        (disk.independent, "independent", Severity::Note, "checkpoints include it like every other"),
        (disk.raw_device, "raw_device", Severity::Change, "it is a virtual disk now"),
    ];
    for (_, field, severity, why) in traits.into_iter().filter(|(said, ..)| *said) {
        losses.push(Loss::dropped(severity, format!("{}.{field}", disk.id), why));
    }
}

/// Whether a machine of Hyper-V's with that firmware has such a drive: generation 2 has no floppy drive.
pub(super) fn is_kept(drive: &Removable, firmware: &Firmware) -> bool {
    drive.kind == RemovableKind::Cdrom || *firmware == Firmware::Bios
}

/// A machine's removable drives as Hyper-V's.
pub(super) fn removable_drives(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
    losses: &mut Vec<Loss>,
) -> Result<Vec<RemovableDrive>, RenderError> {
    let firmware = FirmwareKind::from(&machine.firmware);
    let mut drives = Vec::new();
    for (index, drive) in machine.removables.iter().enumerate() {
        let what = format!("removables.{index}");
        if !is_kept(drive, &machine.firmware) {
            let why = "a machine of generation 2 has no floppy drive";
            losses.push(Loss::dropped(Severity::Warning, "removables", why));
            continue;
        }
        let at = drive.attachment;
        let offered =
            profile.cdroms_for(firmware).any(|hardware| hardware.bus == at.bus && hardware.place.holds(at));
        let (kind, controller_type) = match (drive.kind, controller(at.bus)) {
            (RemovableKind::Floppy, _) => (RemovableDriveKind::Floppy, Controller::Ide),
            (RemovableKind::Cdrom, Some(controller)) if offered => (RemovableDriveKind::Dvd, controller),
            (RemovableKind::Cdrom, _) => return Err(RenderError::Bus { disk: what, bus: at.bus }),
        };
        let path = medium(drive, options.media.get(&index), &what, losses)?;
        drives.push(RemovableDrive {
            kind,
            controller_type,
            controller_number: at.controller,
            controller_location: at.unit,
            path,
        });
    }
    Ok(drives)
}

/// The image in a drive. A drive that was not connected is an empty one.
fn medium(
    drive: &Removable,
    file: Option<&PathBuf>,
    what: &str,
    losses: &mut Vec<Loss>,
) -> Result<Option<String>, RenderError> {
    if !drive.connected {
        let why = "a drive is always connected: it is empty instead";
        losses.push(Loss::dropped(Severity::Note, format!("{what}.connected"), why));
    }
    let path = file.filter(|_| drive.connected).map(|path| path_text(path)).transpose()?.map(str::to_owned);
    if let (None, Some(name)) = (&path, &drive.medium) {
        let why = format!("{} is not carried over: the drive is empty", excerpt(name, 80));
        losses.push(Loss::dropped(Severity::Change, format!("{what}.medium"), why));
    }
    Ok(path)
}

fn controller(bus: Bus) -> Option<Controller> {
    match bus {
        Bus::Ide => Some(Controller::Ide),
        Bus::Scsi(ScsiModel::HyperV) => Some(Controller::Scsi),
        _ => None,
    }
}
