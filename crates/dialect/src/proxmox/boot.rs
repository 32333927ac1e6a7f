//! The boot order of a `.conf`.

use super::document::Document;
use super::drives::Drive;
use super::options::Options;
use crate::text::excerpt;
use machine::{Loss, Machine, Severity};

/// Numbers the devices in the order in which the firmware tries them: `boot: order=scsi0;net0`, or the older
/// `boot: cdn` with `bootdisk`, in which letters stand for kinds (c: the disk, d: CD-ROM drives, n: cards).
pub(super) fn read(
    keys: &mut Document,
    machine: &mut Machine,
    drives: &[Drive],
    cards: &[u32],
    losses: &mut Vec<Loss>,
) {
    let (boot, disk) = (keys.take("boot"), keys.take("bootdisk"));
    if boot.is_none() && disk.is_none() {
        return;
    }
    let mut options = Options::parse(boot.as_deref().unwrap_or("cdn"), "legacy");
    let mut names: Vec<String> = Vec::new();
    if let Some(order) = options.take("order") {
        names.extend(order.split(';').filter(|name| !name.is_empty()).map(str::to_owned));
    } else {
        for letter in options.take("legacy").unwrap_or_default().chars() {
            match letter {
                'c' => names.extend(disk.clone()),
                'd' => names.extend(drives.iter().filter_map(|drive| match drive {
                    Drive::Removable(key, _) => Some(key.clone()),
                    Drive::Disk(..) => None,
                })),
                'n' => names.extend(cards.iter().map(|number| format!("net{number}"))),
                _ => {}
            }
        }
    }
    let mut next = 1..;
    for name in names {
        match device(machine, drives, cards, &name) {
            Some(order @ None) => *order = next.next(),
            Some(_) => {}
            None => {
                let why = format!("{:?} is no device that the machine has", excerpt(&name, 40));
                losses.push(Loss::dropped(Severity::Note, "boot", why));
            }
        }
    }
}

/// The place in the boot order of the device with that key.
fn device<'a>(
    machine: &'a mut Machine,
    drives: &[Drive],
    cards: &[u32],
    name: &str,
) -> Option<&'a mut Option<u32>> {
    if let Some(number) = name.strip_prefix("net") {
        let index = cards.iter().position(|card| card.to_string() == number)?;
        return machine.nics.get_mut(index).map(|nic| &mut nic.boot_order);
    }
    drives
        .iter()
        .find_map(|drive| match drive {
            Drive::Disk(key, index) if key == name => Some((true, *index)),
            Drive::Removable(key, index) if key == name => Some((false, *index)),
            _ => None,
        })
        .and_then(|(is_disk, index)| match is_disk {
            true => machine.disks.get_mut(index).map(|disk| &mut disk.boot_order),
            false => machine.removables.get_mut(index).map(|drive| &mut drive.boot_order),
        })
}
