//! The rows of the matrix, as the data files have them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A guest system that statements speak of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// Its name in statements and on the command line: `rhel`.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Who makes it.
    pub vendor: String,
    /// Further names on the command line; two systems may share one where their versions differ.
    #[serde(default)]
    pub names: Vec<String>,
    /// Its `ID` in `os-release(5)`.
    #[serde(default)]
    pub os_release: Vec<String>,
    /// What its short identifiers of libosinfo begin with, before the version.
    #[serde(default)]
    pub libosinfo: Vec<String>,
    /// How the line in `/etc/redhat-release` begins, for releases older than `os-release(5)`.
    pub release_file: Option<String>,
    /// Its versions, the newest first, where they are names rather than numbers. Empty for numbers.
    #[serde(default)]
    pub versions: Vec<NamedVersion>,
}

/// A version that is a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedVersion {
    /// The name: `2012r2`.
    pub name: String,
    /// libosinfo's short identifier of the system in this version: `win2k12r2`.
    pub libosinfo: String,
}

/// A product that runs guests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its name in statements and on the command line: `sles-kvm`.
    pub id: String,
    /// The profile whose virtual hardware it gives.
    pub profile: String,
    /// Its name for people.
    pub name: String,
    /// The releases that statements name.
    pub releases: Vec<String>,
}

/// Where a statement stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name in the statements of the same file.
    pub id: String,
    /// The document's title, or what it is.
    pub title: String,
    /// Who published it.
    pub publisher: String,
    /// The date that it bears: `2009-10`, `2025-06-19`. Absent when it bears none.
    pub date: Option<String>,
    /// The day on which it was read: `2026-11-23`.
    pub seen: String,
    /// Where it is.
    pub url: String,
}

/// What a vendor says of guests on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The [`Source`]'s name.
    pub source: String,
    /// Who says so; the source's publisher when empty.
    #[serde(default)]
    pub by: Vec<String>,
    /// The [`Guest`]'s name.
    pub guest: String,
    /// Its versions: a version with all below it (`9`), a span (`5.2-5.11`), a name. Empty for all.
    #[serde(default)]
    pub versions: Vec<String>,
    /// The [`Host`]'s name.
    pub host: String,
    /// Its releases, written like versions. Empty for all.
    #[serde(default)]
    pub releases: Vec<String>,
    /// What is said.
    pub verdict: Verdict,
    /// From which drivers or integration services on: `built in`, `Linux Integration Services 4.3`.
    pub drivers: Option<String>,
    /// What else is asked for, or limited.
    pub condition: Option<String>,
}

/// Whether a guest is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is.
    Supported,
    /// It is, with conditions; or only in some versions or on some hosts of those that were asked for.
    Conditional,
    /// It is not.
    Unsupported,
    /// Nobody says so here. In no statement, only in answers.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Supported => "supported",
            Self::Conditional => "supported with conditions",
            Self::Unsupported => "not supported",
            Self::Unknown => "unknown",
        })
    }
}
