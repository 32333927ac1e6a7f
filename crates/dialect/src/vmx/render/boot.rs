//! The boot order.

use super::Writer;
use super::drives::{Placed, key};
use crate::vmx::boot;
use machine::{Disk, Loss, Machine, Severity};

/// A device in the boot order.
#[derive(Clone, Copy)]
enum Device {
    Disk(usize),
    Removable(usize),
    Nic(usize),
}

impl Writer<'_> {
    /// Writes the order, and tells where VMware's differs: it orders kinds of drives, and after the disks that are named
    /// come all others.
    pub(super) fn boot(&mut self, placed: &Placed) {
        let devices = self.in_order();
        let mut kinds: Vec<String> = Vec::new();
        let mut disks: Vec<String> = Vec::new();
        for device in devices {
            let kind = match device {
                Device::Disk(index) => {
                    disks.extend(placed.disks.get(index).map(|at| key(*at)));
                    "hdd".to_owned()
                }
                Device::Removable(index) => {
                    match self.machine.removables.get(index).map(|drive| drive.kind) {
                        Some(machine::RemovableKind::Floppy) => "floppy".to_owned(),
                        _ => "cdrom".to_owned(),
                    }
                }
                Device::Nic(index) => format!("ethernet{index}"),
            };
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        let (kinds, disks) = (kinds.join(","), disks.join(","));
        let mut expected = self.as_read(placed);
        let unsaid = boot::number(&mut expected, None, None);
        debug_assert!(unsaid.is_empty());
        if !self.boots_like(&expected, placed) && !kinds.is_empty() {
            self.lines.set("bios.bootOrder", &kinds);
            if !disks.is_empty() {
                self.lines.set("bios.hddOrder", &disks);
            }
            expected = self.as_read(placed);
            boot::number(&mut expected, Some(&kinds), Some(&disks));
        }
        self.tell(&expected);
    }

    /// The devices that have a place in the order.
    fn in_order(&self) -> Vec<Device> {
        let machine = self.machine;
        let disks = machine.disks.iter().enumerate().map(|(n, disk)| (disk.boot_order, Device::Disk(n)));
        let drives =
            machine.removables.iter().enumerate().map(|(n, drive)| (drive.boot_order, Device::Removable(n)));
        let nics = machine.nics.iter().enumerate().map(|(n, nic)| (nic.boot_order, Device::Nic(n)));
        let mut devices: Vec<(u32, Device)> =
            disks.chain(drives).chain(nics).filter_map(|(order, device)| Some((order?, device))).collect();
        devices.sort_by_key(|(order, _)| *order);
        devices.into_iter().map(|(_, device)| device).collect()
    }

    /// The machine as it will be read, without an order.
    fn as_read(&self, placed: &Placed) -> Machine {
        let disk = |index: &usize| {
            let attachment = *placed.disks.get(*index)?;
            Some(Disk { attachment, boot_order: None, ..self.machine.disks.get(*index)?.clone() })
        };
        let mut machine = Machine {
            disks: placed.disk_order.iter().filter_map(disk).collect(),
            nics: self.machine.nics.clone(),
            ..Machine::default()
        };
        let drives = placed.removable_order.iter().filter_map(|index| self.machine.removables.get(*index));
        machine.removables = drives.cloned().collect();
        machine.removables.iter_mut().for_each(|drive| drive.boot_order = None);
        machine.nics.iter_mut().for_each(|nic| nic.boot_order = None);
        machine
    }

    fn boots_like(&self, expected: &Machine, placed: &Placed) -> bool {
        let disks = placed.disk_order.iter().filter_map(|index| self.machine.disks.get(*index));
        let drives = placed.removable_order.iter().filter_map(|index| self.machine.removables.get(*index));
        disks.map(|disk| disk.boot_order).eq(expected.disks.iter().map(|disk| disk.boot_order))
            && drives
                .map(|drive| drive.boot_order)
                .eq(expected.removables.iter().map(|drive| drive.boot_order))
            && self.machine.nics.iter().all(|nic| nic.boot_order.is_none())
    }

    /// Tells every device whose place in the order is another.
    fn tell(&mut self, expected: &Machine) {
        let disks = self.machine.disks.iter().zip(&expected.disks);
        let mut differ: Vec<(String, Option<u32>)> = disks
            .filter(|(was, is)| was.boot_order != is.boot_order)
            .map(|(was, is)| (was.id.clone(), is.boot_order))
            .collect();
        let drives = self.machine.removables.iter().zip(&expected.removables).enumerate();
        differ.extend(
            drives
                .filter(|(_, (was, is))| was.boot_order != is.boot_order)
                .map(|(index, (_, is))| (format!("removables.{index}"), is.boot_order)),
        );
        let nics = self.machine.nics.iter().zip(&expected.nics);
        differ.extend(
            nics.filter(|(was, is)| was.boot_order != is.boot_order)
                .map(|(was, is)| (was.id.clone(), is.boot_order)),
        );
        for (id, order) in differ {
            let kept = order.map_or_else(|| "not in the boot order".to_owned(), |order| order.to_string());
            let why = "VMware's boot order is one of kinds of drives, and all disks are in it";
            let loss = Loss::changed(format!("{id}.boot_order"), kept, why);
            self.losses.push(Loss { severity: Severity::Note, ..loss });
        }
    }
}
