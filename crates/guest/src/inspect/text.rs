//! Reading a guest's configuration files.

use crate::fs::{ErrorKind, FileKind, GuestFs, Result};

/// No configuration file is larger, in bytes.
const MAX_TEXT: u64 = 4 << 20;
/// No directory of configuration files has more entries that matter.
const MAX_NAMES: usize = 4096;

/// The text at `path`; `None` when there is none, or something else or something absurdly large is there.
pub(crate) fn read_text(fs: &mut dyn GuestFs, path: &str) -> Result<Option<String>> {
    Ok(read_up_to(fs, path, MAX_TEXT)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The bytes at `path`, under the same conditions.
pub(crate) fn read_up_to(fs: &mut dyn GuestFs, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    match fs.read(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_absence(error.kind) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_absence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::WrongKind | ErrorKind::TooLarge)
}

/// The names of files and links in a directory that end in `ending`, in order; none when there is no such directory.
pub(crate) fn sorted_names(fs: &mut dyn GuestFs, directory: &str, ending: &str) -> Result<Vec<String>> {
    let entries = match fs.list(directory) {
        Ok(entries) => entries,
        Err(error) if is_absence(error.kind) => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut names: Vec<String> = entries
        .into_iter()
        .filter(|entry| {
            matches!(entry.kind, FileKind::File | FileKind::Symlink) && entry.name.ends_with(ending)
        })
        .map(|entry| entry.name)
        .take(MAX_NAMES)
        .collect();
    names.sort();
    Ok(names)
}

/// The value of `key` in a file of shell-like assignments, without its quotes.
pub(crate) fn assignment(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let value = line.trim().strip_prefix(key)?.trim_start().strip_prefix('=')?.trim();
        Some(value.trim_matches(['"', '\'']).to_string())
    })
}

/// The sections of an INI file, in order: name, and keys with values.
pub(crate) fn ini(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut sections: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.push((name.into(), Vec::new()));
        } else if let (Some((key, value)), Some((_, values))) = (line.split_once('='), sections.last_mut()) {
            values.push((key.trim().into(), value.trim().into()));
        }
    }
    sections
}
