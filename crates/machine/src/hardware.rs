//! The parts of a virtual machine.

use crate::MacAddress;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What starts the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// A PC BIOS.
    #[default]
    Bios,
    /// UEFI.
    Uefi(Uefi),
}

/// What is to be known of UEFI firmware.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uefi {
    /// Whether the firmware refuses unsigned boot loaders.
    pub secure_boot: bool,
    /// The file with the firmware's variables, as the source names it.
    pub nvram: Option<String>,
}

/// Processors. `sockets * cores_per_socket * threads_per_core` is their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// Sockets, at least 1.
    pub sockets: u32,
    /// Cores in each socket, at least 1.
    pub cores_per_socket: u32,
    /// Threads in each core, at least 1.
    pub threads_per_core: u32,
}

impl Cpu {
    /// The number of virtual processors.
    pub fn count(&self) -> u32 {
        self.sockets.saturating_mul(self.cores_per_socket).saturating_mul(self.threads_per_core)
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Self { sockets: 1, cores_per_socket: 1, threads_per_core: 1 }
    }
}

/// A cell of processors with memory of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumaNode {
    /// Its virtual processors, by number from 0.
    pub cpus: Vec<u32>,
    /// Its memory in bytes.
    pub memory: u64,
}

/// What the firmware tells the guest about the machine (SMBIOS types 1 to 3): Windows' activation by the maker and
/// cloud-init look here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Smbios {
    /// The system's manufacturer.
    pub manufacturer: Option<String>,
    /// The system's product name.
    pub product: Option<String>,
    /// The system's version.
    pub version: Option<String>,
    /// The system's serial number.
    pub serial: Option<String>,
    /// The system's SKU number.
    pub sku: Option<String>,
    /// The system's family.
    pub family: Option<String>,
    /// The chassis' asset tag.
    pub asset_tag: Option<String>,
}

/// A hard disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// A name of ours, unique in the machine: `disk1`, `disk2`, … in order.
    pub id: String,
    /// Where it hangs.
    pub attachment: Attachment,
    /// Its image as the description names it: a file name, or the member of a package. Untrusted: only a `Gate`
    /// may turn it into a file.
    pub source: Option<String>,
    /// Its format as the description declares it (`vmdk`, `qcow2`, `raw`, …); `None` leaves it to probing.
    pub format: Option<String>,
    /// Its size in bytes as the description declares it.
    pub capacity: Option<u64>,
    /// The serial number that the guest sees.
    pub serial: Option<String>,
    /// Its place in the boot order, from 1.
    pub boot_order: Option<u32>,
    /// Whether the guest may not write.
    pub read_only: bool,
    /// Whether snapshots leave it out (VMware's independent mode).
    pub independent: bool,
    /// Whether other machines use it too.
    pub shared: bool,
    /// How the host caches it; `None` leaves it to the hypervisor.
    #[serde(default)]
    pub cache: Option<Cache>,
    /// Whether the guest is told that it does not rotate.
    #[serde(default)]
    pub ssd: bool,
    /// Whether it is a disk or a logical unit of the source's host (VMware's raw device mapping, a passed-through disk).
    #[serde(default)]
    pub raw_device: bool,
}

/// How the host caches a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cache {
    /// Not at all; the disk's own cache is flushed when the guest says so.
    None,
    /// Reads and writes; flushed when the guest says so.
    WriteBack,
    /// Reads; a write is durable when the guest hears of it.
    WriteThrough,
    /// Not at all, and a write is durable when the guest hears of it.
    DirectSync,
    /// Reads and writes, never flushed.
    Unsafe,
}

/// Where a drive hangs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attachment {
    /// The kind of bus.
    pub bus: Bus,
    /// Which controller of that kind, from 0. An IDE channel counts as a controller.
    pub controller: u32,
    /// The place on it, from 0.
    pub unit: u32,
}

/// The kind of bus that a drive hangs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bus {
    /// Parallel ATA.
    #[default]
    Ide,
    /// Serial ATA behind an AHCI controller.
    Sata,
    /// SCSI, with the controller's model.
    Scsi(ScsiModel),
    /// NVM Express.
    Nvme,
    /// virtio-blk: each disk is its own PCI device.
    VirtioBlk,
    /// Xen's paravirtual block device (`xvdX`).
    Xen,
    /// USB mass storage.
    Usb,
    /// A floppy controller.
    Floppy,
}

