//! The user's cache of kernels: `$XDG_CACHE_HOME/anyvisor/appliance`, or below `~/.cache`.

use super::{Kernel, compare, entries, image};
use crate::error::{Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Fetched kernels, a directory each.
const FETCHED: &str = "kernels";
/// Decompressed kernels. The name changes when what is made of a kernel does.
const DECOMPRESSED: &str = "decompressed-1";

/// The cache's directory; `None` for a user without a home.
pub(crate) fn directory() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("anyvisor/appliance"))
}

/// Where a fetched kernel of that version goes.
pub(super) fn place(directory: &Path, version: &str) -> PathBuf {
    directory.join(FETCHED).join(version)
}

/// The fetched kernels, the newest first, each a root with `boot` and `lib/modules`.
pub(super) fn fetched() -> Vec<PathBuf> {
    let Some(directory) = directory() else { return Vec::new() };
    let mut roots = entries(&directory.join(FETCHED));
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    roots.retain(|path| !name(path).starts_with('.'));
    roots.sort_by(|one, other| compare(&name(other), &name(one)));
    roots
}

/// The kernel's ELF image, from the cache or put there now. `None` when it has none that QEMU can start, or when there
/// is no cache.
pub(super) fn decompressed(kernel: &Kernel) -> Result<Option<PathBuf>> {
    let Some(directory) = directory().map(|directory| directory.join(DECOMPRESSED)) else { return Ok(None) };
    let path = directory.join(key(kernel)?);
    if path.is_file() {
        return Ok(Some(path));
    }
    let Some(elf) = image::elf(&kernel.image)? else { return Ok(None) };
    std::fs::create_dir_all(&directory).map_err(Error::io("create", &directory))?;
    let mut file =
        tempfile::NamedTempFile::new_in(&directory).map_err(Error::io("write into", &directory))?;
    file.write_all(&elf).map_err(Error::io("write", file.path()))?;
    file.persist(&path).map_err(|error| Error::io("write", &path)(error.error))?;
    Ok(Some(path))
}

/// Changes when the image does.
fn key(kernel: &Kernel) -> Result<String> {
    let image = &kernel.image;
    let metadata = std::fs::metadata(image).map_err(Error::io("read", image))?;
    let modified = metadata.modified().map_err(Error::io("read", image))?;
    let seconds = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(format!("vmlinux-{}-{}-{seconds}", kernel.version, metadata.len()))
}
