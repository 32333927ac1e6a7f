//! Looking for damage in an image's structure: [`check`].

use crate::error::{Error, Result};
use crate::gate::Gate;
use crate::open::{self, OpenOptions};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;

/// How many findings are kept; more are counted.
const MAX_FINDINGS: usize = 1000;

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The first thousand findings.
    pub findings: Vec<Finding>,
    /// How many there are of bytes that are occupied and used by nothing.
    pub leaks: u64,
    /// How many there are of damage.
    pub damages: u64,
    /// How many of both were repaired.
    pub repaired: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which file.
    pub path: PathBuf,
    /// Where in the file, in bytes, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// What is wrong, as part of a sentence.
    pub what: String,
    /// Whether it was repaired.
    pub repaired: bool,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Bytes are occupied and used by nothing: no harm is done.
    Leak,
    /// What a guest reads, or would after its next write, may be wrong.
    Damage,
}

impl Check {
    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        match finding.severity {
            Severity::Leak => self.leaks += 1,
            Severity::Damage => self.damages += 1,
        }
        self.repaired += u64::from(finding.repaired);
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }

    /// Whether nothing is wrong, or all was repaired.
    pub fn is_clean(&self) -> bool {
        self.leaks + self.damages == self.repaired
    }
}

/// Checks the image that `gate` calls `name` and every image below it: their tables, their checksums, and what they
/// occupy. The guest's data is not read.
///
/// An image that cannot be opened at all is one finding, not an error.
///
/// # Errors
/// [`Error`] of kind [`Host`](crate::ErrorKind::Host), [`Missing`](crate::ErrorKind::Missing),
/// [`Refused`](crate::ErrorKind::Refused) or [`Unsupported`](crate::ErrorKind::Unsupported): what could not be looked at.
pub fn check(gate: &Arc<dyn Gate>, name: &str, options: &OpenOptions) -> Result<Check> {
    use crate::ErrorKind::{Damaged, ParentChanged};
    let mut check = Check::default();
    let walked = open::walk(gate.as_ref(), name, options, &mut |format, opening| match format.inspect {
        Some(inspect) => inspect(opening, &mut check),
        None => Ok(()),
    });
    match walked {
        Err(error) if matches!(error.kind(), Damaged | ParentChanged) => check.add(fatal(error)),
        other => drop(other?),
    }
    Ok(check)
}

/// The finding that an image cannot be opened or read.
fn fatal(error: Error) -> Finding {
    let (path, offset, what) = match error {
        Error::Format { path, offset, reason } => (path, offset, reason.to_string()),
        other => (other.path().map(PathBuf::from).unwrap_or_default(), None, other.to_string()),
    };
    Finding { severity: Severity::Damage, path, offset, what, repaired: false }
}
