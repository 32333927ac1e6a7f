//! Names of disks in a guest's configuration, replaced by names that no hypervisor changes.

use super::lvm;
use crate::inspect::{Inspection, find_by_hardware, find_volume, split_hardware_name, split_name};
use crate::recipe::Target;
use crate::volume::{Origin, VolumeId};

/// Variables and kernel parameters whose value is a device.
const KEYS: &[&str] = &[
    "root=",
    "resume=",
    "RESUME=",
    "resumedev=",
    "rootdev=",
    "journal=",
    // Encrypted volumes: of mkinitcpio, dracut, mkinitfs and initramfs-tools; then what their keys and headers lie on.
    "cryptdevice=",
    "rd.luks.name=",
    "cryptroot=",
    "source=",
    "cryptkey=",
    "header=",
];
/// Commands of `nash` whose argument is a device.
const COMMANDS: &[&str] = &["resume", "mkrootdev"];

/// Where in a line a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the field of that number, from 0.
    Field(usize),
    /// It is the second field of crypttab(5); in those behind it, what keys and headers lie on.
    Crypttab,
    /// It is the value of one of [`KEYS`].
    Value,
    /// It is the last argument of one of [`COMMANDS`].
    Argument,
    /// It is the name of a whole disk, which has no UUID: the new name takes its place.
    DeviceMap,
    /// Members of an array: `mdadm` finds them by the array's UUID when none is named.
    Members,
    /// LVM's filters, whose patterns no UUID can stand in: those that name disks become comments.
    Filters,
}

/// How a stable name is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `UUID=…`.
    Tag,
    /// `/dev/disk/by-uuid/…`, for programs that take nothing but paths.
    Path,
    /// `PARTUUID=…`, or the name on the target: all that a kernel without an initramfs finds its root by.
    Kernel,
}

/// The names that a target changes.
pub(super) struct Names<'a> {
    pub(super) inspection: &'a Inspection,
    pub(super) target: &'a Target,
    pub(super) spelling: Spelling,
    /// How they are spelt on a kernel's command line.
    pub(super) on_command_lines: Spelling,
}

/// A text with its names replaced, and the names that could not be.
pub(super) struct Replaced {
    pub(super) text: String,
    pub(super) unresolved: Vec<String>,
}

