//! The boot order, which VirtualBox has by kinds of device.

use super::document::{child, children};
use crate::boot_order::{Kind, kinds};
use machine::Machine;
use roxmltree::Node;

/// How many kinds can be in the order.
pub(super) const POSITIONS: usize = 4;

/// The kinds by VirtualBox's names.
const NAMES: [(&str, Kind); 4] =
    [("Floppy", Kind::Floppy), ("DVD", Kind::Cdrom), ("HardDisk", Kind::Disk), ("Network", Kind::Network)];

/// VirtualBox's name for a kind.
pub(super) fn name(kind: Kind) -> &'static str {
    NAMES.iter().find(|(_, known)| *known == kind).map_or("None", |(name, _)| name)
}

/// The order that the hardware declares; without one, that of a new machine.
pub(super) fn declared(hardware: Node) -> Vec<Kind> {
    let Some(boot) = child(hardware, "Boot") else { return vec![Kind::Floppy, Kind::Cdrom, Kind::Disk] };
    let mut orders: Vec<(u32, Kind)> = children(boot, "Order")
        .filter_map(|order| {
            let position = order.attribute("position")?.parse().ok()?;
            let kind = NAMES.iter().find(|(name, _)| order.attribute("device") == Some(name))?.1;
            Some((position, kind))
        })
        .collect();
    orders.sort_by_key(|(position, _)| *position);
    orders.into_iter().map(|(_, kind)| kind).collect()
}

/// The order of kinds that comes nearest to a machine's. A machine that has none starts from its disks.
pub(super) fn nearest(machine: &Machine) -> Vec<Kind> {
    let kinds = kinds(machine);
    if kinds.is_empty() { vec![Kind::Disk, Kind::Cdrom] } else { kinds }
}
