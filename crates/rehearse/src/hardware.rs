//! The machine that a guest is rehearsed on: a [`Machine`] on a profile's hardware, as QEMU has it.

use crate::error::Error;
use crate::evidence::Hardware;
use crate::xen;
use machine::{Disk, Firmware, Machine, Nic};
use profile::{DiskHardware, Emulated, FirmwareKind, NicHardware, Profile, Rehearsal};
use qemu::{Accelerator, Backend, Boot, Port, Vm};
use std::path::Path;

/// The serial port of the console, `ttyS0` in a Linux guest.
pub(crate) const CONSOLE: &str = "console";
/// The serial port of the report, `ttyS1` in a Linux guest.
pub(crate) const REPORT: &str = "report";

/// The most memory that a guest gets, in MiB: enough for any system to come up, and no burden on the host.
const MOST_MEMORY: [(Accelerator, u64); 2] = [(Accelerator::Tcg, 1024), (Accelerator::Kvm, 2048)];
/// The least, also for a machine that states less or nothing.
const LEAST_MEMORY: u64 = 256;
const MIB: u64 = 1 << 20;

/// Describes the machine to QEMU, with its disks in `backends`.
pub(crate) fn vm(
    machine: &Machine,
    profile: &Profile,
    accelerator: Accelerator,
    backends: Vec<Backend>,
    nvram: Option<&Path>,
) -> Result<Vm, Error> {
    let firmware = FirmwareKind::from(&machine.firmware);
    let kind = profile
        .qemu_machine(firmware)
        .ok_or_else(|| Error::NotRehearsable { profile: profile.id.clone() })?;
    if backends.len() != machine.disks.len() {
        return Err(Error::Disks { stated: machine.disks.len(), given: backends.len() });
    }
    let mut vm = Vm::new(kind, accelerator);
    vm.boot = boot(&machine.firmware, nvram)?;
    if vm.boot == Boot::Bios {
        // SeaBIOS then writes what it and the boot loader print to the first serial port too.
        vm.machine.push_str(",graphics=off");
    }
    vm.cpus = cpus(machine);
    vm.memory_mib = memory_mib(machine, accelerator);
    vm.screen = true;
    // A first boot may reset the guest once; many resets are noticed.
    vm.no_reboot = false;
    for (index, (stated, backend)) in machine.disks.iter().zip(backends).enumerate() {
        vm.disks.push(disk(stated, firmware, boot_index(&machine.disks, index), backend, profile)?);
    }
    for stated in &machine.nics {
        vm.nics.push(nic(stated, profile)?);
    }
    vm.ports = vec![Port::console(CONSOLE), Port::console(REPORT)];
    Ok(vm)
}

fn boot(firmware: &Firmware, nvram: Option<&Path>) -> Result<Boot, Error> {
    let Firmware::Uefi(stated) = firmware else { return Ok(Boot::Bios) };
    let mut uefi = qemu::firmware::find(stated.secure_boot).map_err(Error::Qemu)?;
    if let Some(nvram) = nvram {
        uefi.variables = nvram.to_path_buf();
    }
    Ok(Boot::Uefi(uefi))
}

fn cpus(machine: &Machine) -> u32 {
    let host = std::thread::available_parallelism().map_or(1, |count| count.get());
    machine.cpu.count().clamp(1, u32::try_from(host).unwrap_or(u32::MAX))
}

pub(crate) fn memory_mib(machine: &Machine, accelerator: Accelerator) -> u64 {
    let most = MOST_MEMORY.iter().find(|(of, _)| *of == accelerator).map_or(LEAST_MEMORY, |(_, most)| *most);
    match machine.memory / MIB {
        0 => most,
        stated => stated.clamp(LEAST_MEMORY, most),
    }
}

/// The disk's place in the order of booting, from 0: by what the description says, then by the disks' own order.
fn boot_index(disks: &[Disk], index: usize) -> u32 {
    let rank = |index: usize| (disks.get(index).and_then(|disk| disk.boot_order).unwrap_or(u32::MAX), index);
    let before = (0..disks.len()).filter(|other| rank(*other) < rank(index)).count();
    u32::try_from(before).unwrap_or(u32::MAX)
}