impl Bus {
    /// What a Linux guest calls the disks on it, before their letters or numbers.
    pub fn linux_name(self) -> &'static str {
        match self {
            Self::VirtioBlk => "vd",
            Self::Nvme => "nvme",
            Self::Floppy => "fd",
            Self::Xen => "xvd",
            Self::Ide | Self::Sata | Self::Scsi(_) | Self::Usb => "sd",
        }
    }
}

/// The model of a SCSI controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScsiModel {
    /// BusLogic BT-958.
    BusLogic,
    /// LSI Logic 53c1030 (parallel).
    LsiLogic,
    /// LSI SAS1068.
    LsiSas,
    /// VMware's paravirtual controller.
    Pvscsi,
    /// virtio-scsi.
    VirtioScsi,
    /// Hyper-V's synthetic controller.
    HyperV,
}

/// A drive for media that come and go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removable {
    /// CD-ROM or floppy.
    pub kind: RemovableKind,
    /// Where it hangs.
    pub attachment: Attachment,
    /// The image in it, as the description names it.
    pub medium: Option<String>,
    /// Whether it is connected when the machine starts.
    pub connected: bool,
    /// Its place in the boot order, from 1.
    pub boot_order: Option<u32>,
}

/// The kind of a removable drive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemovableKind {
    /// CD or DVD.
    #[default]
    Cdrom,
    /// Floppy.
    Floppy,
}

/// A network card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// A name of ours, unique in the machine: `nic1`, `nic2`, … in order.
    pub id: String,
    /// The model.
    pub model: NicModel,
    /// The hardware address; `None` when the description leaves it to the hypervisor.
    pub mac: Option<MacAddress>,
    /// The network, port group or bridge, as the description names it.
    pub network: Option<String>,
    /// The VLAN whose frames it gets untagged, 1 to 4094.
    #[serde(default)]
    pub vlan: Option<u16>,
    /// Whether it is connected when the machine starts.
    pub connected: bool,
    /// Its place in the boot order, from 1.
    pub boot_order: Option<u32>,
}

/// The model of a network card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NicModel {
    /// AMD PCnet32 (VMware's vlance and flexible).
    Pcnet,
    /// Intel 82545EM.
    #[default]
    E1000,
    /// Intel 82574L.
    E1000e,
    /// VMware's second paravirtual card.
    Vmxnet2,
    /// VMware's third paravirtual card.
    Vmxnet3,
    /// virtio-net.
    Virtio,
    /// Realtek 8139.
    Rtl8139,
    /// DEC 21140, Hyper-V's legacy card.
    Tulip,
    /// Hyper-V's synthetic card.
    HyperV,
    /// Xen's paravirtual card.
    Xen,
    /// A model that is none of these, by the source's name for it.
    Other(String),
}

impl fmt::Display for NicModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcnet => "pcnet",
            Self::E1000 => "e1000",
            Self::E1000e => "e1000e",
            Self::Vmxnet2 => "vmxnet2",
            Self::Vmxnet3 => "vmxnet3",
            Self::Virtio => "virtio",
            Self::Rtl8139 => "rtl8139",
            Self::Tulip => "tulip",
            Self::HyperV => "hyper-v",
            Self::Xen => "xen",
            Self::Other(name) => name,
        })
    }
}

/// A serial port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialPort {
    /// What is at its other end.
    pub target: SerialTarget,
}

/// What is at the other end of a serial port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SerialTarget {
    /// A terminal of the hypervisor's choice.
    Console,
    /// A file that receives the output, as the description names it.
    File(String),
    /// A named pipe or Unix socket.
    Pipe(String),
    /// A network address.
    Network(String),
    /// A port of the host, by the host's name for it.
    Device(String),
}

/// A trusted platform module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tpm {
    /// The major version: 1 or 2.
    pub version: u8,
}

/// A USB controller, by the fastest that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UsbController {
    /// USB 1.1 (UHCI or OHCI).
    Usb1,
    /// USB 2.0 (EHCI).
    Usb2,
    /// USB 3 (xHCI).
    Usb3,
}

/// A graphics card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Video {
    /// The model by the source's name for it (`vga`, `qxl`, `vmsvga`), where it is said.
    #[serde(default)]
    pub model: Option<String>,
    /// Video memory in bytes, where it is said.
    pub memory: Option<u64>,
}

/// What the hardware clock holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// Universal time.
    #[default]
    Utc,
    /// The guest's local time.
    LocalTime,
}

/// A fact of the source's that has no place of its own in a [`crate::Machine`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Property {
    /// The dialect that said it: `vmx`, `ovf`, `libvirt`.
    pub dialect: String,
    /// Its name there.
    pub key: String,
    /// Its value there.
    pub value: String,
}
