//! The boot order, which VirtualBox has by kinds of device.

use super::document::{child, children};
use machine::{Machine, RemovableKind};
use roxmltree::Node;

/// How many kinds can be in the order.
pub(super) const POSITIONS: usize = 4;

/// A kind of device, as the boot order has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Floppy,
    Dvd,
    HardDisk,
    Network,
}

/// The kinds by VirtualBox's names.
const NAMES: [(&str, Kind); 4] =
    [("Floppy", Kind::Floppy), ("DVD", Kind::Dvd), ("HardDisk", Kind::HardDisk), ("Network", Kind::Network)];

impl Kind {
    /// VirtualBox's name for it.
    pub(super) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, kind)| *kind == self).map_or("None", |(name, _)| name)
    }

    fn of(kind: RemovableKind) -> Self {
        match kind {
            RemovableKind::Cdrom => Self::Dvd,
            RemovableKind::Floppy => Self::Floppy,
        }
    }
}

/// The order that the hardware declares; without one, that of a new machine.
pub(super) fn declared(hardware: Node) -> Vec<Kind> {
    let Some(boot) = child(hardware, "Boot") else { return vec![Kind::Floppy, Kind::Dvd, Kind::HardDisk] };
    let mut orders: Vec<(u32, Kind)> = children(boot, "Order")
        .filter_map(|order| {
            let position = order.attribute("position")?.parse().ok()?;
            let kind = NAMES.iter().find(|(name, _)| order.attribute("device") == Some(name))?.1;
            Some((position, kind))
        })
        .collect();
    orders.sort_by_key(|(position, _)| *position);
    let mut kinds: Vec<Kind> = Vec::new();
    for (_, kind) in orders {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// The order of kinds that comes nearest to a machine's: each by the first of its devices. A machine that has no order
/// starts from its disks.
pub(super) fn nearest(machine: &Machine) -> Vec<Kind> {
    let disks = machine.disks.iter().map(|disk| (disk.boot_order, Kind::HardDisk));
    let drives = machine.removables.iter().map(|drive| (drive.boot_order, Kind::of(drive.kind)));
    let nics = machine.nics.iter().map(|nic| (nic.boot_order, Kind::Network));
    let mut orders: Vec<(u32, Kind)> =
        disks.chain(drives).chain(nics).filter_map(|(order, kind)| Some((order?, kind))).collect();
    orders.sort_by_key(|(order, _)| *order);
    let mut kinds: Vec<Kind> = Vec::new();
    for (_, kind) in orders {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    if kinds.is_empty() {
        kinds = vec![Kind::HardDisk, Kind::Dvd];
    }
    kinds
}

/// Numbers every device of those kinds, in that order.
pub(super) fn number(machine: &mut Machine, order: &[Kind]) {
    let mut next = 1;
    let mut take = || {
        let this = next;
        next += 1;
        Some(this)
    };
    for kind in order {
        match kind {
            Kind::HardDisk => machine.disks.iter_mut().for_each(|disk| disk.boot_order = take()),
            Kind::Network => machine.nics.iter_mut().for_each(|nic| nic.boot_order = take()),
            kind => {
                let drives = machine.removables.iter_mut().filter(|drive| Kind::of(drive.kind) == *kind);
                drives.for_each(|drive| drive.boot_order = take());
            }
        }
    }
}
