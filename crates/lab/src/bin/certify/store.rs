//! Where evidence is kept: one signed document a row, and an index that says on what each depends.

use crate::key::Key;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The largest document that is read, in bytes.
const LIMIT: u64 = 4 << 20;
/// The index's file name. (`index.json` beside it is what `anyvisor support` reads.)
const INDEX: &str = "keys.json";

/// What the index says of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// On what the evidence depends.
    pub(crate) key: Key,
    /// The SHA-256 of the document, so that another one in its place is noticed.
    pub(crate) sha256: String,
    /// How long the row took, conversion and rehearsal, in seconds.
    pub(crate) seconds: u64,
    /// How long the conversion took, disks included, in seconds; none of a control.
    pub(crate) conversion_seconds: Option<u64>,
}

/// A directory of evidence.
pub(crate) struct Store {
    directory: PathBuf,
    entries: BTreeMap<String, Entry>,
}

impl Store {
    /// Opens a directory, which is made when it is not there.
    pub(crate) fn open(directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let entries = match read(&directory.join(INDEX))? {
            Some(bytes) => serde_json::from_slice(&bytes).context("the index of the evidence is damaged")?,
            None => BTreeMap::new(),
        };
        Ok(Self { directory, entries })
    }

    /// The document of a row.
    pub(crate) fn path(&self, row: &str) -> PathBuf {
        self.directory.join(format!("{row}.json"))
    }

    /// What the index says of a row.
    pub(crate) fn entry(&self, row: &str) -> Option<&Entry> {
        self.entries.get(row)
    }

    /// The document of a row, `None` when it is not there.
    pub(crate) fn read(&self, row: &str) -> Result<Option<Vec<u8>>> {
        read(&self.path(row))
    }

    /// Keeps a document, and says so in the index; whatever ends the program leaves the old or the new.
    pub(crate) fn keep(&mut self, row: &str, document: &[u8], entry: Entry) -> Result<()> {
        replace(&self.path(row), document)?;
        self.entries.insert(row.to_owned(), entry);
        let mut index = serde_json::to_vec_pretty(&self.entries)?;
        index.push(b'\n');
        replace(&self.directory.join(INDEX), &index)
    }

    /// The mean of what the rows of the index took, in seconds; none when there is none.
    pub(crate) fn mean_seconds(&self) -> Option<u64> {
        let count = u64::try_from(self.entries.len()).ok().filter(|count| *count > 0)?;
        Some(self.entries.values().map(|entry| entry.seconds).sum::<u64>() / count)
    }
}

/// The SHA-256 of a document, in hexadecimal digits.
pub(crate) fn sha256(document: &[u8]) -> String {
    Sha256::digest(document).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        Ok(metadata) => {
            anyhow::ensure!(metadata.len() <= LIMIT, "{} has more than {LIMIT} bytes", path.display());
        }
    }
    fs::read(path).map(Some).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file under another name, and renames it.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, contents).with_context(|| format!("cannot write {}", partial.display()))?;
    fs::rename(&partial, path).with_context(|| format!("cannot rename {}", partial.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there_again() {
        let directory = tempfile::tempdir().unwrap();
        let key = Key { guest: "g".into(), profile: "kvm 1".into(), code: "c".into() };
        let entry = Entry { key, sha256: sha256(b"{}"), seconds: 90, conversion_seconds: None };
        let mut store = Store::open(directory.path().into()).unwrap();
        store.keep("a--kvm", b"{}", entry.clone()).unwrap();
        let again = Store::open(directory.path().into()).unwrap();
        assert_eq!(again.entry("a--kvm"), Some(&entry));
        assert_eq!(again.read("a--kvm").unwrap().unwrap(), b"{}");
        assert_eq!(again.mean_seconds(), Some(90));
        assert_eq!(again.read("b--kvm").unwrap(), None);
    }
}
