//! Where guests are kept between runs, and the lock that lets one process make one while the others wait.

use crate::error::Context as _;
use crate::{LabError, Result};
use std::fs::{self, File};
use std::path::PathBuf;

/// The lab's directory: `$XDG_CACHE_HOME/anyvisor/lab`, by default below `~/.cache`.
///
/// # Errors
/// When the environment names no home, or the directory cannot be made.
pub fn directory() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_CACHE_HOME")
        .or_else(|| Some(set("HOME")?.join(".cache")))
        .ok_or(LabError::NoCacheDirectory)?;
    let directory = base.join("anyvisor/lab");
    fs::create_dir_all(&directory).context("create", &directory)?;
    Ok(directory)
}

/// Waits until no other process makes the guest or the base tree of this name. The lock ends with the value.
pub(crate) fn lock(name: &str) -> Result<File> {
    let path = directory()?.join(format!("{name}.lock"));
    let file = File::create(&path).context("create", &path)?;
    file.lock().context("lock", &path)?;
    Ok(file)
}
