//! Disks, CD-ROM and floppy drives of a `.vmx`.

use super::dictionary::{Dictionary, Place};
use crate::text::excerpt;
use machine::{Attachment, Bus, Cache, Disk, Loss, Machine, Removable, RemovableKind, ScsiModel, Severity};

pub(super) fn read(keys: &mut Dictionary, machine: &mut Machine, losses: &mut Vec<Loss>) {
    // The order in which VMware's BIOS numbers them, and Linux after it.
    for bus in ["scsi", "sata", "nvme", "ide"] {
        for place in keys.places(bus) {
            drive(keys, machine, losses, bus, place);
        }
    }
    for number in keys.numbers("floppy") {
        floppy(keys, machine, losses, number);
    }
}

/// What the keys of one drive say.
struct Drive {
    name: String,
    kind: String,
    file: Option<String>,
    mode: String,
    connected: bool,
}

fn drive(keys: &mut Dictionary, machine: &mut Machine, losses: &mut Vec<Loss>, bus: &str, place: Place) {
    let name = format!("{bus}{}:{}", place.controller, place.unit);
    let controller = format!("{bus}{}", place.controller);
    if keys.flag(&format!("{name}.present")) != Some(true) {
        return keys.discard(&format!("{name}."));
    }
    let redo = keys.take(&format!("{name}.redo")).is_some();
    let file = keys.take(&format!("{name}.filename")).filter(|file| !is_no_file(file));
    let drive = Drive {
        kind: keys.take(&format!("{name}.devicetype")).unwrap_or_else(|| default_type(file.as_deref())),
        mode: keys.take(&format!("{name}.mode")).unwrap_or_default().to_ascii_lowercase(),
        connected: keys.flag(&format!("{name}.startconnected")).unwrap_or(true),
        name,
        file,
    };
    // IDE is always there; the others are switched on.
    if bus != "ide" && !is_true(keys.peek(&format!("{controller}.present"))) {
        let why = format!("its controller {controller} is not present");
        return losses.push(Loss::dropped(Severity::Warning, drive.name, why));
    }
    let attachment = Attachment {
        bus: kind_of_bus(keys, losses, bus, &controller),
        controller: place.controller,
        unit: place.unit,
    };
    if redo {
        let why = "a redo log is open: what the machine wrote since is in it, not in the disk";
        losses.push(Loss::dropped(Severity::Warning, format!("{}.redo", drive.name), why));
    }
    match drive.kind.to_ascii_lowercase().as_str() {
        "disk" | "scsi-harddisk" | "ata-harddisk" | "harddisk" | "plaindisk" | "rawdisk" => {
            let disk = disk(keys, losses, &drive, attachment, &controller);
            machine.disks.push(Disk { id: format!("disk{}", machine.disks.len() + 1), ..disk });
        }
        "cdrom-image" | "atapi-cdrom" | "cdrom-raw" | "cdrom" => {
            let client = keys.flag(&format!("{}.clientdevice", drive.name)) == Some(true);
            machine.removables.push(cdrom(losses, &drive, attachment, client));
        }
        kind => {
            let why = format!("a {:?} is a device of the source's host and does not move", excerpt(kind, 40));
            losses.push(Loss::dropped(Severity::Warning, drive.name, why));
        }
    }
}

fn disk(
    keys: &mut Dictionary,
    losses: &mut Vec<Loss>,
    drive: &Drive,
    attachment: Attachment,
    controller: &str,
) -> Disk {
    if drive.mode.ends_with("nonpersistent") || matches!(drive.mode.as_str(), "undoable" | "append") {
        let why = format!(
            "the mode {:?} undoes the guest's writes; on the target they stay",
            excerpt(&drive.mode, 40)
        );
        losses.push(Loss::dropped(Severity::Change, format!("{}.mode", drive.name), why));
    }
    if drive.file.is_none() {
        let why = "no file is named for the disk";
        losses.push(Loss::dropped(Severity::Warning, format!("{}.fileName", drive.name), why));
    }
    let write_through = keys.flag(&format!("{}.writethrough", drive.name)) == Some(true);
    let multi_writer = keys.take(&format!("{}.sharing", drive.name)).is_some_and(|sharing| {
        sharing.to_ascii_lowercase().contains("multiwriter") || sharing.contains("multi-writer")
    });
    let shared_bus = keys
        .peek(&format!("{controller}.sharedbus"))
        .is_some_and(|sharing| !sharing.eq_ignore_ascii_case("none"));
    Disk {
        id: String::new(),
        attachment,
        format: drive.file.as_ref().map(|_| "vmdk".to_owned()),
        source: drive.file.clone(),
        capacity: None,
        serial: None,
        boot_order: None,
        read_only: keys.flag(&format!("{}.readonly", drive.name)).unwrap_or(false),
        independent: drive.mode.starts_with("independent"),
        shared: multi_writer || shared_bus,
        cache: write_through.then_some(Cache::WriteThrough),
        ssd: keys.flag(&format!("{}.virtualssd", drive.name)).unwrap_or(false),
        raw_device: matches!(drive.kind.to_ascii_lowercase().as_str(), "plaindisk" | "rawdisk"),
    }
}

