//! The hypervisor-neutral virtual machine ([`Machine`]), and the [`Loss`] report of whatever a description
//! cannot carry.
//!
//! A dialect reads a description into a `Machine` and writes one from it; between the two it is plain, owned
//! data. This crate uses no other crate of the workspace.

mod difference;
mod hardware;
mod loss;
mod mac;
mod objection;

pub use difference::{Difference, differences};
pub use hardware::{
    Attachment, Bus, Cache, Clock, Cpu, Disk, Firmware, Nic, NicModel, NumaNode, Property, Removable,
    RemovableKind, ScsiModel, SerialPort, SerialTarget, Smbios, Tpm, Uefi, UsbController, Video,
};
pub use loss::{Loss, Severity};
pub use mac::{MacAddress, ParseMacError};
pub use objection::Objection;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A virtual machine, as every hypervisor could say it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// What the administrator calls it. Untrusted text: never a file name or shell word as it stands.
    pub name: String,
    /// The BIOS (SMBIOS system) UUID, in the byte order that the guest's `dmidecode` prints. Windows activation and
    /// cloud-init hang on it.
    pub bios_uuid: Option<Uuid>,
    /// What starts the guest.
    pub firmware: Firmware,
    /// Processors.
    pub cpu: Cpu,
    /// The most processors that can be plugged in while it runs; `None` when none can.
    #[serde(default)]
    pub max_cpus: Option<u32>,
    /// Memory in bytes.
    pub memory: u64,
    /// The most memory that can be plugged in while it runs, in bytes; `None` when none can.
    #[serde(default)]
    pub max_memory: Option<u64>,
    /// Cells of processors and memory; empty when memory is one piece.
    #[serde(default)]
    pub numa: Vec<NumaNode>,
    /// What the firmware tells the guest about the machine.
    #[serde(default)]
    pub smbios: Smbios,
    /// Disks in the order in which the firmware and the guest would number them.
    pub disks: Vec<Disk>,
    /// CD-ROM and floppy drives.
    pub removables: Vec<Removable>,
    /// Network cards in slot order.
    pub nics: Vec<Nic>,
    /// Serial ports in port order.
    pub serials: Vec<SerialPort>,
    /// USB controllers.
    #[serde(default)]
    pub usb: Vec<UsbController>,
    /// The trusted platform module.
    pub tpm: Option<Tpm>,
    /// The graphics card.
    pub video: Option<Video>,
    /// What the hardware clock holds.
    pub clock: Clock,
    /// The guest operating system as the source names it, with whose name it is: (`vmware`, `debian12-64`).
    pub guest_os: Option<GuestOs>,
    /// The administrator's notes.
    pub notes: Option<String>,
    /// What the source said and nothing above holds, kept for the way back.
    pub properties: Vec<Property>,
}

/// A guest operating system's identifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestOs {
    /// Whose list the identifier is from: `vmware`, `cim` (the numbers of OVF), `libosinfo`, `virtualbox`, `proxmox`.
    pub vocabulary: String,
    /// The identifier.
    pub id: String,
}
