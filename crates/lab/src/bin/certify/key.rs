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

/// A digest of the sources of [`CRATES`] below the workspace's root and of the crates that they may use, tests and formatting of
/// the command line included: what cannot matter is not worth a rule that could be wrong.
pub(crate) fn code(root: &Path) -> Result<String> {
    let mut files = Vec::new();
    for name in CRATES {
        let directory = root.join("crates").join(name);
        files.push(directory.join("Cargo.toml"));
        for part in ["src", "data"] {
            collect(&directory.join(part), &mut files)?;
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    let mut add = |name: &str, contents: &[u8]| {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((contents.len() as u64).to_le_bytes());
        hash.update(contents);
    };
    for file in files {
        let contents = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        add(&file.strip_prefix(root).unwrap_or(&file).to_string_lossy(), &contents);
    }
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    for package in foreign_packages(&lock) {
        add("Cargo.lock", package.as_bytes());
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// The packages of a `Cargo.lock` that are not of the workspace: of its own the sources count.
fn foreign_packages(lock: &str) -> impl Iterator<Item = &str> {
    lock.split("[[package]]").filter(|package| package.contains("\nsource = "))
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
    fn of_a_lock_only_the_packages_of_others_count() {
        let lock = "version = 4\n\n[[package]]\nname = \"lab\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"serde\"\n\
                    version = \"1.0.0\"\nsource = \"registry\"\n";
        let packages: Vec<&str> = foreign_packages(lock).collect();
        assert_eq!(packages.len(), 1);
        assert!(packages[0].contains("serde"));
    }

    #[test]
    fn a_key_says_what_changed() {
        let key =
            |guest: &str, code: &str| Key { guest: guest.into(), profile: "kvm 1".into(), code: code.into() };
        assert!(key("a", "b").changed_since(&key("a", "b")).is_empty());
        assert_eq!(key("a", "b").changed_since(&key("x", "y")), ["the guest", "the code"]);
    }
}
