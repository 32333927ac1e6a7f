//! A rehearsal under a real Xen: the guest as its paravirtual domain.
//!
//! Xen runs in a machine of QEMU's ([`appliance::xen`]). It starts a paravirtual domain by its kernel, not by firmware and
//! a boot loader, so kernel, initramfs and command line are taken from the guest's files, as its boot loader would take
//! them. Such a domain has one console and no serial port: the guest writes its report to a small disk that is added.

mod start;

pub(crate) use start::{Start, find};

use crate::error::Error;
use crate::evidence::Hardware;
use crate::hardware;
use appliance::xen::{self, Card, Domain, DomainDisk};
use block::{BlockRead, MemoryDisk};
use machine::{Bus, Disk, Machine};
use qemu::{Accelerator, Backend, Vm};
use std::path::Path;
use std::sync::Arc;

/// The disk that the guest writes its report to, as Linux and Xen name it; behind every disk that a machine may have here.
const REPORT_DISK: &str = "xvdz";
/// Where the guest writes its report.
pub(crate) const REPORT_PORT: &str = "/dev/xvdz";
/// Larger than any report, in bytes.
const REPORT_SIZE: u64 = 256 << 10;
/// The machine has places for so many of the guest's disks.
const MOST_DISKS: u32 = 20;
/// Each disk and each card takes a slot of the machine's PCI bus, which has 32; this many are left by what is always there.
const MOST_DEVICES: usize = 24;
/// The name of the NBD exports besides the disks.
const KERNEL: &str = "kernel";
const INITRAMFS: &str = "initramfs";
const REPORT: &str = "report";
/// The size of a sector, of which a disk is a multiple.
const SECTOR: usize = 512;

/// A domain's machine, and what belongs to it.
pub(crate) struct Stage {
    /// The machine for QEMU.
    pub(crate) vm: Vm,
    /// What the guest gets, for the evidence.
    pub(crate) hardware: Hardware,
    /// NBD exports besides the guest's disks.
    pub(crate) exports: Vec<(String, nbd::Export)>,
    /// The disk that the report comes on.
    pub(crate) report: Arc<MemoryDisk>,
}

/// What a paravirtual domain has no device for; `None` when it can have all the machine's disks and cards.
pub(crate) fn not_emulated(machine: &Machine) -> Option<String> {
    let (disks, cards) = (machine.disks.len(), machine.nics.len());
    if disks.saturating_add(cards) > MOST_DEVICES {
        return Some(format!("{disks} disks and {cards} network cards are more than {MOST_DEVICES}"));
    }
    let disk = machine.disks.iter().find(|disk| disk.attachment.bus != Bus::Xen)?;
    Some(format!("a paravirtual domain has no bus {:?} for {}", disk.attachment.bus, disk.id))
}

/// Makes a domain of the machine, started by `start`, with its disks in `backends`. Further exports are to be served at
/// `socket`.
pub(crate) fn stage(
    machine: &Machine,
    start: Start,
    accelerator: Accelerator,
    backends: Vec<Backend>,
    socket: &Path,
    directory: &Path,
) -> Result<Stage, Error> {
    let host = xen::locate().map_err(Error::Xen)?;
    let mut disks = Vec::new();
    for (stated, backend) in machine.disks.iter().zip(backends) {
        disks.push(DomainDisk { name: name(stated)?, backend, read_only: stated.read_only });
    }
    disks.push(DomainDisk {
        name: REPORT_DISK.into(),
        backend: Backend::nbd(socket, REPORT),
        read_only: false,
    });
    let domain = Domain {
        memory_mib: hardware::memory_mib(machine, accelerator),
        cpus: 1,
        kernel: Backend::nbd(socket, KERNEL),
        initramfs: start.initramfs.is_some().then(|| Backend::nbd(socket, INITRAMFS)),
        command_line: start.command_line,
        disks,
        cards: machine.nics.iter().map(|nic| Card { mac: nic.mac }).collect(),
    };
    let report = Arc::new(MemoryDisk::new(REPORT_SIZE));
    let mut exports = vec![
        (KERNEL.to_string(), nbd::Export::ReadOnly(whole_sectors(start.kernel))),
        (REPORT.to_string(), nbd::Export::Writable(Arc::clone(&report) as _)),
    ];
    if let Some(initramfs) = start.initramfs {
        exports.push((INITRAMFS.to_string(), nbd::Export::ReadOnly(whole_sectors(initramfs))));
    }
    let vm = host.machine(&domain, accelerator, directory).map_err(Error::Xen)?;
    Ok(Stage { vm, hardware: summary(&domain), exports, report })
}

