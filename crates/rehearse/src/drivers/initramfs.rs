//! What an initramfs holds of a kernel's modules, and what makes it load them: [`Image`].

use super::pattern;
use guest::initramfs::cpio::Kind;
use guest::initramfs::flavour::{FLAVOURS, Load};
use guest::initramfs::modules::{ModuleTree, Texts, is_module, name_of};
use guest::initramfs::{self, Contents, Error};
use std::collections::BTreeSet;

/// Files that list modules to load, a line each: initramfs-tools', and systemd's where that runs in an initramfs.
const LISTS: &[&str] =
    &["conf/modules", "etc/modules", "etc/modules-load.d/*.conf", "usr/lib/modules-load.d/*.conf"];
/// Scripts of initramfs' without udev that load their modules one by one: Red Hat's mkinitrd's.
const SCRIPTS: &[&str] = &["init", "linuxrc"];
/// No script that loads modules is longer, in bytes.
const LONGEST_SCRIPT: usize = 1 << 20;

/// An initramfs.
pub(super) struct Image {
    /// The modules of the kernel that are inside.
    inside: BTreeSet<String>,
    /// What its own `modules.*` files say.
    tree: ModuleTree,
    /// The lists of modules to load: path, and names of modules.
    lists: Vec<(String, BTreeSet<String>)>,
}

impl Image {
    /// Reads the initramfs of the kernel `version`.
    ///
    /// # Errors
    /// When it is damaged, of no known kind, or larger than any real one.
    pub(super) fn read(bytes: &[u8], version: &str) -> Result<Self, Error> {
        let contents = initramfs::read(bytes, is_kept)?;
        let text = |name: &str| {
            let ending = format!("lib/modules/{version}/{name}");
            let file = contents.files.iter().find(|(path, _)| path.ends_with(&ending));
            file.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
        };
        let (dep, alias) = (text("modules.dep"), text("modules.alias"));
        let tree = ModuleTree::parse(Texts { dep: &dep, alias: &alias, builtin: "", softdep: "" });
        Ok(Self { inside: inside(&contents, version), tree, lists: lists(&contents) })
    }

    /// Whether a module is inside.
    pub(super) fn has(&self, module: &str) -> bool {
        self.inside.contains(&module.replace('-', "_"))
    }

    /// The alias by which it loads `module` for a device with the id `modalias`.
    pub(super) fn alias(&self, module: &str, modalias: &str) -> Option<&str> {
        alias(&self.tree, module, modalias)
    }

    /// The list on which `module` stands, and is loaded whatever devices there are.
    pub(super) fn listed_in(&self, module: &str) -> Option<&str> {
        let module = module.replace('-', "_");
        self.lists.iter().find(|(_, names)| names.contains(&module)).map(|(path, _)| path.as_str())
    }
}

/// The alias of `module` in a kernel's `modules.alias` that stands for the device id `modalias`.
pub(super) fn alias<'a>(tree: &'a ModuleTree, module: &str, modalias: &str) -> Option<&'a str> {
    let module = module.replace('-', "_");
    let own = tree.aliases().iter().filter(|(_, name)| *name == module);
    own.map(|(pattern, _)| pattern.as_str()).find(|pattern| pattern::matches(pattern, modalias))
}

fn is_kept(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    matches!(file, "modules.dep" | "modules.alias")
        || is_list(path)
        || SCRIPTS.contains(&path)
        || assigned_in(path).is_some()
}

/// The variable of a script that holds the modules to load, where a program of [`FLAVOURS`] makes such scripts.
fn assigned_in(path: &str) -> Option<&'static str> {
    FLAVOURS.iter().find_map(|facts| match facts.load {
        Load::Assignment { files, key } => files.contains(&path).then_some(key),
        _ => None,
    })
}

fn is_list(path: &str) -> bool {
    LISTS.iter().any(|list| match list.split_once('*') {
        Some((directory, ending)) => path.starts_with(directory) && path.ends_with(ending),
        None => path == *list,
    })
}

