//! What stands in the way of a conversion.

use super::boot::BootKind;
use super::kernels::Driver;
use super::os::Family;
use super::{Inspection, VolumeFacts};
use crate::volume::Origin;
use machine::{Bus, Objection};
use profile::Profile;
use std::collections::BTreeMap;

/// Room that a conversion needs beside the initramfs images, in bytes.
const SMALL_CHANGES: u64 = 1 << 20;
/// What the segment with the drivers may add to an initramfs, in bytes.
const SEGMENT: u64 = 4 << 20;

/// What stands in the way whatever the target is.
pub(super) fn of(inspection: &Inspection) -> Vec<Objection> {
    let mut objections: Vec<_> = inspection.volumes.iter().filter_map(suspended).collect();
    if inspection.os.family == Family::Windows {
        objections.push(Objection::new(
            inspection.pretty_name(),
            "Windows guests cannot be converted yet",
            "prepare it on the source, and convert with --disks-only",
        ));
    }
    if inspection.mounts.is_empty() {
        objections
            .extend(inspection.volumes.iter().filter(|one| !inspection.is_open(one)).filter_map(closed));
    }
    let is_linux = inspection.os.family == Family::Linux;
    if is_linux && inspection.starts_unified() {
        objections.extend(inspection.unified.first().map(|path| unified(path)));
    } else if is_linux && inspection.kernels.is_empty() {
        objections.push(Objection::new(
            inspection.pretty_name(),
            "there is no kernel in /boot",
            "install a kernel in the guest, or attach the disk that /boot is on",
        ));
    }
    objections
}

/// A unified kernel image is one signed program: nothing can be appended to the initramfs in it.
fn unified(path: &str) -> Objection {
    Objection::new(
        path,
        "it holds the kernel and its initramfs in one signed image, to which no drivers can be added",
        "add the target's drivers in the guest, make the image anew there, and convert with --disks-only",
    )
}

/// A system that was suspended to disk would resume on hardware that is no longer there.
fn suspended(volume: &VolumeFacts) -> Option<Objection> {
    (volume.content.as_ref()?.kind == "swsuspend").then(|| {
        Objection::new(
            volume.name.clone(),
            "it holds a system that was suspended to disk",
            "start the guest and shut it down, then try again",
        )
    })
}

/// A volume that may hide the root which was not found.
fn closed(volume: &VolumeFacts) -> Option<Objection> {
    let (why, remedy) = match volume.content.as_ref()?.kind.as_str() {
        "crypto_LUKS" => (
            "it is encrypted with LUKS, and no key is known".to_string(),
            "give its passphrase (--passphrase-file) or key file (--key-file), or convert with --disks-only",
        ),
        "BitLocker" => (
            "it is encrypted with BitLocker".to_string(),
            "suspend BitLocker in the guest, or convert with --disks-only",
        ),
        "linux_raid_member" => (
            "it is a part of a software RAID that is no mirror, or of which no member is in sync".to_string(),
            "convert with --disks-only",
        ),
        "LVM2_member" => return None,
        "LVM2_partial" => (
            "a part of it lies on a disk that is not there".to_string(),
            "add the missing disk to the machine",
        ),
        other => (
            format!(
                "it is a logical volume of type {}, which cannot be read yet",
                other.strip_prefix("LVM2_")?
            ),
            "convert with --disks-only",
        ),
    };
    Some(Objection::new(volume.name.clone(), why, remedy))
}

impl Inspection {
    /// Whether what a volume wraps was found: a LUKS volume unlocked, a RAID's member assembled.
    fn is_open(&self, volume: &VolumeFacts) -> bool {
        self.volumes.iter().any(|inner| match &inner.origin {
            Origin::Unlocked { container, .. } => *container == volume.id,
            Origin::Raid { uuid, .. } => volume.content.as_ref().is_some_and(|content| {
                content.kind == "linux_raid_member" && content.uuid.as_ref() == Some(uuid)
            }),
            _ => false,
        })
    }

