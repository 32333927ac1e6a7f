//! A machine for QEMU, as data: [`Vm`] and its devices.

use crate::accelerator::Accelerator;
use crate::error::{Error, Result};
use crate::firmware::Uefi;
use machine::MacAddress;
use profile::{DiskHardware, FirmwareKind, NicHardware};
use std::path::PathBuf;

/// A machine that QEMU is to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Vm {
    /// QEMU's machine type: `q35`, `pc`, `microvm`, with its own options after a comma.
    pub machine: String,
    /// What runs the guest's instructions.
    pub accelerator: Accelerator,
    /// Virtual processors, at least 1.
    pub cpus: u32,
    /// Features of the processor that the guest does not see: `xsave`.
    pub withheld: Vec<String>,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Bound of the cache of translated code in MiB; only TCG has one. It counts towards QEMU's own memory.
    pub translation_cache_mib: u32,
    /// What is started first.
    pub boot: Boot,
    /// The disks, in the order in which the guest finds them.
    pub disks: Vec<Disk>,
    /// The network cards. None of them reaches anything outside.
    pub nics: Vec<Nic>,
    /// Serial ports.
    pub ports: Vec<Port>,
    /// Whether there is a screen (standard VGA, shown nowhere). Some boot loaders want one.
    pub screen: bool,
    /// Whether the guest gets random numbers from the host (virtio-rng).
    pub random: bool,
    /// Whether a reset ends QEMU instead.
    pub no_reboot: bool,
}

impl Vm {
    /// A machine of one processor and 512 MiB that starts from its first disk, with nothing else in it.
    pub fn new(machine: impl Into<String>, accelerator: Accelerator) -> Self {
        Self {
            machine: machine.into(),
            accelerator,
            cpus: 1,
            withheld: Vec::new(),
            memory_mib: 512,
            translation_cache_mib: 128,
            boot: Boot::Bios,
            disks: Vec::new(),
            nics: Vec::new(),
            ports: Vec::new(),
            screen: false,
            random: false,
            no_reboot: true,
        }
    }

    /// Whether its devices hang on a PCI bus; `microvm` has memory-mapped ones.
    pub(crate) fn has_pci(&self) -> bool {
        !self.machine.starts_with("microvm")
    }
}

/// What a machine starts first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// The PC BIOS that QEMU brings, and the disks by [`Disk::boot_index`].
    Bios,
    /// UEFI firmware, with a private copy of its variables.
    Uefi(Uefi),
    /// A Linux kernel, without a boot loader.
    Kernel {
        /// The kernel: a bzImage, or an ELF image with a PVH note.
        kernel: PathBuf,
        /// The initial RAM file system.
        initrd: Option<PathBuf>,
        /// The kernel's command line.
        command_line: String,
    },
    /// An image by the Multiboot Specification 0.6.96, with modules: a hypervisor and what it starts.
    Multiboot {
        /// The image, an ELF file.
        image: PathBuf,
        /// Its command line.
        command_line: String,
        /// Its modules, in order.
        modules: Vec<Module>,
    },
}

/// A module of a Multiboot image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The file, whatever it holds.
    pub file: PathBuf,
    /// Its command line.
    pub command_line: String,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// QEMU's device: `virtio-blk-pci`, `scsi-hd`, `ide-hd`, `nvme`.
    pub device: String,
    /// QEMU's device for the controller that it hangs on, where it needs one. Disks share controllers of one kind
    /// as far as these have room.
    pub controller: Option<String>,
    /// Where its contents are.
    pub backend: Backend,
    /// Whether the guest may only read it.
    pub read_only: bool,
    /// Whether the guest's discards reach the backend.
    pub discard: bool,
    /// A serial number that the guest sees, at most 20 characters.
    pub serial: Option<String>,
    /// Its place in the order of booting, the lowest first.
    pub boot_index: Option<u32>,
}

impl Disk {
    /// A writable disk whose discards reach the backend.
    pub fn new(device: impl Into<String>, backend: Backend) -> Self {
        Self {
            device: device.into(),
            controller: None,
            backend,
            read_only: false,
            discard: true,
            serial: None,
            boot_index: None,
        }
    }

    /// A disk on a hypervisor's hardware, or on what takes its place, in a machine of that firmware.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when QEMU has no such hardware.
    pub fn on(hardware: &DiskHardware, firmware: FirmwareKind, backend: Backend) -> Result<Self> {
        let emulated = hardware.emulated(firmware).ok_or_else(|| Error::Unsupported {
            reason: format!("QEMU has no disk on the bus {:?}", hardware.bus),
        })?;
        Ok(Self { controller: emulated.controller.map(Into::into), ..Self::new(emulated.device, backend) })
    }
}

/// Where a disk's contents are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// An NBD server on a Unix socket.
    Nbd {
        /// The socket.
        socket: PathBuf,
        /// The export's name.
        export: String,
    },
    /// A file that holds the disk's bytes as they are.
    Raw {
        /// The file.
        file: PathBuf,
    },
}

impl Backend {
    /// An export of an NBD server on a Unix socket.
    pub fn nbd(socket: impl Into<PathBuf>, export: impl Into<String>) -> Self {
        Self::Nbd { socket: socket.into(), export: export.into() }
    }

    /// A raw file.
    pub fn raw(file: impl Into<PathBuf>) -> Self {
        Self::Raw { file: file.into() }
    }
}

/// A network card on a network that leads nowhere but has a DHCP server (10.0.2.2 gives 10.0.2.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// QEMU's device: `virtio-net-pci`, `e1000e`, `vmxnet3`.
    pub device: String,
    /// Its hardware address; QEMU makes one up when there is none.
    pub mac: Option<MacAddress>,
}

impl Nic {
    /// A network card of a hypervisor's hardware, or what takes its place.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when QEMU has no such hardware.
    pub fn on(hardware: &NicHardware, mac: Option<MacAddress>) -> Result<Self> {
        let emulated = hardware.emulated().ok_or_else(|| Error::Unsupported {
            reason: format!("QEMU has no network card {:?}", hardware.model),
        })?;
        Ok(Self { device: emulated.device.into(), mac })
    }
}

/// A serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name by which [`Process`](crate::Process) gives its end: ASCII letters, digits and `-`.
    pub name: String,
    /// What the guest sees.
    pub device: PortDevice,
    /// What becomes of what the guest writes.
    pub end: PortEnd,
}

impl Port {
    /// The next PC serial port (`ttyS0`, `ttyS1`, …), recorded.
    pub fn console(name: impl Into<String>) -> Self {
        Self { name: name.into(), device: PortDevice::Isa, end: PortEnd::Record }
    }

    /// A virtio serial port that the guest finds as `/dev/virtio-ports/CHANNEL`, as a stream.
    pub fn channel(name: impl Into<String>, channel: impl Into<String>) -> Self {
        Self { name: name.into(), device: PortDevice::Virtio { name: channel.into() }, end: PortEnd::Stream }
    }
}

/// What a guest sees of a serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortDevice {
    /// A PC's serial port; they are numbered in their order.
    Isa,
    /// A virtio console (`hvc0`, …).
    VirtioConsole,
    /// A named virtio serial port.
    Virtio {
        /// The name that the guest sees.
        name: String,
    },
}

/// What becomes of what a guest writes to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortEnd {
    /// A thread keeps the end of it: [`Process::console`](crate::Process::console).
    Record,
    /// It is the caller's to read and write: [`Process::take_stream`](crate::Process::take_stream).
    Stream,
}
