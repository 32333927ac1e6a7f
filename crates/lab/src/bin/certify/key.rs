//! What a row's evidence depends on: the guest, the hypervisor's profile, and our code.

use crate::row::Row;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// The crates whose code decides how a guest is converted and rehearsed.
const CRATES: &[&str] = &[
    "agent",
    "appliance",
    "block",
    "cli",
    "dialect",
    "fitrim",
    "guest",
    "image",
    "luks",
    "machine",
    "migrate",
    "nbd",
    "profile",
    "qemu",
    "rehearse",
];

/// What a row's evidence depends on. When one of the three changes, the evidence is stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// The key of the guest's recipe.
    pub(crate) guest: String,
    /// The hypervisor's profile and its version.
    pub(crate) profile: String,
    /// The digest of the code.
    pub(crate) code: String,
}

impl Key {
    /// The key of a row, as the code is now.
    pub(crate) fn of(row: &Row, code: &str) -> Self {
        Self {
            guest: row.guest.guest_key(),
            profile: format!("{} {}", row.target.id, row.target.version),
            code: code.to_owned(),
        }
    }

    /// What has changed since `older`; nothing when that is as current.
    pub(crate) fn changed_since(&self, older: &Self) -> Vec<&'static str> {
        let parts = [
            (self.guest != older.guest, "the guest"),
            (self.profile != older.profile, "the profile"),
            (self.code != older.code, "the code"),
        ];
        parts.into_iter().filter_map(|(changed, part)| changed.then_some(part)).collect()
    }
}

/// A digest of the sources of [`CRATES`] below the workspace's root, tests and formatting of the command line included: what
/// cannot matter is not worth a rule that could be wrong.
pub(crate) fn code(root: &Path) -> Result<String> {
    let mut files = vec![root.join("Cargo.lock")];
    for name in CRATES {
        let directory = root.join("crates").join(name);
        files.push(directory.join("Cargo.toml"));
        for part in ["src", "data"] {
            collect(&directory.join(part), &mut files)?;
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let contents = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(&name);
        hash.update((contents.len() as u64).to_le_bytes());
        hash.update(&contents);
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// Adds the files below a directory, which need not be there.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !directory.is_dir() {
        return Ok(());
    }
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        match path.is_dir() {
            true => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_digest_changes_with_a_source() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("Cargo.lock"), "").unwrap();
        for name in CRATES {
            let source = root.path().join("crates").join(name).join("src");
            fs::create_dir_all(&source).unwrap();
            fs::write(source.parent().unwrap().join("Cargo.toml"), "").unwrap();
            fs::write(source.join("lib.rs"), "").unwrap();
        }
        let before = code(root.path()).unwrap();
        assert_eq!(before, code(root.path()).unwrap());
        fs::write(root.path().join("crates/guest/src/lib.rs"), "//! More.").unwrap();
        assert_ne!(before, code(root.path()).unwrap());
    }

    #[test]
    fn a_key_says_what_changed() {
        let key =
            |guest: &str, code: &str| Key { guest: guest.into(), profile: "kvm 1".into(), code: code.into() };
        assert!(key("a", "b").changed_since(&key("a", "b")).is_empty());
        assert_eq!(key("a", "b").changed_since(&key("x", "y")), ["the guest", "the code"]);
    }
}
