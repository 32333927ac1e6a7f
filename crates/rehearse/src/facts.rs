//! What a guest that is up says of itself: [`Facts`].

use serde::{Deserialize, Serialize};

/// What a guest that is up says of itself. All of it is the guest's word: text is cut to a bound and holds no
/// control characters, and nothing else about it is certain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The distribution: os-release(5)'s `ID`.
    pub os_id: Option<String>,
    /// os-release(5)'s `VERSION_ID`.
    pub os_version: Option<String>,
    /// os-release(5)'s `PRETTY_NAME`.
    pub os_name: Option<String>,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: Option<String>,
    /// The machine's architecture, as `uname -m` prints it.
    pub architecture: Option<String>,
    /// What runs as process 1: `systemd`, `init`.
    pub init: Option<String>,
    /// Whether the firmware enforces secure boot; only UEFI says it.
    pub secure_boot: Option<bool>,
    /// What is mounted on `/`.
    pub root: Option<Root>,
    /// The disks, without partitions and what is built on them.
    pub disks: Vec<BlockDevice>,
    /// The network cards.
    pub nics: Vec<NetworkCard>,
    /// Addresses with their prefix length, and the interface where the guest could say it; without the loopback.
    pub addresses: Vec<Address>,
    /// systemd's opinion of the system: `running`, `degraded`, `maintenance`.
    pub state: Option<String>,
    /// systemd targets; the default one first, under its real name.
    pub targets: Vec<Target>,
    /// Units that failed.
    pub failed_units: Vec<String>,
    /// The program that waits for somebody to log in: `agetty`, `gdm`.
    pub login: Option<String>,
    /// Milliseconds from the kernel's start to the first process of the initramfs' own systemd, where there is one.
    pub initrd_ms: Option<u64>,
    /// Milliseconds from the kernel's start to the start of the system's own init: the root filesystem is mounted.
    pub init_ms: Option<u64>,
    /// Milliseconds from the kernel's start until nothing was left to start.
    pub finished_ms: Option<u64>,
    /// Milliseconds from the kernel's start to the report.
    pub uptime_ms: Option<u64>,
}

/// What is mounted on `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The device as the mount names it: `/dev/sda1`, `/dev/mapper/vg0-root`.
    pub source: String,
    /// The filesystem: `ext4`.
    pub filesystem: String,
    /// The disks that it lies on in the end, through partitions, LVM and the like.
    pub disks: Vec<RootDisk>,
}

/// A disk under the root filesystem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootDisk {
    /// The kernel's name: `sda`.
    pub name: String,
    /// The drivers from the disk down to its bus: `sd`, `virtio_scsi`, `virtio-pci`.
    pub drivers: Vec<String>,
}

/// A disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// The kernel's name: `sda`.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The drivers from the disk down to its bus.
    pub drivers: Vec<String>,
}

/// A network card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkCard {
    /// The interface's name: `ens192`.
    pub name: String,
    /// Its hardware address, as the guest prints it.
    pub mac: String,
    /// Its operational state (RFC 2863): `up`, `down`, `unknown`.
    pub state: String,
    /// The drivers from the card down to its bus: `virtio_net`, `virtio-pci`.
    pub drivers: Vec<String>,
}

/// An address of the guest's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The interface, where the guest could say it.
    pub interface: Option<String>,
    /// The address, with the length of the network's prefix where the guest could say it: `192.0.2.10/24`.
    pub address: String,
}

/// A systemd target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The unit: `multi-user.target`.
    pub unit: String,
    /// systemd's state of it: `active`, `inactive`.
    pub state: String,
    /// Milliseconds from the kernel's start until it was reached.
    pub reached_ms: Option<u64>,
}

impl Facts {
    /// Whether `unit` is a target that has been reached.
    pub fn has_reached(&self, unit: &str) -> bool {
        self.targets.iter().any(|target| target.unit == unit && target.state == "active")
    }

    /// The addresses of an interface.
    pub fn addresses_of<'a>(&'a self, interface: &'a str) -> impl Iterator<Item = &'a str> {
        self.addresses
            .iter()
            .filter(move |address| address.interface.as_deref() == Some(interface))
            .map(|address| address.address.as_str())
    }

    /// Milliseconds from the kernel's start until `unit` was reached.
    pub fn reached_after_ms(&self, unit: &str) -> Option<u64> {
        self.targets.iter().find(|target| target.unit == unit).and_then(|target| target.reached_ms)
    }

    /// Whether the guest stopped in systemd's emergency or rescue mode.
    pub fn is_emergency(&self) -> bool {
        self.has_reached("emergency.target") || self.has_reached("rescue.target")
    }
}
