//! How a machine is packed for a hypervisor.

use serde::{Deserialize, Serialize};

/// A way to pack a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packing {
    /// Its name on the command line: `files`, `ova`.
    pub name: String,
    /// What the files are put into.
    pub container: Container,
    /// The dialects of the descriptions, by name. The first says it all; the others are for convenience.
    pub descriptions: Vec<String>,
    /// What the administrator does with it: a command or an instruction, in which `{description}`, `{script}` and `{archive}`
    /// stand for the first and the second description and the archive, `{directory}` for where they are.
    pub next: String,
    /// The disks that can be in it, the usual kind first.
    pub disks: Vec<DiskKind>,
}

/// What a machine's files are put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Container {
    /// Nothing: they lie side by side.
    Files,
    /// A tar archive with an OVF descriptor and a manifest.
    Ova,
    /// XenServer's and XCP-ng's tar archive of pieces of disks.
    Xva,
}

/// A kind of disk image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskKind {
    /// Its name on the command line.
    pub name: String,
    /// The format, as `anyvisor disk` calls it.
    pub format: String,
    /// The format's variant; its usual one when absent.
    pub subformat: Option<String>,
    /// The ending of its files.
    pub ending: String,
    /// The largest disk in GiB; unlimited when absent.
    pub max_gib: Option<u64>,
}
