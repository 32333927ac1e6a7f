//! Names of disks that the target changes, replaced by names that no hypervisor changes.

use super::{Conversion, during, initramfs};
use crate::inspect::{Inspection, find_volume, read_text, split_name};
use crate::recipe::{RecipeError, Target};
use crate::volume::{Origin, VolumeId};

const STEP: &str = "replace names of disks that change";

/// Files in which names of disks stand, and what stands in front of one that has to be replaced.
const FILES: &[(&str, Place)] = &[
    ("/etc/fstab", Place::Field(0)),
    ("/etc/crypttab", Place::Field(1)),
    ("/etc/initramfs-tools/conf.d/resume", Place::Assignment),
    ("/etc/default/grub", Place::Assignment),
    ("/boot/grub/grub.cfg", Place::Assignment),
    ("/boot/grub/device.map", Place::DeviceMap),
];

/// Where in a line a name stands.
#[derive(Clone, Copy)]
enum Place {
    /// It is the field of that number, from 0.
    Field(usize),
    /// It stands behind `root=`, `resume=` or `RESUME=`.
    Assignment,
    /// It is the name of a whole disk, which has no UUID: the new name takes its place.
    DeviceMap,
}

/// Where the names of disks change, replaces them by `UUID=` wherever they are configured.
pub(super) fn use_stable_names(conversion: &mut Conversion<'_>) -> Result<(), RecipeError> {
    if conversion.target.renamed.is_empty() {
        return Ok(());
    }
    for (path, place) in FILES {
        let Some(before) = read_text(conversion.mounter.tree(), path).map_err(during(STEP))? else {
            continue;
        };
        let names = Names { inspection: conversion.inspection, target: conversion.target };
        let mut unresolved = Vec::new();
        let after: String =
            before.split_inclusive('\n').map(|line| names.replace(line, *place, &mut unresolved)).collect();
        for name in unresolved {
            conversion.note(format!(
                "{path} names {name}, which nothing is known of: it may have another name now"
            ));
        }
        if *path == "/etc/initramfs-tools/conf.d/resume" {
            initramfs::carry(conversion, "conf/conf.d/resume", &after);
        }
        if conversion.editor().put(path, after.as_bytes(), 0o644).map_err(during(STEP))? {
            conversion.note(format!("{path} names disks in a way that holds on the target"));
        }
    }
    Ok(())
}

struct Names<'a> {
    inspection: &'a Inspection,
    target: &'a Target,
}

impl Names<'_> {
    fn replace(&self, line: &str, place: Place, unresolved: &mut Vec<String>) -> String {
        if line.trim_start().starts_with('#') {
            return line.into();
        }
        match place {
            Place::Field(number) => self.replace_field(line, number, unresolved),
            Place::Assignment => self.replace_assignments(line, unresolved),
            Place::DeviceMap => self.replace_disk(line),
        }
    }

    /// The stable name of `device`, when its own will change.
    fn stable(&self, device: &str, unresolved: &mut Vec<String>) -> Option<String> {
        let (disk, _) = split_name(device.strip_prefix("/dev/")?)?;
        if !self.target.renamed.contains_key(disk) {
            return None;
        }
        let stable = find_volume(device, &self.inspection.volumes).and_then(|id| self.identifier(id));
        if stable.is_none() {
            unresolved.push(device.into());
        }
        stable
    }

    fn identifier(&self, id: VolumeId) -> Option<String> {
        let volume = self.inspection.volume(id)?;
        if let Some(uuid) = volume.content.as_ref().and_then(|content| content.uuid.as_deref()) {
            return Some(format!("UUID={uuid}"));
        }
        match &volume.origin {
            Origin::Partition { uuid: Some(uuid), .. } => Some(format!("PARTUUID={uuid}")),
            _ => None,
        }
    }

    fn replace_field(&self, line: &str, number: usize, unresolved: &mut Vec<String>) -> String {
        let Some(field) = line.split_whitespace().nth(number) else { return line.into() };
        match self.stable(field, unresolved) {
            // The first field of that text: in these files, fields before it are no device names.
            Some(stable) => line.replacen(field, &stable, 1),
            None => line.into(),
        }
    }

    fn replace_assignments(&self, line: &str, unresolved: &mut Vec<String>) -> String {
        let mut out = String::new();
        let mut rest = line;
        while let Some(at) = rest.find("=/dev/") {
            let (before, from) = rest.split_at(at + 1);
            let end = from.find(|c: char| !(c.is_ascii_alphanumeric() || c == '/')).unwrap_or(from.len());
            let (device, after) = from.split_at(end);
            let key =
                before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '=').next().unwrap_or_default();
            let counts = matches!(key, "root=" | "resume=" | "RESUME=");
            out.push_str(before);
            match counts.then(|| self.stable(device, unresolved)).flatten() {
                Some(stable) => out.push_str(&stable),
                None => out.push_str(device),
            }
            rest = after;
        }
        out + rest
    }

    fn replace_disk(&self, line: &str) -> String {
        let Some(device) = line.split_whitespace().find_map(|word| word.strip_prefix("/dev/")) else {
            return line.into();
        };
        match self.target.renamed.get(device) {
            Some(new) => line.replacen(&format!("/dev/{device}"), &format!("/dev/{new}"), 1),
            None => line.into(),
        }
    }
}