fn disk(
    stated: &Disk,
    firmware: FirmwareKind,
    boot_index: u32,
    backend: Backend,
    profile: &Profile,
) -> Result<qemu::Disk, Error> {
    let mut disk = qemu::Disk::on(disk_hardware(stated, profile)?, firmware, backend).map_err(Error::Qemu)?;
    disk.boot_index = Some(boot_index);
    disk.serial = stated.serial.clone();
    // QEMU has no read-only ATA disk.
    disk.read_only = stated.read_only && disk.device != "ide-hd";
    Ok(disk)
}

fn disk_hardware<'p>(stated: &Disk, profile: &'p Profile) -> Result<&'p DiskHardware, Error> {
    let bus = stated.attachment.bus;
    profile.disk_hardware(bus).ok_or_else(|| Error::Bus {
        disk: stated.id.clone(),
        bus,
        profile: profile.id.clone(),
    })
}

fn nic(stated: &Nic, profile: &Profile) -> Result<qemu::Nic, Error> {
    qemu::Nic::on(nic_hardware(stated, profile)?, stated.mac).map_err(Error::Qemu)
}

fn nic_hardware<'p>(stated: &Nic, profile: &'p Profile) -> Result<&'p NicHardware, Error> {
    profile.nic_hardware(&stated.model).ok_or_else(|| Error::NetworkCard {
        nic: stated.id.clone(),
        model: stated.model.clone(),
        profile: profile.id.clone(),
    })
}

/// Refuses a machine with a disk or a card on what the profile does not have: nothing can be said of it there.
pub(crate) fn check(machine: &Machine, profile: &Profile) -> Result<(), Error> {
    machine.disks.iter().try_for_each(|disk| disk_hardware(disk, profile).map(drop))?;
    machine.nics.iter().try_for_each(|nic| nic_hardware(nic, profile).map(drop))
}

/// What QEMU has no device for, nor a stand-in; `None` when it can run the machine.
pub(crate) fn not_emulated(machine: &Machine, profile: &Profile) -> Option<String> {
    if let Some(Rehearsal::Xen { .. }) = &profile.rehearsal {
        return xen::not_emulated(machine);
    }
    let firmware = FirmwareKind::from(&machine.firmware);
    let disk = machine.disks.iter().find(|disk| {
        let hardware = profile.disk_hardware(disk.attachment.bus);
        hardware.is_some_and(|hardware| hardware.emulated(firmware).is_none())
    });
    let nic = machine
        .nics
        .iter()
        .find(|nic| profile.nic_hardware(&nic.model).is_some_and(|hardware| hardware.emulated().is_none()));
    disk.map(|disk| format!("QEMU has no bus {:?} for {}", disk.attachment.bus, disk.id))
        .or(nic.map(|nic| format!("QEMU has no card {:?} for {}", nic.model, nic.id)))
}

/// The devices that only a stand-in was there for, by their names in the machine.
fn stand_ins(machine: &Machine, profile: &Profile) -> Vec<String> {
    let firmware = FirmwareKind::from(&machine.firmware);
    let disks = machine.disks.iter().map(|disk| {
        let hardware = profile.disk_hardware(disk.attachment.bus);
        (&disk.id, hardware.and_then(|hardware| hardware.emulated(firmware)))
    });
    let nics = machine.nics.iter().map(|nic| {
        let hardware = profile.nic_hardware(&nic.model);
        (&nic.id, hardware.and_then(NicHardware::emulated))
    });
    let is_stand_in =
        |emulated: Option<Emulated<'_>>| emulated.is_some_and(|device| device.fallback.is_some());
    disks.chain(nics).filter(|(_, emulated)| is_stand_in(*emulated)).map(|(id, _)| id.clone()).collect()
}

