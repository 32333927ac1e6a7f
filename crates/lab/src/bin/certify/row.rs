//! The rows of the table: which guest, on which hypervisor's hardware, converted or not.

use lab::{Firmware, RECIPES, Recipe};
use profile::{DiskHardware, FirmwareKind, Profile};

/// The hypervisors that guests are taken to.
const TARGETS: &[&str] = &["kvm", "esxi", "hyperv", "xen", "virtualbox", "proxmox"];

/// What is certified first: one guest of each hypervisor on the others.
const FIRST: &[(&str, &str)] = &[
    ("debian12-bios", "kvm"),
    ("debian12-kvm", "esxi"),
    ("debian12-kvm", "hyperv"),
    ("debian12-kvm", "xen"),
    ("debian12-xen", "kvm"),
    ("debian12-hyperv", "kvm"),
    ("debian12-hyperv-gen2", "kvm"),
    ("debian12-lvm-xfs-dracut", "kvm"),
];

/// What a quick run is: what no other test of the project converts and boots, guests that come from KVM and from Hyper-V.
const QUICK: &[(&str, &str)] = &[("debian12-kvm", "esxi"), ("debian12-hyperv-gen2", "kvm")];

/// A row: one rehearsal.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// The guest.
    pub(crate) guest: &'static Recipe,
    /// The hypervisor.
    pub(crate) target: &'static Profile,
    /// Whether the guest is attached as it is. It is then expected not to come up.
    pub(crate) control: bool,
}

impl Row {
    /// Its name, which is also its evidence's file name: `debian12-bios--kvm`, `debian12-bios--kvm.control`.
    pub(crate) fn name(&self) -> String {
        let control = if self.control { ".control" } else { "" };
        format!("{}--{}{control}", self.guest.name, self.target.id)
    }

    /// Whether a rehearsal of this grade is what the row expects.
    pub(crate) fn is_met_by(&self, booted: bool) -> bool {
        booted != self.control
    }
}

/// What is asked for on the command line.
#[derive(Default)]
pub(crate) struct Selection {
    /// Only these guests; all when there is none.
    pub(crate) guests: Vec<String>,
    /// Only these hypervisors; all when there is none.
    pub(crate) targets: Vec<String>,
    /// Only the rows of a quick run.
    pub(crate) quick: bool,
}

/// Every row, the telling ones first.
pub(crate) fn all() -> Vec<Row> {
    let mut pairs: Vec<(&'static Recipe, &'static Profile)> = Vec::new();
    let first = FIRST.iter().filter_map(|(guest, target)| Some((Recipe::named(guest).ok()?, find(target)?)));
    let every = TARGETS.iter().filter_map(|target| find(target)).flat_map(|target| {
        RECIPES
            .iter()
            .filter(move |guest| guest.origin.profile() != target.id)
            .map(move |guest| (guest, target))
    });
    for (guest, target) in first.chain(every) {
        if !pairs.iter().any(|(other, at)| other.name == guest.name && at.id == target.id) {
            pairs.push((guest, target));
        }
    }
    let rows = pairs.into_iter().flat_map(|(guest, target)| {
        let control = needs_control(guest, target).then_some(Row { guest, target, control: true });
        std::iter::once(Row { guest, target, control: false }).chain(control)
    });
    rows.collect()
}

/// The rows of a selection.
pub(crate) fn selected(selection: &Selection) -> Vec<Row> {
    let wanted = |list: &[String], name: &str| list.is_empty() || list.iter().any(|wanted| wanted == name);
    let rows = all().into_iter().filter(|row| {
        wanted(&selection.guests, row.guest.name)
            && wanted(&selection.targets, &row.target.id)
            && (!selection.quick || QUICK.contains(&(row.guest.name, row.target.id.as_str())))
    });
    rows.collect()
}

fn find(target: &str) -> Option<&'static Profile> {
    profile::find(target).filter(|profile| profile.rehearsal.is_some())
}

/// Whether the guest's initramfs lacks a driver of the disk that the hypervisor would give it, so that it cannot come up
/// unconverted. Where a stand-in is rehearsed that the guest drives anyhow, there is nothing to control.
fn needs_control(guest: &Recipe, target: &Profile) -> bool {
    let firmware = match guest.firmware {
        Firmware::Bios => FirmwareKind::Bios,
        Firmware::Uefi => FirmwareKind::Uefi,
    };
    // Where a hypervisor has the bus that the guest was on, its disk stays there.
    let kept =
        |hardware: &&DiskHardware| target.keeps_hardware && hardware.bus == guest.origin.described_bus();
    let is_real = |hardware: &&DiskHardware| {
        hardware.emulated(firmware).is_some_and(|emulated| emulated.fallback.is_none())
    };
    let offered = || target.disks_for(firmware).filter(is_real);
    let Some(hardware) = offered().find(kept).or_else(|| offered().next()) else {
        return false;
    };
    let drivers = guest.drivers();
    hardware.linux.iter().any(|driver| !drivers.contains(&driver.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let rows = all();
        let names: BTreeSet<_> = rows.iter().map(Row::name).collect();
        assert_eq!(names.len(), rows.len());
    }

    #[test]
    fn a_guest_is_controlled_where_its_initramfs_lacks_the_driver() {
        let row = |name: &str| all().iter().any(|row| row.name() == name);
        assert!(row("debian12-bios--kvm.control"));
        assert!(row("debian12-kvm--esxi.control"));
        assert!(row("debian12-bios--virtualbox") && !row("debian12-bios--virtualbox.control"));
        // Both have IDE, so that nothing has to be repaired.
        assert!(row("debian12-hyperv--esxi") && !row("debian12-hyperv--esxi.control"));
        assert!(row("debian12-xen--esxi.control"));
    }

    #[test]
    fn a_quick_run_is_part_of_the_whole() {
        let quick = selected(&Selection { quick: true, ..Selection::default() });
        assert!(quick.len() >= QUICK.len() && quick.len() < all().len() / 4);
        assert!(quick.iter().any(|row| row.control) && quick.iter().any(|row| !row.control));
    }
}
