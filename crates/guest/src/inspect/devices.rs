//! The names by which a Linux guest knows its volumes.

use crate::volume::{Origin, VolumeId};

/// How a guest's kernel names the disks of one kind: `sd` makes `sda`, `sdb`; `nvme` makes `nvme0n1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinuxNames<'a>(pub &'a str);

impl LinuxNames<'_> {
    /// The disk that comes at `index` among those of the kind, from 0.
    pub fn disk(self, index: u32) -> String {
        match self.0 {
            "nvme" => format!("nvme{index}n1"),
            "mmcblk" => format!("mmcblk{index}"),
            prefix => format!("{prefix}{}", letters(index)),
        }
    }
}

/// `a` to `z`, then `aa`, as the kernel counts.
fn letters(index: u32) -> String {
    let mut rest = u64::from(index) + 1;
    let mut text = Vec::new();
    while rest > 0 {
        rest -= 1;
        text.push(char::from(b'a' + (rest % 26) as u8));
        rest /= 26;
    }
    text.iter().rev().collect()
}

/// Takes the name of a partition or disk apart: `sda1` is (`sda`, 1), `nvme0n1p2` is (`nvme0n1`, 2), `sdb` is
/// (`sdb`, none). `None` for what is no such name.
pub(crate) fn split_name(name: &str) -> Option<(&str, Option<u32>)> {
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        return None;
    }
    if name.starts_with("nvme") || name.starts_with("mmcblk") {
        return match name.rsplit_once('p') {
            Some((disk, number)) if disk.ends_with(|c: char| c.is_ascii_digit()) => {
                Some((disk, Some(number.parse().ok()?)))
            }
            _ => Some((name, None)),
        };
    }
    let disk = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if !["sd", "vd", "hd", "xvd"].iter().any(|prefix| disk.strip_prefix(prefix).is_some_and(is_letters)) {
        return None;
    }
    match name.get(disk.len()..)? {
        "" => Some((disk, None)),
        number => Some((disk, Some(number.parse().ok()?))),
    }
}

