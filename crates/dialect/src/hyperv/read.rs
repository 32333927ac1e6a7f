//! From Hyper-V's terms to a [`Machine`].

use super::drives;
use super::facts::{BootDevice, Facts, RemovableDriveKind, StartupDevice};
use machine::{
    Clock, Cpu, Firmware, Machine, Nic, NicModel, Property, RemovableKind, SerialPort, SerialTarget, Smbios,
    Tpm, Uefi, Video,
};
use uuid::Uuid;

/// The dialect that a machine's kept properties are of.
pub(super) const PROPERTIES: &str = "hyperv";

impl Facts {
    /// The machine that has these facts.
    pub fn machine(&self) -> Machine {
        let mut machine = Machine {
            name: self.name.clone(),
            bios_uuid: self.bios_guid.map(|guid| guest_uuid(guid, self.generation)),
            firmware: self.firmware(),
            cpu: self.cpu(),
            memory: self.memory_startup_bytes,
            max_memory: self.memory_maximum_bytes,
            smbios: Smbios {
                serial: self.bios_serial_number.clone(),
                asset_tag: self.chassis_asset_tag.clone(),
                ..Smbios::default()
            },
            disks: drives::disks(&self.hard_drives),
            removables: self.removable_drives.iter().map(drives::removable).collect(),
            nics: self.nics(),
            serials: self.serials(),
            tpm: self.tpm.then_some(Tpm { version: 2 }),
            video: Some(Video::default()),
            // The clock follows the host's local time, whatever the guest is.
            clock: Clock::LocalTime,
            notes: self.notes.clone(),
            properties: self.properties(),
            ..Machine::default()
        };
        match self.generation {
            1 => self.number_kinds(&mut machine),
            _ => self.number_devices(&mut machine),
        }
        machine
    }

    fn firmware(&self) -> Firmware {
        match self.generation {
            1 => Firmware::Bios,
            _ => Firmware::Uefi(Uefi { secure_boot: self.secure_boot.is_some(), nvram: None }),
        }
    }

    /// All processors in one socket, as a guest sees them that fits into one NUMA node of the host.
    fn cpu(&self) -> Cpu {
        let count = self.processor_count.max(1);
        let threads = self.hw_thread_count_per_core.unwrap_or(1);
        let threads = if threads > 0 && count.is_multiple_of(threads) { threads } else { 1 };
        Cpu { sockets: 1, cores_per_socket: count / threads, threads_per_core: threads }
    }

    fn nics(&self) -> Vec<Nic> {
        let adapter = |(index, adapter): (usize, &super::NetworkAdapter)| Nic {
            id: format!("nic{}", index + 1),
            model: if adapter.is_legacy { NicModel::Tulip } else { NicModel::HyperV },
            mac: adapter.static_mac_address,
            network: adapter.switch_name.clone(),
            vlan: adapter.vlan_id,
            connected: adapter.switch_name.is_some(),
            boot_order: None,
        };
        self.network_adapters.iter().enumerate().map(adapter).collect()
    }

    fn serials(&self) -> Vec<SerialPort> {
        let last = self.com_ports.iter().map(|port| port.number).max().unwrap_or(0).min(2);
        let target = |number| match self.com_ports.iter().find(|port| port.number == number) {
            Some(port) => SerialTarget::Pipe(port.path.clone()),
            None => SerialTarget::Console,
        };
        (1..=last).map(|number| SerialPort { target: target(number) }).collect()
    }

    fn properties(&self) -> Vec<Property> {
        let property = |kept: &super::KeptProperty| Property {
            dialect: PROPERTIES.to_owned(),
            key: kept.key.clone(),
            value: kept.value.clone(),
        };
        self.properties.iter().map(property).collect()
    }

    /// The BIOS knows kinds of devices only: the devices of a kind follow each other.
    fn number_kinds(&self, machine: &mut Machine) {
        let mut next = 1..;
        for kind in &self.startup_order {
            let ide = machine.disks.iter_mut().filter(|disk| disk.attachment.bus == machine::Bus::Ide);
            let drives = |of: RemovableKind| move |drive: &&mut machine::Removable| drive.kind == of;
            let removables = machine.removables.iter_mut();
            let legacy = machine.nics.iter_mut().filter(|nic| nic.model == NicModel::Tulip);
            let orders: Vec<&mut Option<u32>> = match kind {
                StartupDevice::Ide => ide.map(|disk| &mut disk.boot_order).collect(),
                StartupDevice::Cd => removables
                    .filter(drives(RemovableKind::Cdrom))
                    .map(|drive| &mut drive.boot_order)
                    .collect(),
                StartupDevice::Floppy => removables
                    .filter(drives(RemovableKind::Floppy))
                    .map(|drive| &mut drive.boot_order)
                    .collect(),
                StartupDevice::LegacyNetworkAdapter => legacy.map(|nic| &mut nic.boot_order).collect(),
            };
            for order in orders.into_iter().filter(|order| order.is_none()) {
                *order = next.next();
            }
        }
    }

    fn number_devices(&self, machine: &mut Machine) {
        let mut next = 1..;
        for device in &self.boot_order {
            let order = match *device {
                BootDevice::HardDrive(index) => machine.disks.get_mut(index).map(|disk| &mut disk.boot_order),
                BootDevice::RemovableDrive(index) => {
                    machine.removables.get_mut(index).map(|drive| &mut drive.boot_order)
                }
                BootDevice::NetworkAdapter(index) => {
                    machine.nics.get_mut(index).map(|nic| &mut nic.boot_order)
                }
            };
            if let Some(order @ None) = order {
                *order = next.next();
            }
        }
    }
}

impl From<RemovableDriveKind> for RemovableKind {
    fn from(kind: RemovableDriveKind) -> Self {
        match kind {
            RemovableDriveKind::Dvd => Self::Cdrom,
            RemovableDriveKind::Floppy => Self::Floppy,
        }
    }
}

/// The UUID that a guest reads where Hyper-V says `guid`, and the other way round. The BIOS of generation 1 speaks SMBIOS
/// 2.3, in which the bytes of a GUID are not reordered yet; SMBIOS 2.6 (section 3.3.2.1), and with it generation 2,
/// gives the first three fields in little-endian order.
pub(super) fn guest_uuid(guid: Uuid, generation: u8) -> Uuid {
    if generation == 1 { Uuid::from_bytes(guid.to_bytes_le()) } else { guid }
}
