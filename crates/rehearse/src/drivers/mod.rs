//! The static check: whether the kernel that starts by default finds the drivers of a profile's devices. [`check`]
//!
//! A disk's driver has to be part of the kernel or in the initramfs that is loaded, with everything that it needs, and has to
//! be loaded there: by an alias that stands for the device's id, or because a list says so. A network card's is looked for
//! among the kernel's modules on the root filesystem. Nothing is run.

mod boot_entry;
mod initramfs;
mod kernel;
mod menu;
mod pattern;

pub use boot_entry::ChosenBy;

use boot_entry::BootEntry;
use guest::fs::{FsError, GuestFs};
use guest::inspect::{Driver, Inspection};
use kernel::KernelFiles;
use machine::Machine;
use profile::Profile;
use serde::{Deserialize, Serialize};

/// Which drivers a guest has for a profile's devices, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverCheck {
    /// The version of the kernel that starts by default.
    pub kernel: String,
    /// How it is known that it is that one.
    pub chosen_by: ChosenBy,
    /// Its initramfs; `None` when it has none.
    pub initramfs: Option<String>,
    /// The machine's disks and network cards.
    pub devices: Vec<CheckedDevice>,
    /// The other kernels, as far as something is to be said of them.
    pub notes: Vec<String>,
}

/// A device, and the drivers that it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedDevice {
    /// The machine's name for it: `disk1`.
    pub id: String,
    /// Its drivers, in the order in which they are loaded.
    pub drivers: Vec<CheckedDriver>,
}

/// A driver that a device needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedDriver {
    /// The module.
    pub module: String,
    /// The device's id, as the kernel asks for a driver of it.
    pub modalias: String,
    /// Where the driver is.
    pub place: DriverPlace,
    /// The alias in `modules.alias` that stands for the id.
    pub alias: Option<String>,
    /// The list in the initramfs by which it is loaded anyway.
    pub listed_in: Option<String>,
    /// Why the device will not be driven.
    pub problem: Option<String>,
}

/// Where a driver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriverPlace {
    /// It is part of the kernel.
    Builtin,
    /// In the initramfs.
    Initramfs,
    /// Among the kernel's modules on the root filesystem only.
    Modules,
    /// Nowhere.
    Missing,
}

impl DriverCheck {
    /// What is wrong, a line for each driver; empty when every device will be driven.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        let of = |device: &CheckedDevice| -> Vec<String> {
            let problems = device.drivers.iter().filter_map(|driver| driver.problem.as_ref());
            problems.map(|problem| format!("{}: {problem}", device.id)).collect()
        };
        self.devices.iter().flat_map(of)
    }

    /// Whether every device will be driven.
    pub fn passes(&self) -> bool {
        self.problems().next().is_none()
    }
}

/// Looks for the drivers of the devices that `machine` has on `profile`; `None` when the guest has no Linux kernel.
///
/// # Errors
/// When the guest's files cannot be read. A damaged initramfs is a problem of the check's.
pub(crate) fn check(
    fs: &mut dyn GuestFs,
    inspection: &Inspection,
    machine: &Machine,
    profile: &Profile,
) -> Result<Option<DriverCheck>, FsError> {
    let Some(entry) = boot_entry::find(fs, inspection)? else { return Ok(None) };
    let kernel = KernelFiles::read(fs, inspection, &entry)?;
    let mut devices = Vec::new();
    for disk in &machine.disks {
        let hardware = profile.disk_hardware(disk.attachment.bus);
        let needed = hardware.into_iter().flat_map(|hardware| hardware.modules());
        let drivers = needed.map(|needed| kernel.for_disk(needed)).collect();
        devices.push(CheckedDevice { id: disk.id.clone(), drivers });
    }
    for nic in &machine.nics {
        let hardware = profile.nic_hardware(&nic.model);
        let needed = hardware.into_iter().flat_map(|hardware| hardware.modules());
        let drivers = needed.map(|needed| kernel.for_nic(needed)).collect();
        devices.push(CheckedDevice { id: nic.id.clone(), drivers });
    }
    Ok(Some(DriverCheck {
        kernel: entry.version.clone(),
        chosen_by: entry.chosen_by,
        initramfs: kernel.path.clone(),
        devices,
        notes: notes(inspection, machine, profile, &entry),
    }))
}

/// The other kernels that could not start: for somebody who chooses one of them in the boot loader's menu.
fn notes(inspection: &Inspection, machine: &Machine, profile: &Profile, entry: &BootEntry) -> Vec<String> {
    let hardware = machine.disks.iter().filter_map(|disk| profile.disk_hardware(disk.attachment.bus));
    let needed: Vec<&String> = hardware.flat_map(|hardware| &hardware.linux).collect();
    let mut notes = Vec::new();
    for kernel in inspection.kernels.iter().filter(|kernel| kernel.version != entry.version) {
        let lacks = |name: &&&String| {
            let inside = kernel.initramfs.as_ref().is_some_and(|image| image.drivers.contains(**name));
            let builtin = kernel.drivers.get(**name) == Some(&Driver::Builtin);
            !inside && !builtin
        };
        let mut missing: Vec<&str> = needed.iter().filter(lacks).map(|name| name.as_str()).collect();
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            notes.push(format!("the kernel {} would not start: no {}", kernel.version, missing.join(", ")));
        }
    }
    notes
}

#[cfg(test)]
mod tests;
