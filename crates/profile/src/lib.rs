//! Hypervisors as data: which virtual hardware they give, which guest drivers that hardware needs, and how to
//! rehearse it.
//!
//! The dialect that renders a description, the recipe that edits a guest and the rehearsal read the same
//! [`Profile`]. One file of `data/` is one profile.

use machine::{Bus, NicModel};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

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
    /// The firmware that it offers.
    pub firmware: FirmwareSupport,
    /// What it can give one machine.
    pub limits: Limits,
    /// Buses for disks, the preferred one first.
    pub disk: Vec<DiskHardware>,
    /// Network cards, the preferred one first.
    pub nic: Vec<NicHardware>,
    /// Formats of disk images, the preferred one first.
    pub disk_formats: Vec<String>,
    /// What its own guest software is called: inert on any other hypervisor.
    #[serde(default)]
    pub guest_services: Vec<GuestService>,
    /// The machine on which QEMU rehearses it; `None` for one that is only a source so far.
    pub rehearsal: Option<Rehearsal>,
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
    /// Network cards.
    pub nics: u32,
}

/// A bus for disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskHardware {
    /// The bus.
    pub bus: Bus,
    /// The Linux modules that reach a disk on it, in the order in which they are loaded.
    pub linux: Vec<String>,
    /// What a Linux guest calls its disks: `sd`, `vd`, `nvme`.
    pub linux_name: String,
    /// QEMU's device for the controller, where the bus needs one.
    pub qemu_controller: Option<String>,
    /// QEMU's device for the disk.
    pub qemu_disk: Option<String>,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NicHardware {
    /// The model.
    pub model: NicModel,
    /// The Linux modules that drive it, in the order in which they are loaded.
    pub linux: Vec<String>,
    /// QEMU's device for it.
    pub qemu: Option<String>,
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

/// The machine on which QEMU rehearses a hypervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rehearsal {
    /// QEMU's machine type.
    pub machine: String,
    /// The grade of a guest that boots on it.
    pub grade: String,
}

static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    [include_str!("../data/esxi.toml"), include_str!("../data/kvm.toml")]
        .into_iter()
        .map(|text| {
            toml::from_str(text).unwrap_or_else(|error| panic!("a built-in profile is wrong: {error}"))
        })
        .collect()
});

/// All profiles, by name.
pub fn all() -> &'static [Profile] {
    &PROFILES
}

/// The profile of that name.
pub fn find(id: &str) -> Option<&'static Profile> {
    all().iter().find(|profile| profile.id == id)
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

    /// The bus for a disk that a Linux guest knew as `sdX`, `vdX` or `nvmeX`: the first that keeps the name, else
    /// the preferred one.
    pub fn bus_keeping_name(&self, linux_name: &str) -> Option<&DiskHardware> {
        self.disk.iter().find(|hardware| hardware.linux_name == linux_name).or(self.disk.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::ScsiModel;

    #[test]
    fn built_in_profiles_are_well_formed() {
        for profile in all() {
            assert!(!profile.disk.is_empty() && !profile.nic.is_empty() && !profile.disk_formats.is_empty());
            assert_eq!(find(&profile.id), Some(profile));
        }
    }

    #[test]
    fn a_scsi_disk_stays_sd_on_kvm() {
        let kvm = find("kvm").unwrap();
        assert_eq!(kvm.bus_keeping_name("sd").unwrap().bus, Bus::Scsi(ScsiModel::VirtioScsi));
    }
}
