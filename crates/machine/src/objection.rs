//! Why a machine is refused before anything runs.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A reason not to begin, with what the administrator can do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objection {
    /// What it is about: a disk, a file, a device.
    pub what: String,
    /// Why it stands in the way.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

impl Objection {
    /// An objection.
    pub fn new(what: impl Into<String>, why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}
