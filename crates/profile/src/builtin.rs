//! The profiles that come with the program.

use crate::Profile;
use std::sync::LazyLock;

static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    let texts = [
        include_str!("../data/kvm.toml"),
        include_str!("../data/proxmox.toml"),
        include_str!("../data/kubevirt.toml"),
        include_str!("../data/openstack.toml"),
        include_str!("../data/esxi.toml"),
        include_str!("../data/workstation.toml"),
        include_str!("../data/hyperv.toml"),
        include_str!("../data/xen.toml"),
        include_str!("../data/xcp-ng.toml"),
        include_str!("../data/virtualbox.toml"),
    ];
    let profile =
        |text| toml::from_str(text).unwrap_or_else(|error| panic!("a built-in profile is wrong: {error}"));
    texts.into_iter().map(profile).collect()
});

/// Every release that is not the newest, beside the profiles themselves.
static RELEASES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    let releases = |profile: &Profile| -> Vec<Profile> {
        profile.releases.iter().filter_map(|release| profile.with_release(&release.name)).collect()
    };
    all().iter().flat_map(releases).collect()
});

/// All profiles, in the order in which they are listed.
pub fn all() -> &'static [Profile] {
    &PROFILES
}

/// The profile of that name, in its newest release.
pub fn find(id: &str) -> Option<&'static Profile> {
    all().iter().find(|profile| profile.id == id)
}

/// The profile of that name in that release.
pub fn find_release(id: &str, release: &str) -> Option<&'static Profile> {
    RELEASES.iter().find(|profile| profile.id == id && profile.release.as_deref() == Some(release))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FirmwareKind;
    use machine::{Bus, ScsiModel};
    use std::collections::BTreeSet;

    #[test]
    fn built_in_profiles_are_well_formed() {
        let mut names = BTreeSet::new();
        for profile in all() {
            assert!(names.insert(&profile.id));
            assert!(profile.is_target() && !profile.cdrom.is_empty(), "{}", profile.id);
            assert_eq!(find(&profile.id), Some(profile));
            for firmware in
                [FirmwareKind::Bios, FirmwareKind::Uefi].into_iter().filter(|kind| profile.offers(*kind))
            {
                assert!(profile.disks_for(firmware).any(|disk| disk.boots), "{}: {firmware:?}", profile.id);
                assert!(profile.nics_for(firmware).next().is_some(), "{}: {firmware:?}", profile.id);
            }
            for disk in &profile.disk {
                assert_eq!(disk.linux.len(), disk.modalias.len(), "{}: {:?}", profile.id, disk.bus);
            }
            for nic in &profile.nic {
                assert_eq!(nic.linux.len(), nic.modalias.len(), "{}: {:?}", profile.id, nic.model);
            }
            for packing in &profile.packing {
                assert!(!packing.disks.is_empty(), "{}: {}", profile.id, packing.name);
            }
            for release in &profile.releases {
                assert!(find_release(&profile.id, &release.name).is_some());
            }
        }
    }

    #[test]
    fn a_scsi_disk_stays_sd_on_kvm() {
        let kvm = find("kvm").unwrap();
        let first = kvm.disks_for(FirmwareKind::Bios).find(|disk| disk.linux_name == "sd").unwrap();
        assert_eq!(first.bus, Bus::Scsi(ScsiModel::VirtioScsi));
    }
}