    /// Everything that stands in the way of running the guest on `profile` with its disks on `buses`.
    pub fn objections_for(&self, profile: &Profile, buses: impl IntoIterator<Item = Bus>) -> Vec<Objection> {
        let mut objections = self.objections.clone();
        if self.os.family != Family::Linux || self.kernels.is_empty() {
            return objections;
        }
        let mut buses: Vec<Bus> = buses.into_iter().collect();
        buses.sort();
        buses.dedup();
        for &bus in &buses {
            objections.extend(self.kernel_objection(profile, bus));
        }
        objections.extend(self.room_objections());
        objections.extend(self.initramfs_objection(profile, &buses));
        objections
    }

    /// Whether what starts are unified kernel images.
    fn starts_unified(&self) -> bool {
        let by_grub = self.boot.as_ref().is_some_and(|boot| boot.kind != BootKind::SystemdBoot);
        !self.unified.is_empty() && (self.kernels.is_empty() || !by_grub)
    }

    /// The newest kernel is the one that starts.
    fn kernel_objection(&self, profile: &Profile, bus: Bus) -> Option<Objection> {
        let kernel = self.kernels.first()?;
        let hardware = profile.disk_hardware(bus)?;
        let missing = kernel.lacks(&hardware.linux);
        (!missing.is_empty()).then(|| {
            Objection::new(
                format!("kernel {}", kernel.version),
                format!("it has no driver for the disks of {}: {}", profile.name, missing.join(", ")),
                "install a newer kernel or the package with its further modules, or choose another disk bus",
            )
        })
    }

    /// Drivers that are modules come from the initramfs, which has to be of a known kind.
    fn initramfs_objection(&self, profile: &Profile, buses: &[Bus]) -> Option<Objection> {
        let kernel = self.kernels.first()?;
        let mut modules =
            buses.iter().filter_map(|bus| profile.disk_hardware(*bus)).flat_map(|hardware| &hardware.linux);
        if modules.all(|name| kernel.drivers.get(name) == Some(&Driver::Builtin)) {
            return None;
        }
        let why = match kernel.initramfs.as_ref().map(|image| image.flavour) {
            Some(flavour) if flavour.facts().is_some() => return None,
            Some(flavour) => format!("its initramfs is made by {flavour}, for which there is no recipe yet"),
            None => "it has no initramfs that could be read, and needs modules for the target's disks".into(),
        };
        Some(Objection::new(
            format!("kernel {}", kernel.version),
            why,
            "add the target's drivers in the guest, and convert with --disks-only",
        ))
    }

    /// A changed initramfs stands beside the original for a while, and the root takes small files.
    fn room_objections(&self) -> Vec<Objection> {
        let holder = |path: &str| {
            let above = self.free.iter().filter(|space| {
                let at = space.at.trim_end_matches('/');
                path.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            above.max_by_key(|space| space.at.len())
        };
        let images = self.kernels.iter().filter_map(|kernel| kernel.initramfs.as_ref());
        let wanted = images.map(|image| (image.path.as_str(), image.size + SEGMENT));
        // By the filesystem that each file is on.
        let mut needs: BTreeMap<&str, u64> = BTreeMap::new();
        for (path, bytes) in wanted.chain([("/etc", SMALL_CHANGES)]) {
            if let Some(space) = holder(path) {
                *needs.entry(&space.at).or_default() += bytes;
            }
        }
        let objection = |(path, bytes): (&str, u64)| {
            let space = holder(path).filter(|space| space.bytes < bytes)?;
            Some(Objection::new(
                format!("the guest's filesystem on {}", space.at),
                format!(
                    "{} MiB are free, and about {} MiB are needed for drivers",
                    space.bytes >> 20,
                    (bytes >> 20) + 1
                ),
                "remove old kernels or other files in the guest",
            ))
        };
        needs.into_iter().filter_map(objection).collect()
    }
}