impl Names<'_> {
    /// Replaces the names in every line.
    pub(super) fn replace(&self, text: &str, place: Place) -> Replaced {
        let mut unresolved = Vec::new();
        if place == Place::Filters {
            return Replaced { text: lvm::without_filters(text, self.target), unresolved };
        }
        let text =
            text.split_inclusive('\n').map(|line| self.replace_in(line, place, &mut unresolved)).collect();
        Replaced { text, unresolved }
    }

    fn replace_in(&self, line: &str, place: Place, unresolved: &mut Vec<String>) -> String {
        // A comment in Debian's `menu.lst` is what `update-grub` makes its entries from.
        if line.trim_start().starts_with('#') && !line.starts_with("# kopt=") {
            return line.into();
        }
        match place {
            Place::Field(number) => self.replace_field(line, number, unresolved),
            Place::Crypttab => self.replace_encrypted(line, unresolved),
            Place::Value => self.replace_values(line, unresolved),
            Place::Argument => self.replace_argument(line, unresolved),
            Place::DeviceMap => self.replace_disk(line),
            Place::Members => self.without_members(line),
            Place::Filters => line.into(),
        }
    }

    /// Whether the target changes the name of a device.
    fn changes(&self, device: &str) -> bool {
        let disk = device.strip_prefix("/dev/").and_then(split_name).map(|(disk, _)| disk);
        disk.is_some_and(|disk| self.target.renamed.contains_key(disk))
            || split_hardware_name(device).is_some()
    }

    /// The stable name of `device`, when its own will change.
    fn stable(&self, device: &str, spelling: Spelling, unresolved: &mut Vec<String>) -> Option<String> {
        if !self.changes(device) {
            return None;
        }
        let volumes = &self.inspection.volumes;
        let volume = find_volume(device, volumes)
            .or_else(|| find_by_hardware(device, &self.inspection.hardware_names, volumes));
        let stable = volume.and_then(|id| self.identifier(id, spelling));
        if stable.is_none() {
            unresolved.push(device.into());
        }
        stable
    }

    fn identifier(&self, id: VolumeId, spelling: Spelling) -> Option<String> {
        let volume = self.inspection.volume(id)?;
        let own = volume.content.as_ref().and_then(|content| content.uuid.as_deref());
        let (tag, directory, uuid) = match (own, &volume.origin) {
            (_, Origin::Partition { uuid: Some(uuid), .. }) if spelling == Spelling::Kernel => {
                ("PARTUUID", "by-partuuid", uuid.as_str())
            }
            (_, Origin::Disk { disk }) if spelling == Spelling::Kernel => {
                return self.target.disk_names.get(*disk as usize).map(|name| format!("/dev/{name}"));
            }
            (Some(uuid), _) => ("UUID", "by-uuid", uuid),
            (None, Origin::Partition { uuid: Some(uuid), .. }) => ("PARTUUID", "by-partuuid", uuid.as_str()),
            _ => return None,
        };
        Some(match spelling {
            Spelling::Tag | Spelling::Kernel => format!("{tag}={uuid}"),
            Spelling::Path => format!("/dev/disk/{directory}/{uuid}"),
        })
    }

    fn replace_field(&self, line: &str, number: usize, unresolved: &mut Vec<String>) -> String {
        let Some(field) = line.split_whitespace().nth(number) else { return line.into() };
        match self.stable(field, self.spelling, unresolved) {
            // The first field of that text: in these files, fields before it are no device names.
            Some(stable) => line.replacen(field, &stable, 1),
            None => line.into(),
        }
    }

    /// A line of crypttab(5). Partitions without a UUID of their own, as swap space with a random key, are named by paths there:
    /// older readers of the table know no `PARTUUID=`.
    fn replace_encrypted(&self, line: &str, unresolved: &mut Vec<String>) -> String {
        let Some(name) = line.split_whitespace().next() else { return line.into() };
        let end_of_name = line.find(name).map_or(0, |at| at + name.len());
        let rest = line.get(end_of_name..).unwrap_or_default();
        let start = line.len() - rest.trim_start().len();
        let (before, fields) = line.split_at_checked(start).unwrap_or((line, ""));
        let (source, others) = fields.split_at(fields.find(char::is_whitespace).unwrap_or(fields.len()));
        let stable = self.stable(source, Spelling::Tag, unresolved).and_then(|tag| {
            if tag.starts_with("UUID=") { Some(tag) } else { self.stable(source, Spelling::Path, unresolved) }
        });
        let others = self.replace_devices(others, |_| true, Spelling::Path, unresolved);
        format!("{before}{}{others}", stable.as_deref().unwrap_or(source))
    }

    fn replace_values(&self, line: &str, unresolved: &mut Vec<String>) -> String {
        let counts = |before: &str| {
            let assignment = before.trim_end_matches(['"', '\'']);
            KEYS.iter().any(|key| assignment.strip_suffix(key).is_some_and(ends_word))
        };
        self.replace_devices(line, counts, self.on_command_lines, unresolved)
    }

    /// Replaces every device in a text for which what stands before it `counts`.
    fn replace_devices(
        &self,
        line: &str,
        counts: impl Fn(&str) -> bool,
        spelling: Spelling,
        unresolved: &mut Vec<String>,
    ) -> String {
        let mut out = String::new();
        let mut rest = line;
        while let Some(at) = rest.find("/dev/") {
            let (before, from) = rest.split_at(at);
            let (device, after) = from.split_at(device_length(from));
            out.push_str(before);
            match counts(before).then(|| self.stable(device, spelling, unresolved)).flatten() {
                Some(stable) => out.push_str(&stable),
                None => out.push_str(device),
            }
            rest = after;
        }
        out + rest
    }

    fn replace_argument(&self, line: &str, unresolved: &mut Vec<String>) -> String {
        let mut words = line.split_whitespace();
        let (Some(command), Some(device)) = (words.next(), words.next_back()) else { return line.into() };
        match COMMANDS.contains(&command).then(|| self.stable(device, self.spelling, unresolved)).flatten() {
            Some(stable) => line.replacen(device, &stable, 1),
            None => line.into(),
        }
    }

    fn replace_disk(&self, line: &str) -> String {
        let Some(device) = line.split_whitespace().find(|word| word.starts_with("/dev/")) else {
            return line.into();
        };
        let by_hardware = split_hardware_name(device)
            .and_then(|(name, _)| self.inspection.hardware_names.get(name))
            .and_then(|disk| self.target.disk_names.get(*disk as usize));
        let by_name = device.strip_prefix("/dev/").and_then(|name| self.target.renamed.get(name));
        match by_name.or(by_hardware) {
            Some(new) => line.replacen(device, &format!("/dev/{new}"), 1),
            None => line.into(),
        }
    }

    /// A line of `mdadm.conf(5)` without the names that change: every partition is looked at, and the array's UUID decides.
    fn without_members(&self, line: &str) -> String {
        let changes = |device: &str| self.changes(device);
        match line.split_whitespace().next() {
            Some("DEVICE") if line.split_whitespace().skip(1).any(changes) => "DEVICE partitions\n".into(),
            Some("ARRAY") => {
                let is_list = |word: &&str| {
                    word.strip_prefix("devices=").is_some_and(|list| list.split(',').any(changes))
                };
                match line.split_whitespace().find(is_list) {
                    Some(list) if line.contains("UUID=") || line.contains("uuid=") => {
                        line.replacen(&format!(" {list}"), "", 1)
                    }
                    _ => line.into(),
                }
            }
            _ => line.into(),
        }
    }
}

/// Whether what stands in front of a key ends there: `kernelopts=` and blanks, but not the `bar` of `barroot=`.
fn ends_word(text: &str) -> bool {
    !text.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// How many bytes the name of a device at the start of `text` has.
fn device_length(text: &str) -> usize {
    let is_link = text.starts_with("/dev/disk/");
    let ends = |c: char| {
        !(c.is_ascii_alphanumeric() || c == '/' || is_link && matches!(c, '-' | '_' | '.' | ':' | '+' | '\\'))
    };
    text.find(ends).unwrap_or(text.len())
}