fn cdrom(losses: &mut Vec<Loss>, drive: &Drive, attachment: Attachment, client: bool) -> Removable {
    let medium = medium(losses, drive, client || !drive.kind.eq_ignore_ascii_case("cdrom-image"));
    Removable { kind: RemovableKind::Cdrom, attachment, medium, connected: drive.connected, boot_order: None }
}

/// The image in a drive; a drive of the host's or of the administrator's console stays behind.
fn medium(losses: &mut Vec<Loss>, drive: &Drive, physical: bool) -> Option<String> {
    let file = drive.file.clone()?;
    if !physical {
        return Some(file);
    }
    let why = "the drive of the source's host does not move: the drive stays, empty";
    losses.push(Loss::dropped(Severity::Note, format!("{}.fileName", drive.name), why));
    None
}

fn floppy(keys: &mut Dictionary, machine: &mut Machine, losses: &mut Vec<Loss>, number: u32) {
    let name = format!("floppy{number}");
    if keys.flag(&format!("{name}.present")) != Some(true) {
        return keys.discard(&format!("{name}."));
    }
    let file = keys.take(&format!("{name}.filename")).filter(|file| !is_no_file(file));
    let drive = Drive {
        kind: keys.take(&format!("{name}.filetype")).unwrap_or_else(|| "device".to_owned()),
        mode: String::new(),
        connected: keys.flag(&format!("{name}.startconnected")).unwrap_or(true),
        name,
        file,
    };
    let client = keys.flag(&format!("{}.clientdevice", drive.name)) == Some(true);
    let medium = medium(losses, &drive, client || !drive.kind.eq_ignore_ascii_case("file"));
    let attachment = Attachment { bus: Bus::Floppy, controller: 0, unit: number };
    machine.removables.push(Removable {
        kind: RemovableKind::Floppy,
        attachment,
        medium,
        connected: drive.connected,
        boot_order: None,
    });
}

fn kind_of_bus(keys: &Dictionary, losses: &mut Vec<Loss>, bus: &str, controller: &str) -> Bus {
    match bus {
        "sata" => return Bus::Sata,
        "nvme" => return Bus::Nvme,
        "ide" => return Bus::Ide,
        _ => {}
    }
    let model = match keys.peek(&format!("{controller}.virtualdev")).map(str::to_ascii_lowercase).as_deref() {
        Some("pvscsi") => ScsiModel::Pvscsi,
        Some("lsisas1068") => ScsiModel::LsiSas,
        Some("lsilogic") => ScsiModel::LsiLogic,
        Some("buslogic") => ScsiModel::BusLogic,
        other => {
            let what = format!("{controller}.virtualDev");
            if !losses.iter().any(|loss| loss.what == what) {
                let why = match other {
                    Some(other) => format!("{:?} is no controller that is known", excerpt(other, 40)),
                    None => "the file does not say which controller it is".to_owned(),
                };
                losses.push(Loss::changed(what, "lsilogic", why));
            }
            ScsiModel::LsiLogic
        }
    };
    Bus::Scsi(model)
}

fn default_type(file: Option<&str>) -> String {
    let is_iso = file.is_some_and(|file| file.to_ascii_lowercase().ends_with(".iso"));
    (if is_iso { "cdrom-image" } else { "disk" }).to_owned()
}

/// VMware's ways to say that there is no file.
fn is_no_file(file: &str) -> bool {
    matches!(
        file.to_ascii_lowercase().as_str(),
        "auto detect" | "emptybackingstring" | "vmware-null-remote-floppy" | "vmware-null-remote-cdrom"
    )
}

fn is_true(value: Option<&str>) -> bool {
    value.is_some_and(|value| {
        matches!(value.to_ascii_lowercase().as_str(), "true" | "t" | "yes" | "y" | "on" | "1")
    })
}