/// The machine as the evidence states it.
pub(crate) fn summary(vm: &Vm, machine: &Machine, profile: &Profile) -> Hardware {
    let disk = |disk: &qemu::Disk| match &disk.controller {
        Some(controller) => format!("{} on {controller}", disk.device),
        None => disk.device.clone(),
    };
    let nic = |nic: &qemu::Nic| match nic.mac {
        Some(mac) => format!("{} {mac}", nic.device),
        None => nic.device.clone(),
    };
    Hardware {
        machine: vm.machine.split(',').next().unwrap_or_default().to_string(),
        firmware: match &vm.boot {
            Boot::Uefi(uefi) if uefi.secure_boot => "UEFI with secure boot".to_string(),
            Boot::Uefi(_) => "UEFI".to_string(),
            Boot::Bios | Boot::Kernel { .. } | Boot::Multiboot { .. } => "BIOS".to_string(),
        },
        cpus: vm.cpus,
        memory_mib: vm.memory_mib,
        disks: vm.disks.iter().map(disk).collect(),
        nics: vm.nics.iter().map(nic).collect(),
        stand_ins: stand_ins(machine, profile),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::{Attachment, Bus, NicModel, ScsiModel};

    fn stated_disk(id: &str, bus: Bus, boot_order: Option<u32>) -> Disk {
        Disk {
            id: id.into(),
            attachment: Attachment { bus, controller: 0, unit: 0 },
            boot_order,
            ..Disk::default()
        }
    }

    fn stated_machine() -> Machine {
        let virtio_scsi = Bus::Scsi(ScsiModel::VirtioScsi);
        Machine {
            memory: 16 << 30,
            disks: vec![stated_disk("disk1", virtio_scsi, None), stated_disk("disk2", virtio_scsi, Some(1))],
            nics: vec![Nic {
                id: "nic1".into(),
                model: NicModel::Virtio,
                mac: "00:50:56:01:02:03".parse().ok(),
                connected: true,
                ..Nic::default()
            }],
            ..Machine::default()
        }
    }

    fn backends(count: usize) -> Vec<Backend> {
        (0..count).map(|index| Backend::nbd("/run/nbd.sock", format!("disk{index}"))).collect()
    }

    #[test]
    fn a_machine_gets_its_profiles_hardware() {
        let kvm = profile::find("kvm").unwrap();
        let vm = vm(&stated_machine(), kvm, Accelerator::Tcg, backends(2), None).unwrap();
        assert_eq!((vm.machine.as_str(), vm.memory_mib), ("q35,graphics=off", 1024));
        assert_eq!(vm.disks.iter().map(|disk| disk.boot_index).collect::<Vec<_>>(), [Some(1), Some(0)]);
        let summary = summary(&vm, &stated_machine(), kvm);
        assert_eq!(summary.disks, ["scsi-hd on virtio-scsi-pci", "scsi-hd on virtio-scsi-pci"]);
        assert_eq!(summary.nics, ["virtio-net-pci 00:50:56:01:02:03"]);
        assert_eq!((summary.machine.as_str(), summary.firmware.as_str()), ("q35", "BIOS"));
    }

    #[test]
    fn what_the_profile_lacks_is_an_error() {
        let kvm = profile::find("kvm").unwrap();
        let xen = profile::find("xen").unwrap();
        let mut machine = stated_machine();
        let refused = |machine: &Machine, profile, count| {
            vm(machine, profile, Accelerator::Tcg, backends(count), None).unwrap_err()
        };
        assert!(matches!(refused(&machine, xen, 2), Error::NotRehearsable { .. }));
        assert!(matches!(refused(&machine, kvm, 1), Error::Disks { stated: 2, given: 1 }));
        machine.nics[0].model = NicModel::Vmxnet3;
        assert!(matches!(refused(&machine, kvm, 2), Error::NetworkCard { .. }));
        machine.disks[0].attachment.bus = Bus::Scsi(ScsiModel::Pvscsi);
        assert!(matches!(refused(&machine, kvm, 2), Error::Bus { .. }));
    }

    #[test]
    fn a_machine_that_states_no_memory_gets_some() {
        let machine = |memory| Machine { memory, ..Machine::default() };
        assert_eq!(memory_mib(&machine(0), Accelerator::Kvm), 2048);
        assert_eq!(memory_mib(&machine(64 << 20), Accelerator::Kvm), 256);
        assert_eq!(memory_mib(&machine(512 << 20), Accelerator::Tcg), 512);
    }
}