fn is_letters(text: &str) -> bool {
    (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Which disk the name of a whole disk means, from 0: the guest's kernel counts them in the order of the machine.
fn disk_index(name: &str) -> Option<u32> {
    if let Some(rest) = name.strip_prefix("nvme") {
        return rest.split_once('n')?.0.parse().ok();
    }
    if let Some(rest) = name.strip_prefix("mmcblk") {
        return rest.parse().ok();
    }
    let letters = ["xvd", "sd", "vd", "hd"].iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let number = letters.bytes().try_fold(0u32, |sum, letter| {
        sum.checked_mul(26)?.checked_add(u32::from(letter.checked_sub(b'a')?) + 1)
    })?;
    number.checked_sub(1)
}

/// What is to be known of a volume for [`find_volume`].
pub(crate) trait Named {
    fn id(&self) -> VolumeId;
    fn origin(&self) -> &Origin;
    fn uuid(&self) -> Option<&str>;
    fn label(&self) -> Option<&str>;
}

impl Named for super::VolumeFacts {
    fn id(&self) -> VolumeId {
        self.id
    }
    fn origin(&self) -> &Origin {
        &self.origin
    }
    fn uuid(&self) -> Option<&str> {
        self.content.as_ref()?.uuid.as_deref()
    }
    fn label(&self) -> Option<&str> {
        self.content.as_ref()?.label.as_deref()
    }
}

impl Named for crate::volume::Volume {
    fn id(&self) -> VolumeId {
        self.id
    }
    fn origin(&self) -> &Origin {
        &self.origin
    }
    fn uuid(&self) -> Option<&str> {
        self.content.as_ref()?.uuid.as_deref()
    }
    fn label(&self) -> Option<&str> {
        self.content.as_ref()?.label.as_deref()
    }
}

/// The volume that a guest means by `specification`: `UUID=`, `LABEL=`, `PARTUUID=`, `PARTLABEL=`, `/dev/disk/by-…`,
/// `/dev/mapper/group-volume`, `/dev/group/volume`, `/dev/sda1`. `None` when it is none of these volumes, and for names
/// that only the guest's hardware could explain (`by-id`, `by-path`).
#[allow(private_bounds, reason = "volumes and their facts are all that there is")]
pub fn find_volume<V: Named>(specification: &str, volumes: &[V]) -> Option<VolumeId> {
    let by = |matches: &dyn Fn(&V) -> bool| volumes.iter().find(|volume| matches(volume)).map(Named::id);
    let same = |own: Option<&str>, wanted: &str| own.is_some_and(|own| own.eq_ignore_ascii_case(wanted));
    let (kind, value) = match specification.split_once('=') {
        Some((kind, value)) => (kind, value.trim_matches('"').to_string()),
        None => match specification.strip_prefix("/dev/disk/by-").and_then(|rest| rest.split_once('/')) {
            Some(("uuid", value)) => ("UUID", value.to_string()),
            Some(("label", value)) => ("LABEL", unescape(value)),
            Some(("partuuid", value)) => ("PARTUUID", value.to_string()),
            Some(("partlabel", value)) => ("PARTLABEL", unescape(value)),
            Some(_) => return None,
            None => ("", specification.strip_prefix("/dev/")?.to_string()),
        },
    };
    match kind {
        "UUID" => by(&|volume| same(volume.uuid(), &value)),
        "LABEL" => by(&|volume| volume.label() == Some(&value)),
        "PARTUUID" => by(&|volume| match volume.origin() {
            Origin::Partition { uuid, .. } => same(uuid.as_deref(), &value),
            _ => false,
        }),
        "PARTLABEL" => by(&|volume| match volume.origin() {
            Origin::Partition { label, .. } => label.as_deref() == Some(&value),
            _ => false,
        }),
        "" => by(&|volume| is_device(volume.origin(), &value)),
        _ => None,
    }
}

/// Whether `/dev/{name}` is the device of that origin.
fn is_device(origin: &Origin, name: &str) -> bool {
    match origin {
        Origin::Logical { group, volume } => {
            let mapped = || format!("mapper/{}-{}", group.replace('-', "--"), volume.replace('-', "--"));
            name.split_once('/') == Some((group, volume)) || name == mapped()
        }
        Origin::Partition { disk, number, .. } => {
            split_name(name).is_some_and(|(on, own)| own == Some(*number) && disk_index(on) == Some(*disk))
        }
        Origin::Unlocked { uuid, .. } => {
            uuid.as_ref().is_some_and(|uuid| name.strip_prefix("mapper/luks-") == Some(uuid))
        }
        Origin::Raid { name: array, .. } => {
            let own = array.as_deref().map(|array| array.split_once(':').map_or(array, |(_, own)| own));
            let asked = name.strip_prefix("md/").or_else(|| name.strip_prefix("md"));
            asked.is_some() && asked == own
        }
        Origin::Disk { disk } => {
            split_name(name).is_some_and(|(on, number)| number.is_none() && disk_index(on) == Some(*disk))
        }
    }
}

/// udev writes odd characters in link names as `\x20`.
fn unescape(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut plain = parts.next().unwrap_or_default().to_string();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if byte.is_ascii() => {
                plain.push(char::from(byte));
                plain.push_str(part.get(2..).unwrap_or_default());
            }
            _ => {
                plain.push_str("\\x");
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::VolumeFacts;
    use crate::volume::Content;

    fn volumes() -> Vec<VolumeFacts> {
        let origins = [
            Origin::Partition {
                disk: 0,
                number: 1,
                uuid: Some("1ab00d12-01".into()),
                label: Some("EFI system".into()),
                kind: "83".into(),
            },
            Origin::Logical { group: "vg-a".into(), volume: "root".into() },
            Origin::Disk { disk: 27 },
        ];
        (0u32..)
            .zip(origins)
            .map(|(id, origin)| VolumeFacts {
                id: VolumeId(id),
                name: String::new(),
                origin,
                size: 0,
                content: Some(Content {
                    kind: "ext4".into(),
                    uuid: Some(format!("AB-{id}")),
                    label: Some(format!("label {id}")),
                }),
            })
            .collect()
    }

    #[test]
    fn every_name_leads_to_its_volume() {
        let volumes = volumes();
        for (name, expected) in [
            ("UUID=ab-1", Some(1)),
            ("UUID=\"AB-1\"", Some(1)),
            ("LABEL=\"label 2\"", Some(2)),
            ("/dev/disk/by-label/label\\x202", Some(2)),
            ("PARTUUID=1AB00D12-01", Some(0)),
            ("/dev/disk/by-partlabel/EFI\\x20system", Some(0)),
            ("/dev/sda1", Some(0)),
            ("/dev/nvme0n1p1", Some(0)),
            ("/dev/vg-a/root", Some(1)),
            ("/dev/mapper/vg--a-root", Some(1)),
            ("/dev/sdab", Some(2)),
            ("/dev/sda2", None),
            ("/dev/disk/by-id/scsi-36000c29", None),
            ("/dev/../etc", None),
            ("tmpfs", None),
        ] {
            assert_eq!(find_volume(name, &volumes), expected.map(VolumeId), "{name}");
        }
    }

    #[test]
    fn disks_are_counted_as_the_kernel_does() {
        for (index, name) in [(0, "sda"), (25, "sdz"), (26, "sdaa"), (701, "sdzz"), (702, "sdaaa")] {
            assert_eq!(LinuxNames("sd").disk(index), name);
            assert_eq!(disk_index(name), Some(index));
        }
        assert_eq!(LinuxNames("nvme").disk(1), "nvme1n1");
        assert_eq!(split_name("nvme0n1p12"), Some(("nvme0n1", Some(12))));
        assert_eq!(split_name("vda"), Some(("vda", None)));
        assert_eq!(split_name("loop0"), None);
    }
}
