//! `/etc/crypttab` (`crypttab(5)`): which volumes are unlocked at boot, and what they are called then.

use super::devices::find_volume;
use super::text::read_text;
use super::{FstabEntry, VolumeFacts, find_by_hardware};
use crate::fs::{GuestFs, Result};
use crate::volume::{Origin, VolumeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Entries beyond this are not read.
const MAX_ENTRIES: usize = 256;
/// Where the unlocked volumes appear.
const MAPPER: &str = "/dev/mapper/";
/// Options of an entry without which the system starts.
const OPTIONAL: &[&str] = &["noauto", "nofail"];

/// A line of `/etc/crypttab`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrypttabEntry {
    /// The name below `/dev/mapper` of what is inside.
    pub name: String,
    /// The encrypted device, as it is written.
    pub source: String,
    /// The key's file or device, as it is written; none where somebody is asked.
    pub key: Option<String>,
    /// The options.
    pub options: Vec<String>,
    /// Which volume the encrypted device is, where that is known.
    pub volume: Option<VolumeId>,
}

impl CrypttabEntry {
    /// Whether the system starts without it.
    pub fn may_fail(&self) -> bool {
        self.options.iter().any(|own| OPTIONAL.contains(&own.as_str()))
    }

    /// Whether its source is a device and not a file of the guest's.
    fn is_device(&self) -> bool {
        self.source.starts_with("/dev/") || !self.source.starts_with('/') && self.source.contains('=')
    }
}

/// Reads the table.
pub(super) fn read(fs: &mut dyn GuestFs) -> Result<Vec<CrypttabEntry>> {
    let text = read_text(fs, "/etc/crypttab")?.unwrap_or_default();
    Ok(text.lines().filter_map(parse).take(MAX_ENTRIES).collect())
}

fn parse(line: &str) -> Option<CrypttabEntry> {
    let mut fields = line.split_whitespace();
    let name = fields.next().filter(|name| !name.starts_with('#'))?;
    let source = fields.next()?;
    let key = fields.next().filter(|key| !matches!(*key, "none" | "-"));
    let options = fields.next().unwrap_or_default().split(',').filter(|option| !option.is_empty());
    Some(CrypttabEntry {
        name: name.into(),
        source: source.into(),
        key: key.map(Into::into),
        options: options.map(Into::into).collect(),
        volume: None,
    })
}

/// Finds the volumes of the entries, and by them those that `/etc/fstab` names as they are called once unlocked; notes what is
/// on none of the disks.
pub(super) fn resolve(
    entries: &mut [CrypttabEntry],
    fstab: &mut [FstabEntry],
    hardware_names: &BTreeMap<String, u32>,
    volumes: &[VolumeFacts],
    notes: &mut Vec<String>,
) {
    for entry in entries.iter_mut().filter(|entry| entry.is_device()) {
        entry.volume = find_volume(&entry.source, volumes)
            .or_else(|| find_by_hardware(&entry.source, hardware_names, volumes));
        if entry.volume.is_none() && !entry.may_fail() {
            notes.push(format!(
                "/etc/crypttab: {} is to be unlocked on {}, which is none of the machine's volumes",
                entry.name, entry.source
            ));
        }
    }
    for mounted in fstab.iter_mut().filter(|mounted| mounted.volume.is_none()) {
        let Some(name) = mounted.device.strip_prefix(MAPPER) else { continue };
        let container = entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.volume);
        mounted.volume = container.and_then(|container| unlocked(container, volumes));
    }
}

/// What was unlocked of that volume.
fn unlocked(container: VolumeId, volumes: &[VolumeFacts]) -> Option<VolumeId> {
    let is_inside =
        |origin: &Origin| matches!(origin, Origin::Unlocked { container: own, .. } if *own == container);
    volumes.iter().find(|volume| is_inside(&volume.origin)).map(|volume| volume.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;
    use crate::volume::Content;

    const LUKS: &str = "3da2b357-789a-48b6-8774-7005424baac8";

    fn volumes() -> Vec<VolumeFacts> {
        let partition = |number| Origin::Partition {
            disk: 0,
            number,
            uuid: Some(format!("1ab00d12-{number:02}")),
            label: Some("secret".into()).filter(|_| number == 2),
            kind: "83".into(),
        };
        let luks = |uuid: &str| {
            Some(Content { kind: "crypto_LUKS".into(), uuid: Some(uuid.into()), label: Some("box".into()) })
        };
        let origins = [
            (partition(1), None),
            (partition(2), luks(LUKS)),
            (Origin::Unlocked { container: VolumeId(1), uuid: Some(LUKS.into()) }, None),
        ];
        (0u32..)
            .zip(origins)
            .map(|(id, (origin, content))| VolumeFacts {
                id: VolumeId(id),
                name: String::new(),
                origin,
                size: 0,
                content,
            })
            .collect()
    }

    fn read_from(text: &str) -> Vec<CrypttabEntry> {
        let mut tree = MemoryTree::single();
        tree.put("/etc/crypttab", text).unwrap();
        read(&mut tree).unwrap()
    }

    #[test]
    fn an_entry_has_a_key_only_where_nobody_is_asked() {
        let entries = read_from(
            "# name source key options\n\nroot UUID=1 none luks,discard\nhome /dev/sda2\nswap /dev/sda3 /dev/urandom swap,noauto\n",
        );
        let keys: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.key.as_deref())).collect();
        assert_eq!(keys, [("root", None), ("home", None), ("swap", Some("/dev/urandom"))]);
        assert_eq!(entries.iter().map(CrypttabEntry::may_fail).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn every_way_to_name_the_source_leads_to_it_and_to_what_is_inside() {
        let hardware_names = BTreeMap::from([("by-id/scsi-36000c29".to_owned(), 0)]);
        for source in [
            &format!("UUID={LUKS}"),
            &format!("/dev/disk/by-uuid/{LUKS}"),
            "PARTUUID=1ab00d12-02",
            "/dev/disk/by-partuuid/1ab00d12-02",
            "PARTLABEL=secret",
            "LABEL=box",
            "/dev/disk/by-label/box",
            "/dev/sda2",
            "/dev/disk/by-id/scsi-36000c29-part2",
        ] {
            let mut entries = read_from(&format!("data {source} none luks\n"));
            let mut fstab = [FstabEntry {
                device: "/dev/mapper/data".into(),
                at: "/srv".into(),
                filesystem: "ext4".into(),
                options: Vec::new(),
                volume: None,
            }];
            let mut notes = Vec::new();
            resolve(&mut entries, &mut fstab, &hardware_names, &volumes(), &mut notes);
            assert_eq!(
                (entries[0].volume, fstab[0].volume),
                (Some(VolumeId(1)), Some(VolumeId(2))),
                "{source}"
            );
            assert!(notes.is_empty(), "{notes:?}");
        }
    }

    #[test]
    fn what_is_on_none_of_the_disks_is_noted_unless_it_may_be_missing() {
        let mut entries = read_from(
            "far UUID=b1fd none luks\nusb LABEL=stick none luks,nofail\nfile /srv/box.img none luks\n",
        );
        let mut notes = Vec::new();
        resolve(&mut entries, &mut [], &BTreeMap::new(), &volumes(), &mut notes);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].contains("far is to be unlocked on UUID=b1fd"), "{notes:?}");
    }
}
