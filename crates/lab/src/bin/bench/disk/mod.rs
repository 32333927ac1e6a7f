//! `bench disk`: conversions of a disk between formats, by Anyvisor, by qemu-img, and by cp as the limit.

mod clones;
mod huge;
mod pair;
mod report;
mod rows;
mod scan;
mod timed;
mod work;

use crate::say;
use anyhow::{Context as _, Result};
pub(crate) use report::Report;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What is measured, and how thoroughly.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// How often each tool does each row; the median counts. A tool that is slow does it less often.
    pub(crate) runs: u32,
    /// Fewer rows.
    pub(crate) quick: bool,
    /// Only rows whose name holds this.
    pub(crate) only: Option<String>,
}

/// What the rows share.
struct Bench {
    options: Options,
    anyvisor: PathBuf,
    /// The disk that is converted, raw.
    disk: PathBuf,
    scratch: TempDir,
}

impl Bench {
    /// A file of the scratch directory.
    fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn wants(&self, row: &str) -> bool {
        self.options.only.as_ref().is_none_or(|only| row.contains(only.as_str()))
    }

    /// `anyvisor disk convert` of `source` to `target`.
    fn convert(&self, source: &Path, target: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.anyvisor);
        command.args(["disk", "convert", "--no-sync"]).args(arguments).arg(source).arg(target);
        command
    }
}

/// Measures everything.
pub(crate) fn run(options: Options) -> Result<Report> {
    let anyvisor = crate::convert::build()?;
    let cache = lab::cache_directory()?;
    let disk = work::disk(&cache)?;
    let scratch = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&cache)
        .with_context(|| format!("cannot create a directory in {}", cache.display()))?;
    let bench = Bench { options, anyvisor, disk, scratch };
    let mut rows = rows::run(&bench)?;
    rows.extend(scan::run(&bench)?);
    let mut notes = Vec::new();
    let mut cloned = Vec::new();
    for filesystem in ["xfs", "btrfs"] {
        match clones::run(&bench, filesystem) {
            Ok(found) => cloned.extend(found),
            Err(error) => {
                say(&format!("no clones on {filesystem}: {error:#}"));
                notes.push(format!("clones on {filesystem} were not measured: {error:#}"));
            }
        }
    }
    let huge = huge::run(&bench, &mut notes)?;
    Report::new(&bench, rows, cloned, huge, notes)
}
