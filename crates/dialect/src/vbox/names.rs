//! VirtualBox's names of devices, and what they are to a [`Machine`](machine::Machine). The first name of a device is
//! the one that is written.

use machine::{Bus, NicModel, ScsiModel, UsbController};

/// A type of storage controller.
#[derive(Debug)]
pub(super) struct Controller {
    /// Its `type`.
    pub(super) kind: &'static str,
    /// What hangs on it.
    pub(super) bus: Bus,
    /// The name that VirtualBox gives to a machine's only one.
    pub(super) name: &'static str,
    /// Whether the host's cache is used unless something else is said.
    pub(super) host_cache: bool,
    /// Ports at least.
    pub(super) ports: u32,
    /// The device of the virtual machine whose settings a disk's serial number is kept in; `None` when the type has no
    /// serial numbers to set (user manual, "Configuring the Hard Disk Vendor Product Data").
    pub(super) serials: Option<&'static str>,
}

const fn controller(
    kind: &'static str,
    bus: Bus,
    name: &'static str,
    host_cache: bool,
    ports: u32,
) -> Controller {
    let serials = match bus {
        Bus::Ide => Some("piix3ide"),
        Bus::Sata => Some("ahci"),
        _ => None,
    };
    Controller { kind, bus, name, host_cache, ports, serials }
}

/// Every type of storage controller.
pub(super) static CONTROLLERS: [Controller; 11] = [
    controller("AHCI", Bus::Sata, "SATA", false, 1),
    controller("PIIX4", Bus::Ide, "IDE", true, 2),
    controller("PIIX3", Bus::Ide, "IDE", true, 2),
    controller("ICH6", Bus::Ide, "IDE", true, 2),
    controller("LsiLogic", Bus::Scsi(ScsiModel::LsiLogic), "SCSI", false, 16),
    controller("BusLogic", Bus::Scsi(ScsiModel::BusLogic), "BusLogic", false, 16),
    controller("LsiLogicSas", Bus::Scsi(ScsiModel::LsiSas), "SAS", false, 1),
    controller("VirtioSCSI", Bus::Scsi(ScsiModel::VirtioScsi), "VirtIO", false, 1),
    controller("NVMe", Bus::Nvme, "NVMe", false, 1),
    controller("USB", Bus::Usb, "USB", false, 8),
    controller("I82078", Bus::Floppy, "Floppy", true, 1),
];

impl Controller {
    /// The type of that name.
    pub(super) fn named(kind: &str) -> Option<&'static Self> {
        CONTROLLERS.iter().find(|controller| controller.kind == kind)
    }

    /// The type that is written for a bus.
    pub(super) fn of(bus: Bus) -> Option<&'static Self> {
        CONTROLLERS.iter().find(|controller| controller.bus == bus)
    }

    /// Whether it is the type that is written for its bus.
    pub(super) fn is_usual(&self) -> bool {
        Self::of(self.bus).is_some_and(|usual| usual.kind == self.kind)
    }
}

/// Every type of network card.
pub(super) static CARDS: [(&str, NicModel); 7] = [
    ("82545EM", NicModel::E1000),
    ("82540EM", NicModel::E1000),
    ("82543GC", NicModel::E1000),
    ("Am79C973", NicModel::Pcnet),
    ("Am79C970A", NicModel::Pcnet),
    ("Am79C960", NicModel::Pcnet),
    ("virtio", NicModel::Virtio),
];

/// The type that is written for a model of network card.
pub(super) fn card(model: &NicModel) -> Option<&'static str> {
    CARDS.iter().find(|(_, known)| known == model).map(|(name, _)| *name)
}

/// Every type of USB controller.
pub(super) const USB: [(&str, UsbController); 3] =
    [("OHCI", UsbController::Usb1), ("EHCI", UsbController::Usb2), ("XHCI", UsbController::Usb3)];

/// Every type of graphics card.
pub(super) const GRAPHICS: [&str; 5] = ["VMSVGA", "VBoxSVGA", "VBoxVGA", "VGAWithVirtioGPU", "VirtioGPU"];

/// The formats of images, as `anyvisor disk` and as VirtualBox calls them.
pub(super) const FORMATS: [(&str, &str); 7] = [
    ("vdi", "VDI"),
    ("vmdk", "VMDK"),
    ("vhd", "VHD"),
    ("parallels", "Parallels"),
    ("qed", "QED"),
    ("qcow", "QCOW"),
    ("raw", "RAW"),
];

/// The versions of a TPM by type.
pub(super) const TPMS: [(&str, u8); 2] = [("v2_0", 2), ("v1_2", 1)];

/// Where the serial ports of a PC are: I/O port and interrupt, by slot.
pub(super) const SERIAL_PORTS: [(&str, u8); 4] = [("0x3f8", 4), ("0x2f8", 3), ("0x3e8", 4), ("0x2e8", 3)];
