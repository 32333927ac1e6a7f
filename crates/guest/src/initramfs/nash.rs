//! The initrd of Red Hat's mkinitrd, up to RHEL 5: modules lie in `/lib`, and a script for the interpreter `nash` loads
//! each by an `insmod` line of its own, for there are no indices and no udev.

use super::Contents;
use super::cpio::Entry;
use super::modules::{ModuleTree, is_module, name_of};
use std::collections::{BTreeMap, BTreeSet};

/// The directory of its modules.
const DIRECTORY: &str = "lib";
/// The script waits for disks, or looks for them, at a line that starts like one of these: drivers come before it.
const WAITS: &[&str] = &["echo Waiting for driver", "stabilized ", "mkrootdev "];

/// The modules inside: name and path.
pub(super) fn modules(contents: &Contents) -> BTreeMap<String, String> {
    let inside = contents.paths.keys().filter(|path| is_module(path) && path.starts_with("lib/"));
    inside.map(|path| (name_of(path), path.clone())).collect()
}

/// The path that a module gets.
pub(super) fn path_of(module: &str) -> String {
    let file = module.rsplit('/').next().unwrap_or(module);
    format!("{DIRECTORY}/{}.ko", file.split(".ko").next().unwrap_or(file))
}

/// The script with what it lacks to load `load`; `None` when it lacks nothing. `present` are the modules that will be
/// inside.
pub(super) fn script(
    path: &str,
    contents: &Contents,
    tree: &ModuleTree,
    load: &[String],
    present: &BTreeMap<String, String>,
) -> Option<Entry> {
    let before = String::from_utf8_lossy(contents.files.get(path)?);
    let loaded: BTreeSet<String> = before.lines().filter_map(loaded_by).collect();
    let lines: Vec<String> = tree
        .load_order(load.iter().map(String::as_str))
        .iter()
        .filter(|name| !loaded.contains(*name))
        .filter_map(|name| present.get(name))
        .map(|path| format!("insmod /{path}\n"))
        .collect();
    (!lines.is_empty()).then(|| {
        let at = place(&before);
        let (start, end) = before.split_at(at);
        // Devices that the new drivers bring get their nodes.
        Entry::program(path, format!("{start}{}mkblkdevs\n{end}", lines.concat()))
    })
}

/// The module that a line loads.
fn loaded_by(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    (words.next()? == "insmod").then_some(())?;
    words.next().map(name_of)
}

/// Where further drivers are to be loaded, in bytes: before the script waits for disks, else behind the last driver that
/// it loads, else at its end.
fn place(script: &str) -> usize {
    let mut position = 0;
    let mut behind_last = None;
    for line in script.split_inclusive('\n') {
        if WAITS.iter().any(|start| line.trim_start().starts_with(start)) {
            return position;
        }
        position += line.len();
        if loaded_by(line).is_some() {
            behind_last = Some(position);
        }
    }
    behind_last.unwrap_or(script.len())
}
