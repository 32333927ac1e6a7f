//! What the administrator asks for: [`Request`].

use crate::mapping::Mapping;
use machine::{Cpu, Firmware, Machine, Uefi};
use profile::FirmwareKind;

/// What the administrator asks for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The new machine's name; `None` takes the source's.
    pub name: Option<String>,
    /// How the machine is packed, by the name of one of the profile's packings; `None` takes the usual one.
    pub packing: Option<String>,
    /// The kind of the new disks, by the name of one of the packing's; `None` takes the usual one.
    pub disk_kind: Option<String>,
    /// Whether the guest inside is left as it is.
    pub disks_only: bool,
    /// The firmware that the new machine has to have; a machine keeps its own, so another one is an objection.
    pub firmware: Option<FirmwareKind>,
    /// What the new machine has instead of what the source says, or does not say.
    pub hardware: Hardware,
    /// What the source's networks and storages are on the target.
    pub mapping: Mapping,
}

/// Hardware that the administrator chooses. A lone disk says nothing of the machine around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hardware {
    /// Virtual processors, as cores of one socket.
    pub cpus: Option<u32>,
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// What starts the guest.
    pub firmware: Option<FirmwareKind>,
}

impl Hardware {
    /// The machine with what was chosen.
    pub(crate) fn of(&self, machine: &Machine) -> Machine {
        let mut machine = machine.clone();
        if let Some(cpus) = self.cpus {
            machine.cpu = Cpu { sockets: 1, cores_per_socket: cpus, threads_per_core: 1 };
        }
        machine.memory = self.memory.unwrap_or(machine.memory);
        match self.firmware {
            Some(FirmwareKind::Bios) => machine.firmware = Firmware::Bios,
            Some(FirmwareKind::Uefi) if machine.firmware == Firmware::Bios => {
                machine.firmware = Firmware::Uefi(Uefi::default());
            }
            _ => {}
        }
        machine
    }
}
