//! The manifest: the record of a finished migration, and the sign that it is finished.

use crate::error::{Error, Result};
use crate::plan::{DiskFacts, Facts, Plan};
use crate::timeline::Timeline;
use dialect::package::VerifiedDigest;
use guest::fs::recording::Edit;
use guest::inspect::Inspection;
use guest::recipe::Converted;
use machine::{Loss, Machine};
use rehearse::Evidence;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The version of the manifest's layout. A reader refuses a higher one.
pub const FORMAT: u32 = 1;

const ENDING: &str = ".manifest.json";
/// The most bytes of a manifest that are read. One holds the changed lines of a guest's texts: some hundred KiB.
const LARGEST: u64 = 64 << 20;

/// The record of a finished migration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this layout.
    pub format: u32,
    /// The version of Anyvisor that made the target.
    pub anyvisor: String,
    /// When it was finished.
    pub finished: jiff::Timestamp,
    /// What it was made from.
    pub source: SourceRecord,
    /// What was decided.
    pub plan: Plan,
    /// What was done to the guest; `None` when it was copied as it is.
    pub guest: Option<GuestRecord>,
    /// The disks, as written.
    pub disks: Vec<DiskRecord>,
    /// Every file of the target, this one last.
    #[serde(default)]
    pub files: Vec<String>,
    /// The evidence of the rehearsal, when one was held.
    pub rehearsal: Option<Evidence>,
    /// How long each part took.
    pub timings: Timeline,
}

/// What a target was made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The path as it was named.
    pub path: PathBuf,
    /// What it is: `OVA`, `VMX`.
    pub kind: String,
    /// The machine as it describes it.
    pub machine: Machine,
    /// What could not be read from the description.
    pub losses: Vec<Loss>,
    /// Its disks.
    pub disks: Vec<DiskFacts>,
    /// The digests that were checked.
    pub digests: Vec<VerifiedDigest>,
}

/// What was done to the guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GuestRecord {
    /// What it was found to be, before.
    pub inspection: Inspection,
    /// What the recipe did.
    pub converted: Converted,
    /// Every file that was changed, with its difference.
    pub edits: Vec<Edit>,
}

/// A disk as it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiskRecord {
    /// The machine's name for it.
    pub id: String,
    /// Its file, beside the manifest.
    pub file: String,
    /// The file's format.
    pub format: String,
    /// The size that the guest sees, in bytes.
    pub virtual_size: u64,
    /// How many bytes of it are stored.
    pub data_bytes: u64,
    /// The BLAKE3 digest of everything that the guest sees, in hexadecimal.
    pub blake3: String,
}

impl SourceRecord {
    /// The record of a source with `facts`.
    pub fn new(path: &Path, kind: String, facts: &Facts, digests: Vec<VerifiedDigest>) -> Self {
        Self {
            path: path.to_path_buf(),
            kind,
            machine: facts.machine.clone(),
            losses: facts.losses.clone(),
            disks: facts.disks.clone(),
            digests,
        }
    }
}

impl Manifest {
    /// Reads the manifest at `path`.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Manifest`] when it is not one, or of a later layout.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_bounded(path).map_err(|source| Error::io("read", path, source))?;
        let refuse = |source| Error::Manifest { path: path.to_path_buf(), source };
        let manifest: Self = serde_json::from_slice(&text).map_err(refuse)?;
        if manifest.format > FORMAT {
            let text = format!("its layout is {}, and this program reads up to {FORMAT}", manifest.format);
            return Err(refuse(serde::de::Error::custom(text)));
        }
        Ok(manifest)
    }

    /// Finds the one manifest that `path` means: itself, or the only one in a directory.
    ///
    /// # Errors
    /// [`Error::Ambiguous`] when a directory holds none or several.
    pub fn find(path: &Path) -> Result<PathBuf> {
        if !path.is_dir() {
            return Ok(path.to_path_buf());
        }
        let entries = fs::read_dir(path).map_err(|source| Error::io("list", path, source))?;
        let mut manifests: Vec<_> =
            entries.flatten().map(|entry| entry.path()).filter(|path| is_manifest(path)).collect();
        match (manifests.pop(), manifests.len()) {
            (Some(only), 0) => Ok(only),
            (Some(_), others) => Err(Error::Ambiguous { path: path.to_path_buf(), found: others + 1 }),
            (None, _) => Err(Error::Ambiguous { path: path.to_path_buf(), found: 0 }),
        }
    }
}

/// A whole file, of the size that something written by us can have.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let length = File::open(path)?.take(LARGEST + 1).read_to_end(&mut text)? as u64;
    if length > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than any that is written"));
    }
    Ok(text)
}

/// Whether `path` is named like a manifest of ours.
pub fn is_manifest(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ENDING))
}
