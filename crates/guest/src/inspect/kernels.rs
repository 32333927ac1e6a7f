//! The kernels of a Linux guest, their modules and their initramfs.

mod entries;
mod options;

use super::text::{read_text, read_up_to, sorted_names};
use crate::fs::{FileKind, GuestFs, Result};
use crate::initramfs;
use crate::initramfs::flavour::Flavour;
use crate::initramfs::modules::{ModuleTree, Texts, is_module, name_of};
use profile::Profile;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// The most bytes that one of a kernel's `modules.*` files has.
const MAX_INDEX: u64 = 64 << 20;
/// The most bytes that an initramfs has.
pub(crate) const MAX_INITRAMFS: u64 = 1 << 30;
/// The most kernels that are looked at.
const MAX_KERNELS: usize = 64;

/// A kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// Its version, as `uname -r` prints it.
    pub version: String,
    /// Its image.
    pub image: String,
    /// The directory of its modules, where it has one.
    pub modules: Option<String>,
    /// The drivers for hardware that any of the profiles offers, by module name.
    pub drivers: BTreeMap<String, Driver>,
    /// Its initramfs, where it has one.
    pub initramfs: Option<InitramfsFacts>,
}

/// Whether a kernel has a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// As a part of itself.
    Builtin,
    /// As a module.
    Module,
    /// Not at all.
    Missing,
}

/// An initramfs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitramfsFacts {
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Who made it.
    pub flavour: Flavour,
    /// Which of the drivers for the profiles' hardware are inside, by module name.
    pub drivers: BTreeSet<String>,
    /// How many modules are inside.
    pub modules: usize,
}

impl Kernel {
    /// The drivers among `names` that it has in no way.
    pub fn lacks<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
        let missing =
            |name: &&String| self.drivers.get(*name).is_none_or(|driver| *driver == Driver::Missing);
        names.into_iter().filter(missing).map(String::as_str).collect()
    }
}

/// Every kernel with an image in `/boot` or an entry of a boot loader's, the newest first; of one version, the entry's.
pub(super) fn find(fs: &mut dyn GuestFs, notes: &mut Vec<String>) -> Result<Vec<Kernel>> {
    let mut kernels = Vec::new();
    for entries::Entry { version, image, initramfs } in entries::find(fs)? {
        kernels.push(kernel(fs, image, &version, &[initramfs], notes)?);
    }
    for name in sorted_names(fs, "/boot", "")? {
        let label = ["vmlinuz-", "vmlinux-", "kernel-"].iter().find_map(|prefix| name.strip_prefix(prefix));
        // Rescue images repeat another kernel; a dot-name is a checksum or a copy that someone kept.
        let Some(label) = label.filter(|label| !label.contains("rescue")) else { continue };
        let version = match is_version(label) {
            true => Some(label.to_string()),
            false => named_version(fs, label)?,
        };
        let Some(version) = version.filter(|_| kernels.len() < MAX_KERNELS) else { continue };
        let initramfs = INITRAMFS.map(|(start, end)| format!("/boot/{start}{label}{end}"));
        kernels.push(kernel(fs, format!("/boot/{name}"), &version, &initramfs, notes)?);
    }
    kernels.sort_by(|a, b| compare_versions(&b.version, &a.version));
    Ok(kernels)
}

/// The names of an initramfs: what stands before and behind the kernel's version.
const INITRAMFS: [(&str, &str); 5] =
    [("initrd.img-", ""), ("initramfs-", ".img"), ("initrd-", ".img"), ("initrd-", ""), ("initramfs-", "")];

