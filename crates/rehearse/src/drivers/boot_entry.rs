//! Which kernel of a Linux guest starts by default, as its boot loader's configuration says: [`find`].

use super::menu::{self, Entry};
use super::pattern;
use guest::fs::{ErrorKind, FsError, GuestFs};
use guest::inspect::{Inspection, Kernel};
use serde::{Deserialize, Serialize};

/// The most bytes of a configuration file that are read.
const LONGEST: u64 = 4 << 20;
/// The most bytes of a file that is one entry, or holds GRUB's choice.
const LONGEST_ENTRY: u64 = 64 << 10;
/// The most bytes of a file's name.
const LONGEST_NAME: usize = 255;
/// Directories of entries by the Boot Loader Specification (type 1).
const ENTRIES: &[&str] = &["/boot/loader/entries", "/boot/efi/loader/entries", "/efi/loader/entries"];
/// GRUB's environment block, where a choice is kept.
const ENVIRONMENTS: &[&str] = &["/boot/grub2/grubenv", "/boot/grub/grubenv"];

/// How it is known which kernel starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChosenBy {
    /// The boot loader's default entry names it.
    BootLoader,
    /// It is the newest; the boot loader's configuration says nothing that is understood.
    Newest,
}

/// What starts by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BootEntry {
    /// The kernel's version.
    pub(super) version: String,
    /// The name of the initramfs that is loaded with it, without its directory.
    pub(super) initramfs: Option<String>,
    /// How that is known.
    pub(super) chosen_by: ChosenBy,
}

/// Finds the default entry; the newest kernel where none is understood, `None` where there is no kernel.
pub(super) fn find(fs: &mut dyn GuestFs, inspection: &Inspection) -> Result<Option<BootEntry>, FsError> {
    let kernels = &inspection.kernels;
    let main = inspection.boot.as_ref().and_then(|boot| boot.configuration.first());
    let text = match main {
        Some(path) => read_up_to(fs, path, LONGEST)?,
        None => String::new(),
    };
    let mut saved = None;
    for path in ENVIRONMENTS {
        saved = saved.or(assignment(&read_up_to(fs, path, LONGEST_ENTRY)?, "saved_entry"));
    }
    let in_menu = menu::default(&text, saved.as_deref()).and_then(|entry| entry.kernel(kernels));
    let chosen = match in_menu {
        Some(entry) => Some(entry),
        // Without entries of its own it is systemd-boot's, or GRUB's that reads these files and has saved its choice.
        None => in_entries(fs, saved.as_deref().or(menu::settings(&text).last()), kernels)?,
    };
    Ok(chosen.or_else(|| {
        let newest = kernels.first()?;
        let initramfs = newest.initramfs.as_ref().map(|image| file_name(&image.path).to_string());
        Some(BootEntry { version: newest.version.clone(), initramfs, chosen_by: ChosenBy::Newest })
    }))
}

/// The default one of the entries that are a file each: the one that was `wanted`, else the one with the newest kernel.
fn in_entries(
    fs: &mut dyn GuestFs,
    wanted: Option<&str>,
    kernels: &[Kernel],
) -> Result<Option<BootEntry>, FsError> {
    let mut found = Vec::new();
    for directory in ENTRIES {
        for name in names(fs, directory)? {
            let text = read_up_to(fs, &format!("{directory}/{name}"), LONGEST_ENTRY)?;
            if let Some(entry) = Entry::file(&text).kernel(kernels) {
                found.push((name, entry));
            }
        }
    }
    // GRUB writes the name without its ending; systemd-boot's is a pattern, with or without.
    let wanted = wanted.filter(|wanted| wanted.len() <= LONGEST_NAME);
    let is_wanted = |name: &str| {
        wanted.is_some_and(|wanted| {
            let name = name.strip_suffix(".conf").unwrap_or(name);
            pattern::matches(wanted.strip_suffix(".conf").unwrap_or(wanted), name)
        })
    };
    let age = |entry: &BootEntry| kernels.iter().position(|kernel| kernel.version == entry.version);
    found.sort_by_cached_key(|(name, entry)| (!is_wanted(name), age(entry)));
    Ok(found.into_iter().next().map(|(_, entry)| entry))
}

fn names(fs: &mut dyn GuestFs, directory: &str) -> Result<Vec<String>, FsError> {
    match fs.list(directory) {
        Ok(entries) => {
            let names = entries.into_iter().map(|entry| entry.name);
            Ok(names.filter(|name| name.ends_with(".conf")).take(256).collect())
        }
        Err(error) if is_absence(error.kind) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The text at `path`; nothing when there is none, or more than `limit` bytes of it.
pub(super) fn read_up_to(fs: &mut dyn GuestFs, path: &str, limit: u64) -> Result<String, FsError> {
    match fs.read(path, limit) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if is_absence(error.kind) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

fn is_absence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::WrongKind | ErrorKind::TooLarge)
}

fn assignment(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim().to_string()).filter(|value| !value.is_empty())
}

pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use guest::fs::memory::MemoryTree;

    pub(in super::super) fn kernel(version: &str, image: &str) -> Kernel {
        Kernel {
            version: version.into(),
            image: image.into(),
            modules: None,
            drivers: Default::default(),
            initramfs: None,
        }
    }

    pub(in super::super) fn kernels(versions: &[&str]) -> Vec<Kernel> {
        versions.iter().map(|version| kernel(version, &format!("/boot/vmlinuz-{version}"))).collect()
    }

    #[test]
    fn an_entry_that_was_saved_wins_over_a_newer_kernel() {
        let mut tree = MemoryTree::single();
        tree.put("/boot/loader/entries/a.conf", "linux /vmlinuz-6.1\ninitrd /i-6.1\n").unwrap();
        tree.put("/boot/loader/entries/id-5.10.conf", "linux /vmlinuz-5.10\ninitrd /i-5.10\n").unwrap();
        let kernels = kernels(&["6.1", "5.10"]);
        let entry = in_entries(&mut tree, None, &kernels).unwrap().unwrap();
        assert_eq!(entry.version, "6.1");
        for wanted in ["id-5.10", "id-5.10.conf", "id-5*"] {
            let entry = in_entries(&mut tree, Some(wanted), &kernels).unwrap().unwrap();
            assert_eq!((entry.version.as_str(), entry.initramfs.as_deref()), ("5.10", Some("i-5.10")));
        }
    }
}
