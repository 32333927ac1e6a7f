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
    /// The ids by which the kernel asks for them, as it writes them (`MODALIAS` of udev): one for each.
    pub modalias: Vec<String>,
    /// What a Linux guest calls its disks: `sd`, `vd`, `nvme`, `xvd`.
    pub linux_name: String,
    /// QEMU's device for the controller, where the bus needs one.
    pub qemu_controller: Option<String>,
    /// QEMU's device for the disk.
    pub qemu_disk: Option<String>,
    /// The firmware of QEMU's that can start from it; both can when absent. (Distributions build OVMF without VMware's
    /// and LSI's controllers.)
    pub qemu_boots: Option<FirmwareKind>,
    /// What takes its place in a rehearsal, where QEMU has no such bus or cannot start from it.
    pub fallback: Option<Fallback>,
}

/// A device of QEMU's that takes the place of another in a rehearsal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// The Linux modules that it needs and the real device does not.
    pub linux: Vec<String>,
    /// QEMU's device for the controller, where one is needed.
    pub qemu_controller: Option<String>,
    /// QEMU's device.
    pub qemu: String,
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
    /// The ids by which the kernel asks for them, as it writes them (`MODALIAS` of udev): one for each.
    pub modalias: Vec<String>,
    /// QEMU's device for it.
    pub qemu: Option<String>,
    /// What takes its place in a rehearsal, where QEMU has no such card.
    pub fallback: Option<Fallback>,
}

/// What QEMU has for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emulated<'a> {
    /// Its device for the controller, where one is needed.
    pub controller: Option<&'a str>,
    /// Its device.
    pub device: &'a str,
    /// Where that is another device, which merely takes the place.
    pub fallback: Option<&'a Fallback>,
}

/// A Linux module that a device needs, and the id by which the kernel asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeededModule<'a> {
    /// The module.
    pub module: &'a str,
    /// The id: `pci:v000015ADd000007C0…`, `vmbus:…`, `xen:vbd`.
    pub modalias: &'a str,
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

impl DiskHardware {
    /// What QEMU has for a disk on it, on a machine of that firmware; `None` for nothing that a guest could be started from.
    pub fn emulated(&self, firmware: FirmwareKind) -> Option<Emulated<'_>> {
        let starts = self.qemu_boots.is_none_or(|kind| kind == firmware);
        let own = self.qemu_disk.as_deref().filter(|_| starts).map(|device| Emulated {
            controller: self.qemu_controller.as_deref(),
            device,
            fallback: None,
        });
        own.or(self.fallback.as_ref().map(Fallback::emulated))
    }

    /// The modules that it needs with their ids, in the order in which they are loaded.
    pub fn modules(&self) -> impl Iterator<Item = NeededModule<'_>> {
        needed(&self.linux, &self.modalias)
    }
}

impl NicHardware {
    /// What QEMU has for it.
    pub fn emulated(&self) -> Option<Emulated<'_>> {
        let own = self.qemu.as_deref().map(|device| Emulated { controller: None, device, fallback: None });
        own.or(self.fallback.as_ref().map(Fallback::emulated))
    }

    /// The modules that it needs with their ids, in the order in which they are loaded.
    pub fn modules(&self) -> impl Iterator<Item = NeededModule<'_>> {
        needed(&self.linux, &self.modalias)
    }
}

impl Fallback {
    fn emulated(&self) -> Emulated<'_> {
        Emulated { controller: self.qemu_controller.as_deref(), device: &self.qemu, fallback: Some(self) }
    }
}

fn needed<'a>(modules: &'a [String], ids: &'a [String]) -> impl Iterator<Item = NeededModule<'a>> {
    modules.iter().zip(ids).map(|(module, modalias)| NeededModule { module, modalias })
}

impl Profile {
    /// Every Linux module that its hardware, or a stand-in for it, needs.
    pub fn linux_modules(&self) -> impl Iterator<Item = &str> {
        let disks = self.disk.iter().map(|disk| (&disk.linux, &disk.fallback));
        let nics = self.nic.iter().map(|nic| (&nic.linux, &nic.fallback));
        let modules = disks.chain(nics).flat_map(|(own, fallback)| {
            own.iter().chain(fallback.iter().flat_map(|fallback| &fallback.linux))
        });
        modules.map(String::as_str)
    }

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
