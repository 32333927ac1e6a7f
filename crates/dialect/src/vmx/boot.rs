//! The boot order of a `.vmx`.

use super::dictionary::Dictionary;
use crate::text::excerpt;
use machine::{Bus, Loss, Machine, RemovableKind, Severity};

/// Reads the order in which VMware's firmware tries the disks, drives and cards.
pub(super) fn read(keys: &mut Dictionary, machine: &mut Machine, losses: &mut Vec<Loss>) {
    let kinds = keys.take("bios.bootorder");
    let disks = keys.take("bios.hddorder");
    for kind in number(machine, kinds.as_deref(), disks.as_deref()) {
        let why = format!("{:?} is no device that the machine has", excerpt(&kind, 40));
        losses.push(Loss::dropped(Severity::Note, "bios.bootOrder", why));
    }
}

/// Numbers the devices: `kinds` (`bios.bootOrder`) orders the kinds, `disks` (`bios.hddOrder`) the disks among
/// themselves. Without them, it is the disks in their order. Gives back the kinds of which there is nothing.
pub(crate) fn number(machine: &mut Machine, kinds: Option<&str>, disks: Option<&str>) -> Vec<String> {
    let mut unknown = Vec::new();
    let mut next = 1;
    for kind in kinds.unwrap_or("hdd").split(',').map(str::trim).filter(|kind| !kind.is_empty()) {
        let known = match kind.to_ascii_lowercase().as_str() {
            "hdd" | "hd" | "disk" => {
                number_disks(machine, disks, &mut next);
                true
            }
            "cdrom" | "cd" => number_removables(machine, RemovableKind::Cdrom, &mut next),
            "floppy" | "fd" => number_removables(machine, RemovableKind::Floppy, &mut next),
            "ethernet" | "net" => number_nics(machine, None, &mut next),
            name => match name.strip_prefix("ethernet").and_then(|number| number.parse().ok()) {
                Some(number) => number_nics(machine, Some(number), &mut next),
                None => false,
            },
        };
        if !known {
            unknown.push(kind.to_owned());
        }
    }
    unknown
}

fn take(next: &mut u32) -> Option<u32> {
    let this = *next;
    *next = next.saturating_add(1);
    Some(this)
}

fn number_disks(machine: &mut Machine, order: Option<&str>, next: &mut u32) {
    for name in order.unwrap_or_default().split(',').map(|name| name.trim().to_ascii_lowercase()) {
        let found = machine.disks.iter_mut().find(|disk| {
            let bus = match disk.attachment.bus {
                Bus::Scsi(_) => "scsi",
                Bus::Sata => "sata",
                Bus::Nvme => "nvme",
                _ => "ide",
            };
            format!("{bus}{}:{}", disk.attachment.controller, disk.attachment.unit) == name
        });
        if let Some(disk) = found.filter(|disk| disk.boot_order.is_none()) {
            disk.boot_order = take(next);
        }
    }
    for disk in machine.disks.iter_mut().filter(|disk| disk.boot_order.is_none()) {
        disk.boot_order = take(next);
    }
}

fn number_removables(machine: &mut Machine, kind: RemovableKind, next: &mut u32) -> bool {
    let mut drives = machine.removables.iter_mut().filter(|drive| drive.kind == kind).peekable();
    let any = drives.peek().is_some();
    for drive in drives.filter(|drive| drive.boot_order.is_none()) {
        drive.boot_order = take(next);
    }
    any
}

fn number_nics(machine: &mut Machine, only: Option<usize>, next: &mut u32) -> bool {
    let mut any = false;
    for (number, nic) in machine.nics.iter_mut().enumerate() {
        if only.is_none_or(|only| only == number) {
            any = true;
            if nic.boot_order.is_none() {
                nic.boot_order = take(next);
            }
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use crate::vmx::parse;

    const DISKS: &str = "scsi0.present = 1\nscsi0.virtualDev = pvscsi\nscsi0:0.present = 1\nscsi0:0.fileName = a.vmdk\n\
                         scsi0:1.present = 1\nscsi0:1.fileName = b.vmdk\nethernet0.present = 1\nide1:0.present = 1\n\
                         ide1:0.deviceType = cdrom-image\nide1:0.fileName = c.iso\n";

    fn order(more: &str) -> Vec<Option<u32>> {
        let machine = parse(format!("{DISKS}{more}").as_bytes()).unwrap().machine;
        let disks = machine.disks.iter().map(|disk| disk.boot_order);
        let drives = machine.removables.iter().map(|drive| drive.boot_order);
        disks.chain(drives).chain(machine.nics.iter().map(|nic| nic.boot_order)).collect()
    }

    #[test]
    fn the_first_disk_boots_unless_the_file_says_otherwise() {
        assert_eq!(order(""), [Some(1), Some(2), None, None]);
        assert_eq!(order("bios.hddOrder = \"scsi0:1,scsi0:0\""), [Some(2), Some(1), None, None]);
        assert_eq!(
            order("bios.bootOrder = \"ethernet0,cdrom,hdd,warp\""),
            [Some(3), Some(4), Some(2), Some(1)]
        );
    }
}
