//! The devices that a hypervisor gives.

use crate::Profile;
use machine::{Attachment, Bus, Firmware, NicModel};
use serde::{Deserialize, Serialize};

/// A bus for disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskHardware {
    /// The bus.
    pub bus: Bus,
    /// The firmware under which it is there; under both when absent.
    pub firmware: Option<FirmwareKind>,
    /// Whether the firmware can start the guest from it.
    #[serde(default = "yes")]
    pub boots: bool,
    /// Where drives go on it.
    pub place: Place,
    /// The Linux modules that reach a disk on it, in the order in which they are loaded.
    pub linux: Vec<String>,
    /// What a Linux guest calls its disks: `sd`, `vd`, `nvme`, `xvd`.
    pub linux_name: String,
    /// QEMU's device for the controller, where the bus needs one.
    pub qemu_controller: Option<String>,
    /// QEMU's device for the disk.
    pub qemu_disk: Option<String>,
}

/// A bus for CD-ROM drives. It shares places with the disks of the same bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CdromHardware {
    /// The bus.
    pub bus: Bus,
    /// The firmware under which it is there; under both when absent.
    pub firmware: Option<FirmwareKind>,
    /// Where drives go on it.
    pub place: Place,
}

/// How many drives there can be on a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Controllers at most.
    pub controllers: u32,
    /// Drives on each, at most.
    pub units: u32,
    /// The unit that the controller has itself.
    pub reserved_unit: Option<u32>,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NicHardware {
    /// The model.
    pub model: NicModel,
    /// The firmware under which it is there; under both when absent.
    pub firmware: Option<FirmwareKind>,
    /// The Linux modules that drive it, in the order in which they are loaded.
    pub linux: Vec<String>,
    /// QEMU's device for it.
    pub qemu: Option<String>,
}

/// A kind of firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirmwareKind {
    /// A PC BIOS.
    Bios,
    /// UEFI.
    Uefi,
}

fn yes() -> bool {
    true
}

impl From<&Firmware> for FirmwareKind {
    fn from(firmware: &Firmware) -> Self {
        match firmware {
            Firmware::Bios => Self::Bios,
            Firmware::Uefi(_) => Self::Uefi,
        }
    }
}

impl Place {
    /// All places on `bus`, in the order in which they are filled.
    pub fn all(self, bus: Bus) -> impl Iterator<Item = Attachment> {
        let places = (0..self.controllers)
            .flat_map(move |controller| (0..self.units).map(move |unit| (controller, unit)));
        places
            .filter(move |(_, unit)| self.reserved_unit != Some(*unit))
            .map(move |(controller, unit)| Attachment { bus, controller, unit })
    }

    /// Whether there is such a place.
    pub fn holds(self, at: Attachment) -> bool {
        at.controller < self.controllers && at.unit < self.units && self.reserved_unit != Some(at.unit)
    }
}

impl Profile {
    /// What it offers for disks on `bus`.
    pub fn disk_hardware(&self, bus: Bus) -> Option<&DiskHardware> {
        self.disk.iter().find(|hardware| hardware.bus == bus)
    }

    /// What it offers for a network card of `model`.
    pub fn nic_hardware(&self, model: &NicModel) -> Option<&NicHardware> {
        self.nic.iter().find(|hardware| hardware.model == *model)
    }

    /// The buses for disks under that firmware, the preferred one first.
    pub fn disks_for(&self, firmware: FirmwareKind) -> impl Iterator<Item = &DiskHardware> {
        self.disk.iter().filter(move |hardware| hardware.firmware.is_none_or(|kind| kind == firmware))
    }

    /// The buses for CD-ROM drives under that firmware, the preferred one first.
    pub fn cdroms_for(&self, firmware: FirmwareKind) -> impl Iterator<Item = &CdromHardware> {
        self.cdrom.iter().filter(move |hardware| hardware.firmware.is_none_or(|kind| kind == firmware))
    }

    /// The network cards under that firmware, the preferred one first.
    pub fn nics_for(&self, firmware: FirmwareKind) -> impl Iterator<Item = &NicHardware> {
        self.nic.iter().filter(move |hardware| hardware.firmware.is_none_or(|kind| kind == firmware))
    }

    /// Whether it has that firmware.
    pub fn offers(&self, firmware: FirmwareKind) -> bool {
        match firmware {
            FirmwareKind::Bios => self.firmware.bios,
            FirmwareKind::Uefi => self.firmware.uefi,
        }
    }
}
