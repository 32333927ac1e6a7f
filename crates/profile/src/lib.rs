//! Hypervisors as data: which virtual hardware they give, which guest drivers that hardware needs, how a machine is
//! packed for them, and how to rehearse them; and beside them, in [`support`], who supports which guest on them.
//!
//! The dialect that renders a description, the recipe that edits a guest and the rehearsal read the same
//! [`Profile`]. One file of `data/` is one profile; [`Release`]s of one product share it.

mod builtin;
mod grade;
mod hardware;
mod packing;
mod rehearsal;
pub mod support;

pub use builtin::{all, find, find_release};
pub use grade::Grade;
pub use hardware::{
    CdromHardware, DiskHardware, Emulated, Fallback, FirmwareKind, NeededModule, NicHardware, Place,
};
pub use packing::{Container, DiskKind, Packing};
pub use rehearsal::{Machines, Rehearsal};

use machine::MacAddress;
use serde::{Deserialize, Serialize};

/// What there is to know of a hypervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name on the command line: `kvm`.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Counts up with every change that could change a rehearsal's outcome.
    pub version: u32,
    /// Which release of the product this is; the first of [`releases`](Self::releases) unless another was asked for.
    #[serde(skip)]
    pub release: Option<String>,
    /// The firmware that it offers.
    pub firmware: FirmwareSupport,
    /// What it can give one machine.
    pub limits: Limits,
    /// Whether a device that it offers stays what it is; otherwise each becomes the preferred one of its kind.
    #[serde(default)]
    pub keeps_hardware: bool,
    /// Whether guests are edited for it: its drivers put into their initramfs, their names kept.
    #[serde(default)]
    pub edits_guests: bool,
    /// What the addresses of cards begin with that it makes up, three bytes.
    pub mac_prefix: [u8; 3],
    /// Releases that differ, the newest first.
    #[serde(default, rename = "release")]
    pub releases: Vec<Release>,
    /// Buses for disks, the preferred one first.
    pub disk: Vec<DiskHardware>,
    /// Buses for CD-ROM drives, the preferred one first.
    #[serde(default)]
    pub cdrom: Vec<CdromHardware>,
    /// Network cards, the preferred one first.
    pub nic: Vec<NicHardware>,
    /// How a machine is packed, the usual way first. Empty for what is only a source.
    #[serde(default)]
    pub packing: Vec<Packing>,
    /// Linux's names of consoles that a guest has to be told of to write to them: `hvc0`. A display and serial ports are not
    /// among them.
    #[serde(default)]
    pub consoles: Vec<String>,
    /// What its own guest software is called: inert on any other hypervisor.
    #[serde(default)]
    pub guest_services: Vec<GuestService>,
    /// How it is rehearsed; `None` for one that cannot be yet.
    pub rehearsal: Option<Rehearsal>,
}

/// A release of a hypervisor, where it differs from the newest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Its name: `7.0`, `2012r2`.
    pub name: String,
    /// What its descriptions call the virtual hardware: VMware's hardware version, Hyper-V's configuration version.
    pub hardware: Option<String>,
    /// What it can give one machine.
    pub limits: Option<Limits>,
    /// The firmware that it offers.
    pub firmware: Option<FirmwareSupport>,
}

/// Firmware that a hypervisor offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirmwareSupport {
    /// A PC BIOS.
    pub bios: bool,
    /// UEFI.
    pub uefi: bool,
    /// UEFI that enforces secure boot.
    pub secure_boot: bool,
    /// A virtual TPM.
    pub tpm: bool,
}

/// What one machine can have at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Virtual processors.
    pub cpus: u32,
    /// Memory in GiB.
    pub memory_gib: u64,
    /// Disks.
    pub disks: u32,
    /// Size of one disk in GiB; unlimited when absent.
    pub disk_gib: Option<u64>,
    /// Network cards.
    pub nics: u32,
    /// Floppy drives.
    pub floppies: u32,
    /// Serial ports.
    pub serial_ports: u32,
}

/// A part of a hypervisor's guest software.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestService {
    /// The systemd unit.
    pub unit: String,
    /// What it is, for the manifest.
    pub what: String,
}

impl Profile {
    /// This hypervisor in an earlier release; `None` when there is none of that name.
    pub fn with_release(&self, name: &str) -> Option<Self> {
        let release = self.releases.iter().find(|release| release.name == name)?;
        let mut profile = self.clone();
        profile.release = Some(release.name.clone());
        profile.limits = release.limits.unwrap_or(self.limits);
        profile.firmware = release.firmware.unwrap_or(self.firmware);
        Some(profile)
    }

    /// What descriptions call the virtual hardware of this release.
    pub fn hardware_version(&self) -> Option<&str> {
        let release = match &self.release {
            Some(name) => self.releases.iter().find(|release| release.name == *name),
            None => self.releases.first(),
        };
        release?.hardware.as_deref()
    }

    /// The packing of that name, or the usual one.
    pub fn packing(&self, name: Option<&str>) -> Option<&Packing> {
        match name {
            Some(name) => self.packing.iter().find(|packing| packing.name == name),
            None => self.packing.first(),
        }
    }

    /// Whether a machine can be converted for it.
    pub fn is_target(&self) -> bool {
        !self.packing.is_empty()
    }

    /// An address for a card, with the prefix that this hypervisor's own have.
    pub fn mac(&self, tail: [u8; 3]) -> MacAddress {
        let ([a, b, c], [d, e, f]) = (self.mac_prefix, tail);
        // VMware accepts 00:50:56:00:00:00 to 00:50:56:3f:ff:ff from an administrator and keeps the rest to itself.
        let d = if self.mac_prefix == [0x00, 0x50, 0x56] { d & 0x3f } else { d };
        MacAddress([a, b, c, d, e, f])
    }
}
