//! Names of disks that are made from their hardware (`/dev/disk/by-id/scsi-…`, `/dev/disk/by-path/pci-…`): which disk
//! they mean can only be concluded, and no other hypervisor's disk has the same.

use super::{FstabEntry, VolumeFacts};
use crate::volume::{Origin, VolumeId};
use std::collections::{BTreeMap, BTreeSet};

/// Links below `by-id` that are made from what a disk holds, and move with it.
const CONTENT: &[&str] = &["dm-", "lvm-", "md-"];

/// Takes a name apart: the disk's, and the number of the partition. `None` for a name of another kind.
pub(crate) fn split_hardware_name(device: &str) -> Option<(&str, Option<u32>)> {
    let name = device.strip_prefix("/dev/disk/")?;
    let (kind, own) = name.split_once('/')?;
    if !matches!(kind, "by-id" | "by-path") || CONTENT.iter().any(|start| own.starts_with(start)) {
        return None;
    }
    match name.rsplit_once("-part") {
        Some((disk, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((disk, Some(number.parse().ok()?)))
        }
        _ => Some((name, None)),
    }
}

/// Which disk each name in `/etc/fstab`, and of the `encrypted` devices, means: the root's is the one that the root was found on, a single disk has every
/// name, and the last name is that of the last disk.
pub(super) fn conclude<'a>(
    fstab: &'a [FstabEntry],
    encrypted: impl IntoIterator<Item = &'a str>,
    root: Option<VolumeId>,
    volumes: &[VolumeFacts],
) -> BTreeMap<String, u32> {
    let split = |device: &str| split_hardware_name(device).map(|(disk, number)| (disk.to_string(), number));
    let devices = fstab.iter().map(|entry| entry.device.as_str()).chain(encrypted);
    let names: BTreeSet<String> = devices.filter_map(split).map(|(disk, _)| disk).collect();
    let mut disks: BTreeSet<u32> = volumes.iter().filter_map(|volume| disk_of(&volume.origin)).collect();
    let mut known = BTreeMap::new();
    if let ([disk], true) = (disks.iter().collect::<Vec<_>>().as_slice(), !names.is_empty()) {
        return names.into_iter().map(|name| (name, **disk)).collect();
    }
    let named_root = fstab.iter().find(|entry| entry.at == "/").and_then(|entry| split(&entry.device));
    let root = root.and_then(|id| volumes.iter().find(|volume| volume.id == id));
    if let (Some((name, number)), Some(root)) = (named_root, root)
        && let Some(disk) = disk_of(&root.origin)
        && number_of(&root.origin) == number
    {
        disks.remove(&disk);
        known.insert(name, disk);
    }
    let left: Vec<&String> = names.iter().filter(|name| !known.contains_key(*name)).collect();
    if let ([name], [disk]) = (left.as_slice(), disks.iter().collect::<Vec<_>>().as_slice()) {
        known.insert((*name).clone(), **disk);
    }
    known
}

/// The volume that such a name means.
pub(crate) fn find_by_hardware(
    device: &str,
    known: &BTreeMap<String, u32>,
    volumes: &[VolumeFacts],
) -> Option<VolumeId> {
    let (name, number) = split_hardware_name(device)?;
    let disk = *known.get(name)?;
    let is_it =
        |volume: &&VolumeFacts| disk_of(&volume.origin) == Some(disk) && number_of(&volume.origin) == number;
    volumes.iter().find(is_it).map(|volume| volume.id)
}

fn disk_of(origin: &Origin) -> Option<u32> {
    match origin {
        Origin::Partition { disk, .. } | Origin::Disk { disk } => Some(*disk),
        _ => None,
    }
}

fn number_of(origin: &Origin) -> Option<u32> {
    match origin {
        Origin::Partition { number, .. } => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_hardware_are_taken_apart() {
        for (device, expected) in [
            ("/dev/disk/by-id/scsi-36000c29-part2", Some(("by-id/scsi-36000c29", Some(2)))),
            (
                "/dev/disk/by-path/pci-0000:00:10.0-scsi-0:0:0:0",
                Some(("by-path/pci-0000:00:10.0-scsi-0:0:0:0", None)),
            ),
            ("/dev/disk/by-id/dm-name-system-root", None),
            ("/dev/disk/by-uuid/5d0a1b7e-part1", None),
            ("/dev/sda1", None),
        ] {
            assert_eq!(split_hardware_name(device), expected, "{device}");
        }
    }

    fn partition(id: u32, disk: u32, number: u32) -> VolumeFacts {
        VolumeFacts {
            id: VolumeId(id),
            name: String::new(),
            origin: Origin::Partition { disk, number, uuid: None, label: None, kind: "83".into() },
            size: 0,
            content: None,
        }
    }

    fn entry(device: &str, at: &str) -> FstabEntry {
        FstabEntry {
            device: device.into(),
            at: at.into(),
            filesystem: "ext4".into(),
            options: Vec::new(),
            volume: None,
        }
    }

    #[test]
    fn the_root_and_the_last_name_are_concluded_and_nothing_is_guessed() {
        let volumes = [partition(0, 0, 1), partition(1, 0, 2), partition(2, 1, 1), partition(3, 2, 1)];
        let fstab = [
            entry("/dev/disk/by-id/scsi-b-part1", "/srv"),
            entry("/dev/disk/by-id/scsi-a-part2", "/"),
            entry("/dev/disk/by-id/scsi-a-part1", "/boot"),
        ];
        let known = conclude(&fstab, [], Some(VolumeId(1)), &volumes);
        let find = |device, known: &_| find_by_hardware(device, known, &volumes);
        assert_eq!(find("/dev/disk/by-id/scsi-a-part1", &known), Some(VolumeId(0)));
        // Either of two disks could be the other one.
        assert_eq!(find("/dev/disk/by-id/scsi-b-part1", &known), None);
        let known = conclude(&fstab, [], Some(VolumeId(1)), &volumes[..3]);
        assert_eq!(find("/dev/disk/by-id/scsi-b-part1", &known), Some(VolumeId(2)));
        // The name says another partition than the one that the root was found on.
        assert!(conclude(&fstab, [], Some(VolumeId(0)), &volumes).is_empty());
    }
}