/// The version of a kernel whose image is named after its package: `linux` of Arch's, which stands in `pkgbase` beside
/// its modules; `lts` of Alpine's, which the version ends in.
fn named_version(fs: &mut dyn GuestFs, label: &str) -> Result<Option<String>> {
    let directories = match fs.list("/lib/modules") {
        Ok(entries) => entries,
        Err(_) => return Ok(None),
    };
    let mut versions: Vec<String> =
        directories.into_iter().map(|entry| entry.name).filter(|name| is_version(name)).collect();
    versions.sort_by(|a, b| compare_versions(b, a));
    for version in versions.into_iter().take(MAX_KERNELS) {
        let package = read_text(fs, &format!("/lib/modules/{version}/pkgbase"))?;
        let ends = version.strip_suffix(label).is_some_and(|rest| rest.ends_with('-'));
        if package.map_or(ends, |package| package.trim() == label) {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-~".contains(&byte))
}

fn kernel(
    fs: &mut dyn GuestFs,
    image: String,
    version: &str,
    initramfs: &[String],
    notes: &mut Vec<String>,
) -> Result<Kernel> {
    let modules = format!("/lib/modules/{version}");
    let has_modules = fs.exists(&modules)?;
    let tree = module_tree(fs, version)?;
    let state = |name: &String| match (tree.is_builtin(name), tree.has(name)) {
        (true, _) => Driver::Builtin,
        (_, true) => Driver::Module,
        _ => Driver::Missing,
    };
    Ok(Kernel {
        version: version.into(),
        image,
        modules: has_modules.then_some(modules),
        drivers: relevant().into_iter().map(|name| (name.clone(), state(&name))).collect(),
        initramfs: initramfs_of(fs, initramfs, notes)?,
    })
}

/// The modules of a kernel of the guest's.
pub(crate) fn module_tree(fs: &mut dyn GuestFs, version: &str) -> Result<ModuleTree> {
    let mut text = |name: &str| -> Result<Option<String>> {
        let bytes = read_up_to(fs, &format!("/lib/modules/{version}/{name}"), MAX_INDEX)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    let (dep, builtin) = (text("modules.dep")?.unwrap_or_default(), text("modules.builtin")?);
    let alias = text("modules.alias")?.unwrap_or_default();
    let softdep = text("modules.softdep")?.unwrap_or_default();
    let builtin = match builtin {
        Some(builtin) => builtin,
        None => options::builtin(fs, version)?,
    };
    Ok(ModuleTree::parse(Texts { dep: &dep, builtin: &builtin, alias: &alias, softdep: &softdep }))
}

/// Every Linux module that a profile names.
fn relevant() -> BTreeSet<String> {
    profile::all().iter().flat_map(Profile::linux_modules).map(Into::into).collect()
}

/// The first of `paths` that is an initramfs.
fn initramfs_of(
    fs: &mut dyn GuestFs,
    paths: &[String],
    notes: &mut Vec<String>,
) -> Result<Option<InitramfsFacts>> {
    for path in paths {
        if !fs.exists(path)? || fs.metadata(path)?.kind == FileKind::Directory {
            continue;
        }
        let Some(bytes) = read_up_to(fs, path, MAX_INITRAMFS)? else { continue };
        match initramfs::read(&bytes, |_| false) {
            Ok(contents) => return Ok(Some(facts(path.clone(), bytes.len() as u64, &contents))),
            Err(error) => notes.push(format!("{path}: {error}")),
        }
    }
    Ok(None)
}

fn facts(path: String, size: u64, contents: &initramfs::Contents) -> InitramfsFacts {
    let inside: BTreeSet<String> =
        contents.paths.keys().filter(|path| is_module(path)).map(|path| name_of(path)).collect();
    let relevant = relevant();
    InitramfsFacts {
        path,
        size,
        flavour: Flavour::of(contents),
        drivers: relevant.into_iter().filter(|name| inside.contains(&name.replace('-', "_"))).collect(),
        modules: inside.len(),
    }
}

/// Compares versions as people do: runs of digits by value, the rest by letters.
fn compare_versions(a: &str, b: &str) -> Ordering {
    let runs = |text: &str| {
        let mut runs: Vec<(u64, String)> = Vec::new();
        let mut was_digit = None;
        for character in text.chars() {
            let is_digit = character.is_ascii_digit();
            if was_digit != Some(is_digit) {
                runs.push((0, String::new()));
                was_digit = Some(is_digit);
            }
            if let Some((number, run)) = runs.last_mut() {
                match character.to_digit(10) {
                    Some(digit) => *number = number.saturating_mul(10).saturating_add(u64::from(digit)),
                    None => run.push(character),
                }
            }
        }
        runs
    };
    runs(a).cmp(&runs(b))
}

/// Whether an option of a kernel's build is set to yes, in `/boot/config-VERSION`; `None` when it is not said.
pub(crate) fn build_option(fs: &mut dyn GuestFs, version: &str, option: &str) -> Result<Option<bool>> {
    let Some(text) = read_text(fs, &format!("/boot/config-{version}"))? else { return Ok(None) };
    let unset = format!("# {option} is not set");
    let set = format!("{option}=y");
    Ok(text.lines().find_map(|line| match line.trim() {
        line if line == set => Some(true),
        line if line == unset => Some(false),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_kernels_come_first() {
        let mut versions = ["6.1.0-9-amd64", "5.10.0-28-amd64", "6.1.0-18-amd64", "6.1.0-18-cloud-amd64"];
        versions.sort_by(|a, b| compare_versions(b, a));
        assert_eq!(versions, ["6.1.0-18-cloud-amd64", "6.1.0-18-amd64", "6.1.0-9-amd64", "5.10.0-28-amd64"]);
    }

    #[test]
    fn only_versions_are_versions() {
        assert!(is_version("6.1.0-18-amd64") && is_version("5.14.0-427.el9.x86_64"));
        assert!(!is_version("0-rescue/../../x") && !is_version("linux") && !is_version(""));
    }
}
