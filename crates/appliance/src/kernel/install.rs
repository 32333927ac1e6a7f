//! Fetching a kernel with the host's package tools, as an ordinary user.

use super::{Kernel, cache, newest};
use crate::error::{Error, Result};
use crate::packages;
use std::collections::BTreeSet;
use std::path::Path;

/// Packages that depend on a distribution's current kernel, the smallest kernels first: Debian's, then Ubuntu's.
const PACKAGES: &[&str] =
    &["linux-image-cloud-amd64", "linux-image-amd64", "linux-image-virtual", "linux-image-generic"];
/// More packages than a kernel comes in.
const MOST: usize = 8;

/// Fetches a kernel into the user's cache, where [`locate`](super::locate) finds it. One that is there already is
/// replaced only when it is whole.
///
/// # Errors
/// [`Error::NotFetched`] where there is no apt, or when it fails, with its words; [`Error::Io`].
pub fn install() -> Result<Kernel> {
    let fetched = packages::fetch(packages()?, failed)?;
    let mut unusable = Vec::new();
    let kernel = newest(&fetched.root, &mut unusable)
        .ok_or_else(|| failed(format!("the packages hold no kernel ({})", unusable.join("; "))))?;
    put(&fetched.root, &cache::place(&fetched.cache, &kernel.version))
}

/// Moves what was unpacked to its place, in one step.
fn put(root: &Path, place: &Path) -> Result<Kernel> {
    let parent = place.parent().unwrap_or(place);
    std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    if place.exists() {
        let old = tempfile::Builder::new().prefix(".old-").tempdir_in(parent);
        let old = old.map_err(Error::io("create a directory in", parent))?;
        std::fs::rename(place, old.path().join("root")).map_err(Error::io("replace", place))?;
    }
    std::fs::rename(root, place).map_err(Error::io("create", place))?;
    let mut unusable = Vec::new();
    newest(place, &mut unusable).ok_or(Error::NoKernel { unusable })
}

/// The packages of one kernel: from one that stands for the current kernel, along what it depends on.
fn packages() -> Result<BTreeSet<String>> {
    let first = PACKAGES.iter().find_map(|package| packages::dependencies(package, is_kernel));
    match first {
        Some(first) => Ok(packages::closure(&first, is_kernel, MOST)),
        None => Err(failed(packages::explain_unknown("linux-image"))),
    }
}

pub(crate) fn is_kernel(package: &str) -> bool {
    package.starts_with("linux-image-") || package.starts_with("linux-modules-")
}

fn failed(reason: impl Into<String>) -> Error {
    Error::NotFetched { reason: reason.into() }
}
