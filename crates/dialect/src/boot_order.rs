//! The boot order of a description that orders kinds of devices, not devices.

use machine::{Machine, RemovableKind};

/// A kind of device to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Disks.
    Disk,
    /// CD-ROM drives.
    Cdrom,
    /// Floppy drives.
    Floppy,
    /// Network cards.
    Network,
}

/// Numbers the devices of each kind in their order, kind after kind, from 1. A device that has a number keeps it.
pub(crate) fn number(machine: &mut Machine, kinds: impl IntoIterator<Item = Kind>) {
    let mut next = 1..;
    let mut give = |order: &mut Option<u32>| {
        if order.is_none() {
            *order = next.next();
        }
    };
    for kind in kinds {
        let drive = match kind {
            Kind::Cdrom => RemovableKind::Cdrom,
            Kind::Floppy => RemovableKind::Floppy,
            Kind::Disk => {
                machine.disks.iter_mut().for_each(|disk| give(&mut disk.boot_order));
                continue;
            }
            Kind::Network => {
                machine.nics.iter_mut().for_each(|nic| give(&mut nic.boot_order));
                continue;
            }
        };
        let drives = machine.removables.iter_mut().filter(|one| one.kind == drive);
        drives.for_each(|drive| give(&mut drive.boot_order));
    }
}

/// The kinds in the order of the first device of each that has a place.
pub(crate) fn kinds(machine: &Machine) -> Vec<Kind> {
    let disks = machine.disks.iter().map(|disk| (disk.boot_order, Kind::Disk));
    let nics = machine.nics.iter().map(|nic| (nic.boot_order, Kind::Network));
    let drives = machine.removables.iter().map(|drive| {
        let kind = if drive.kind == RemovableKind::Cdrom { Kind::Cdrom } else { Kind::Floppy };
        (drive.boot_order, kind)
    });
    let mut ordered: Vec<(u32, Kind)> =
        disks.chain(drives).chain(nics).filter_map(|(order, kind)| Some((order?, kind))).collect();
    ordered.sort_by_key(|(order, _)| *order);
    let mut kinds = Vec::new();
    for (_, kind) in ordered {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// The devices whose place in the order is another when only `kinds` are said, as losses name them.
pub(crate) fn changed(machine: &Machine, kinds: &[Kind]) -> Vec<String> {
    let mut other = machine.clone();
    other.disks.iter_mut().for_each(|disk| disk.boot_order = None);
    other.removables.iter_mut().for_each(|drive| drive.boot_order = None);
    other.nics.iter_mut().for_each(|nic| nic.boot_order = None);
    number(&mut other, kinds.iter().copied());
    let disks = machine.disks.iter().zip(&other.disks);
    let disks = disks.filter(|(was, is)| was.boot_order != is.boot_order).map(|(disk, _)| disk.id.clone());
    let nics = machine.nics.iter().zip(&other.nics);
    let nics = nics.filter(|(was, is)| was.boot_order != is.boot_order).map(|(nic, _)| nic.id.clone());
    let drives = machine.removables.iter().zip(&other.removables).enumerate();
    let drives = drives
        .filter(|(_, (was, is))| was.boot_order != is.boot_order)
        .map(|(index, _)| format!("removables.{index}"));
    disks.chain(drives).chain(nics).map(|what| format!("{what}.boot_order")).collect()
}
