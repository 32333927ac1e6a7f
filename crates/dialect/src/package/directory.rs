//! The description in a directory that the user named instead of the description itself.

use super::{Error, Result};
use crate::dialects::{self, Head};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// How deep descriptions lie: Hyper-V's in `Virtual Machines/`, those of a collection somewhat deeper.
const DEPTH: usize = 8;
/// The most entries of one directory that are looked at.
const ENTRIES: usize = 10_000;
/// How much of a file is looked at, in bytes.
const HEAD: u64 = 64 << 10;
/// Where Hyper-V and VirtualBox keep the past of a machine.
const PAST: [&str; 2] = ["Snapshots", "Logs"];

/// The machines in `directory` and a little below, in order: the one description of an export, or every description and
/// package of a collection. Disks that no description names are not among them.
pub fn sources_in(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    look(directory, DEPTH, &mut found);
    found.sort();
    found
}

/// The one description in `directory`.
pub(super) fn description_in(directory: &Path) -> Result<PathBuf> {
    let found = sources_in(directory);
    match found.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(Error::Directory { path: directory.to_path_buf(), found }),
    }
}

fn look(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut entries: Vec<_> = entries.flatten().take(ENTRIES).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Ok(kind) = entry.file_type() else { continue };
        let is_past = PAST.iter().any(|past| entry.file_name().eq_ignore_ascii_case(past));
        if kind.is_dir() && depth > 0 && !is_past {
            look(&entry.path(), depth - 1, found);
        } else if kind.is_file() && is_description(&entry.path()) {
            found.push(entry.path());
        }
    }
}

fn is_description(path: &Path) -> bool {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut bytes));
    let text = super::recognise::text(&bytes);
    let is_package = super::tar::is_tar(&bytes);
    read.is_ok() && (is_package || dialects::recognise(&Head { bytes: &bytes, text: &text }).is_some())
}
