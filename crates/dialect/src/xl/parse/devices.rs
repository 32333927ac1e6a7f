//! Disks, drives, network cards and serial ports.

use super::Reading;
use crate::text::excerpt;
use crate::xl::{Error, disk, serial, vif};
use machine::{Attachment, Bus, Disk, Loss, Nic, Removable, RemovableKind, SerialPort, Severity};
use std::collections::BTreeSet;

pub(super) fn disks(reading: &mut Reading) -> Result<(), Error> {
    let mut taken = BTreeSet::new();
    for (index, text) in reading.take_devices("disk")?.iter().enumerate() {
        let what = format!("disk[{}]", index + 1);
        let spec = disk::Specification::parse(text);
        let attachment = attachment(&spec.vdev, &what, &mut taken, &mut reading.losses);
        if spec.is_cdrom {
            reading.machine.removables.push(Removable {
                kind: RemovableKind::Cdrom,
                attachment,
                medium: spec.target,
                connected: true,
                boot_order: None,
            });
        } else {
            if let Some(elsewhere) = spec.elsewhere() {
                let why = format!(
                    "the disk is {elsewhere}, not an image that lies in a directory: copy it into one"
                );
                reading.losses.push(Loss::dropped(Severity::Warning, &what, why));
            }
            reading.machine.disks.push(Disk {
                id: format!("disk{}", reading.machine.disks.len() + 1),
                attachment,
                read_only: spec.is_read_only(),
                shared: spec.access.as_deref() == Some("w!"),
                source: spec.target,
                format: spec.format,
                ..Disk::default()
            });
        }
        let script = spec.script.map(|script| ("script".to_owned(), script));
        reading.keep(&what, script.into_iter().chain(spec.more).collect());
    }
    for (unit, key) in ["fda", "fdb"].into_iter().enumerate() {
        let Some(medium) = reading.take_text(key) else { continue };
        reading.machine.removables.push(Removable {
            kind: RemovableKind::Floppy,
            attachment: Attachment {
                bus: Bus::Floppy,
                controller: 0,
                unit: u32::try_from(unit).unwrap_or(0),
            },
            medium: (!medium.is_empty()).then_some(medium),
            connected: true,
            boot_order: None,
        });
    }
    Ok(())
}

fn attachment(
    vdev: &str,
    what: &str,
    taken: &mut BTreeSet<Attachment>,
    losses: &mut Vec<Loss>,
) -> Attachment {
    let wanted = disk::place(vdev).unwrap_or_else(|| {
        let why = format!("{:?} is no name of a disk", excerpt(vdev, 40));
        losses.push(Loss::changed(format!("{what}.vdev"), "xvda", why));
        Attachment { bus: Bus::Xen, controller: 0, unit: 0 }
    });
    let mut found = wanted;
    while !taken.insert(found) {
        found.unit = found.unit.saturating_add(1);
    }
    if found != wanted {
        let why = format!("another disk, or a partition of it, has the place of {:?}", excerpt(vdev, 40));
        losses.push(Loss::changed(format!("{what}.vdev"), format!("unit {}", found.unit), why));
    }
    found
}

pub(super) fn nics(reading: &mut Reading) -> Result<(), Error> {
    for (index, text) in reading.take_devices("vif")?.iter().enumerate() {
        let what = format!("vif[{}]", index + 1);
        let spec = vif::Specification::parse(text, &what, &mut reading.losses);
        reading.machine.nics.push(Nic {
            id: format!("nic{}", index + 1),
            model: spec.model,
            mac: spec.mac,
            network: spec.bridge.filter(|bridge| !bridge.is_empty()),
            vlan: spec.vlan,
            connected: true,
            boot_order: None,
        });
        // What a card is by itself, and the script that connects it, the target knows.
        let usual = |name: &str, value: &str| name == "type" || (name == "script" && value == "vif-bridge");
        let more = spec.more.into_iter().filter(|(name, value)| !usual(name, value)).collect();
        reading.keep(&what, more);
    }
    Ok(())
}

pub(super) fn serials(reading: &mut Reading) -> Result<(), Error> {
    for (index, text) in reading.take_devices("serial")?.iter().enumerate() {
        let what = format!("serial[{}]", index + 1);
        let target = serial::target(text, &what, &mut reading.losses);
        reading.machine.serials.extend(target.map(|target| SerialPort { target }));
    }
    Ok(())
}
