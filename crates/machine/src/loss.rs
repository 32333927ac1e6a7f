//! What a description could not carry.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Something that the source says and the target will not, or not in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// What it is about. When a description was read, as the source names it: `scsi0:1.mode`. When one is written, the
    /// field of the machine in the form of [`crate::differences`]: `disk1.serial`, `nic2`, `smbios`.
    pub what: String,
    /// What became of it; `None` when nothing did.
    pub kept_as: Option<String>,
    /// Why, in a sentence that an administrator understands.
    pub why: String,
    /// How much it matters.
    pub severity: Severity,
}

/// How much a loss matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nobody will notice.
    Note,
    /// Something behaves differently; the guest runs.
    Change,
    /// Something that the guest may need is missing.
    Warning,
}

impl Loss {
    /// Something that has no counterpart and is gone.
    pub fn dropped(severity: Severity, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), kept_as: None, why: why.into(), severity }
    }

    /// Something that is kept as something else.
    pub fn changed(what: impl Into<String>, kept_as: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), kept_as: Some(kept_as.into()), why: why.into(), severity: Severity::Change }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kept_as {
            Some(kept_as) => write!(f, "{} → {kept_as}: {}", self.what, self.why),
            None => write!(f, "{}: {}", self.what, self.why),
        }
    }
}