/// The modules for that kernel; those that lie in no kernel's directory are for whichever it is, as mkinitrd puts them.
fn inside(contents: &Contents, version: &str) -> BTreeSet<String> {
    let own = format!("lib/modules/{version}/");
    let is_own = |path: &str| path.contains(&own) || !path.contains("lib/modules/");
    let files = contents.paths.iter().filter(|(path, kind)| **kind == Kind::File && is_module(path));
    files.filter(|(path, _)| is_own(path)).map(|(path, _)| name_of(path)).collect()
}

fn lists(contents: &Contents) -> Vec<(String, BTreeSet<String>)> {
    let text =
        |bytes: &Vec<u8>| String::from_utf8_lossy(bytes.get(..LONGEST_SCRIPT).unwrap_or(bytes)).into_owned();
    let names = |path: &str, text: &str| -> BTreeSet<String> {
        match assigned_in(path) {
            Some(key) => text.lines().flat_map(|line| assigned(line, key)).collect(),
            None if is_list(path) => text.lines().filter_map(listed).collect(),
            None => text.lines().filter_map(loaded).collect(),
        }
    };
    contents.files.iter().map(|(path, bytes)| (path.clone(), names(path, &text(bytes)))).collect()
}

/// The modules in the value that a line of a script assigns to `key`.
fn assigned(line: &str, key: &str) -> Vec<String> {
    let value = line.trim().strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
    let words = value.unwrap_or_default().trim_matches(['"', '\'']).split_whitespace();
    words.map(|word| word.replace('-', "_")).collect()
}

/// The module on a line of a list.
fn listed(line: &str) -> Option<String> {
    line.split_whitespace().next().filter(|word| !word.starts_with('#')).map(|word| word.replace('-', "_"))
}

/// The module that a line of a script loads: `insmod /lib/ext3.ko`, `modprobe -q ext3`.
fn loaded(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    words.next().filter(|word| matches!(*word, "insmod" | "modprobe"))?;
    words.find(|word| !word.starts_with('-')).map(name_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use guest::initramfs::cpio::{self, Entry};

    fn image(files: &[(&str, &str)]) -> Image {
        let entries: Vec<Entry> = files.iter().map(|(path, text)| Entry::file(*path, *text)).collect();
        Image::read(&cpio::write(&entries), "6.1").unwrap()
    }

    #[test]
    fn modules_count_for_their_kernel_only() {
        let image = image(&[
            ("usr/lib/modules/6.1/kernel/a/hv-vmbus.ko.xz", "x"),
            ("usr/lib/modules/5.10/kernel/a/hv_storvsc.ko", "x"),
            (
                "usr/lib/modules/6.1/modules.alias",
                "alias acpi*:VMBUS:* hv_vmbus\nalias vmbus:ab hv_storvsc\n",
            ),
        ]);
        assert!(image.has("hv_vmbus") && !image.has("hv_storvsc"));
        assert_eq!(image.alias("hv_vmbus", "acpi:VMBUS:"), Some("acpi*:VMBUS:*"));
        assert_eq!(image.alias("hv_vmbus", "vmbus:ab"), None);
    }

    #[test]
    fn lists_and_scripts_load_modules_too() {
        let image = image(&[
            ("conf/modules", "# for us\nvirtio-scsi\n"),
            ("init", "#!/bin/nash\nmkblkdevs\ninsmod /lib/mptspi.ko\n"),
            ("lib/mptspi.ko", "x"),
            ("run_all.sh", "#!/bin/bash\nRESOLVED_INITRD_MODULES='processor hv-storvsc'\n"),
            ("etc/modules-load.d/a.conf", "sd_mod option=1\n"),
        ]);
        assert_eq!(image.listed_in("virtio_scsi"), Some("conf/modules"));
        assert_eq!(image.listed_in("mptspi"), Some("init"));
        assert_eq!(image.listed_in("sd_mod"), Some("etc/modules-load.d/a.conf"));
        assert_eq!(image.listed_in("hv_storvsc"), Some("run_all.sh"));
        assert_eq!(image.listed_in("ahci"), None);
        assert!(image.has("mptspi"));
    }
}