/// The disk as Linux names it. Xen numbers disks by their place.
fn name(disk: &Disk) -> Result<String, Error> {
    let unit = disk.attachment.unit;
    match (u8::try_from(unit), unit < MOST_DISKS) {
        (Ok(unit), true) => Ok(format!("xvd{}", char::from(b'a' + unit))),
        _ => Err(Error::NoDomain {
            reason: format!("{} has the place {unit}, and there are {MOST_DISKS}", disk.id),
        }),
    }
}

/// A disk of these bytes, and zeroes up to a whole sector: neither a kernel nor an initramfs minds them.
fn whole_sectors(mut contents: Vec<u8>) -> Arc<dyn BlockRead> {
    contents.resize(contents.len().next_multiple_of(SECTOR), 0);
    Arc::new(MemoryDisk::from_bytes(contents))
}

/// The domain as the evidence states it, without what was added for the report.
fn summary(domain: &Domain) -> Hardware {
    let disks = domain.disks.iter().filter(|disk| disk.name != REPORT_DISK);
    let card = |card: &Card| match card.mac {
        Some(mac) => format!("xen-netback {mac}"),
        None => "xen-netback".to_string(),
    };
    Hardware {
        machine: "a PV domain".to_string(),
        firmware: "none: the domain is started by its kernel".to_string(),
        cpus: domain.cpus,
        memory_mib: domain.memory_mib,
        disks: disks.map(|disk| format!("xen-blkback {}", disk.name)).collect(),
        nics: domain.cards.iter().map(card).collect(),
        stand_ins: Vec::new(),
    }
}

/// What the guest wrote to the report's disk so far.
pub(crate) fn report(disk: &MemoryDisk) -> String {
    let bytes = disk.to_bytes();
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Whether a disk that the guest found is the one that was added.
pub(crate) fn is_report_disk(name: &str) -> bool {
    name == REPORT_DISK
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::BlockWrite;
    use machine::Attachment;

    fn disk(unit: u32) -> Disk {
        Disk {
            id: "disk1".into(),
            attachment: Attachment { bus: Bus::Xen, controller: 0, unit },
            ..Disk::default()
        }
    }

    #[test]
    fn disks_are_named_by_their_place() {
        assert_eq!(name(&disk(0)).unwrap(), "xvda");
        assert_eq!(name(&disk(19)).unwrap(), "xvdt");
        assert!(matches!(name(&disk(20)), Err(Error::NoDomain { .. })));
        assert!(matches!(name(&disk(u32::MAX)), Err(Error::NoDomain { .. })));
    }

    #[test]
    fn a_machine_may_have_several_disks_and_cards_but_not_any_number() {
        let mut machine = Machine { disks: (0..20).map(disk).collect(), ..Machine::default() };
        machine.nics = vec![machine::Nic::default(); 4];
        assert_eq!(not_emulated(&machine), None);
        machine.nics.push(machine::Nic::default());
        assert_eq!(not_emulated(&machine).unwrap(), "20 disks and 5 network cards are more than 24");
        machine = Machine { disks: vec![disk(0), Disk::default()], ..Machine::default() };
        assert!(not_emulated(&machine).is_some_and(|reason| reason.contains("has no bus")));
    }

    #[test]
    fn a_report_ends_where_nothing_was_written() {
        let disk = MemoryDisk::new(REPORT_SIZE);
        assert_eq!(report(&disk), "");
        disk.write_at(b"\nanyvisor-report-begin\n", 0).unwrap();
        assert_eq!(report(&disk), "\nanyvisor-report-begin\n");
    }

    #[test]
    fn boot_files_fill_whole_sectors() {
        assert_eq!(whole_sectors(vec![1; 513]).size(), 1024);
        assert_eq!(whole_sectors(Vec::new()).size(), 0);
    }
}
