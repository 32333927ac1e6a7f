//! What a recipe has to know of where the guest goes.

use crate::inspect::LinuxNames;
use machine::{Bus, Disk, Machine, Nic};
use profile::{FirmwareKind, Profile};
use std::collections::BTreeMap;

/// Where a guest goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The hypervisor.
    pub profile: &'static Profile,
    /// The buses that its disks will hang on, each once, the first disk's first.
    pub disk_buses: Vec<Bus>,
    /// Its network cards in slot order, as they will be.
    pub nics: Vec<Nic>,
    /// The same cards as they were.
    pub old_nics: Vec<Nic>,
    /// Linux's names of whole disks that change: `sda` → `vda`. Those that stay are not listed.
    pub renamed: BTreeMap<String, String>,
    /// Linux's names of the whole disks as they will be, in their order.
    pub disk_names: Vec<String>,
    /// What starts it.
    pub firmware: FirmwareKind,
}

impl Target {
    /// From the machine as it was to the machine as it will be, on `profile`.
    pub fn new(profile: &'static Profile, source: &Machine, target: &Machine) -> Self {
        let mut disk_buses = Vec::new();
        for disk in &target.disks {
            if !disk_buses.contains(&disk.attachment.bus) {
                disk_buses.push(disk.attachment.bus);
            }
        }
        let old = linux_names(&source.disks);
        let new = linux_names(&target.disks);
        let renamed = old.into_iter().zip(new.clone()).filter(|(old, new)| old != new).collect();
        Self {
            profile,
            disk_buses,
            nics: target.nics.clone(),
            old_nics: source.nics.clone(),
            renamed,
            disk_names: new,
            firmware: (&target.firmware).into(),
        }
    }
}

/// What a Linux guest calls its disks: those of a kind are counted in order.
fn linux_names(disks: &[Disk]) -> Vec<String> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let mut name = |disk: &Disk| {
        let kind = disk.attachment.bus.linux_name();
        let count = counts.entry(kind).or_default();
        let name = LinuxNames(kind).disk(*count);
        *count = count.saturating_add(1);
        name
    };
    disks.iter().map(&mut name).collect()
}
