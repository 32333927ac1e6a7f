//! Fetching a kernel with the host's package tools, as an ordinary user: apt downloads and verifies, `dpkg-deb`
//! unpacks, nothing is installed.

use super::{Kernel, cache, newest};
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

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
    let directory = cache::directory()
        .ok_or_else(|| failed("there is no home directory for a cache; set XDG_CACHE_HOME"))?;
    std::fs::create_dir_all(&directory).map_err(Error::io("create", &directory))?;
    let work = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(&directory)
        .map_err(Error::io("create a directory in", &directory))?;
    let root = work.path().join("root");
    for package in packages()? {
        run(Command::new("apt-get").args(["download", &package]).current_dir(work.path()))?;
    }
    for archive in super::entries(work.path()) {
        if archive.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&root))?;
        }
    }
    let mut unusable = Vec::new();
    let kernel = newest(&root, &mut unusable)
        .ok_or_else(|| failed(format!("the packages hold no kernel ({})", unusable.join("; "))))?;
    put(&root, &cache::place(&directory, &kernel.version))
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
fn packages() -> Result<Vec<String>> {
    let first = PACKAGES.iter().find_map(|package| Some((*package, dependencies(package)?)));
    let Some((_, mut next)) = first else {
        let reason = match Command::new("apt-cache").arg("--version").output() {
            Ok(_) => "apt knows no linux-image package (`apt-get update` may help)",
            Err(_) => "this needs apt and dpkg, as Debian and Ubuntu have them",
        };
        return Err(failed(reason));
    };
    let mut packages = BTreeSet::new();
    while let Some(package) = next.pop() {
        if packages.len() < MOST && packages.insert(package.clone()) {
            next.extend(dependencies(&package).unwrap_or_default());
        }
    }
    Ok(packages.into_iter().collect())
}

/// The kernel packages that a package depends on; `None` when there is no such package.
fn dependencies(package: &str) -> Option<Vec<String>> {
    let output = Command::new("apt-cache")
        .args(["show", "--no-all-versions", package])
        .env("LC_ALL", "C")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| kernel_packages(&String::from_utf8_lossy(&output.stdout)))
}

/// The kernel packages in a control paragraph's `Depends`: "linux-image-6.1.0-13-amd64 (= 6.1.55-1), …".
fn kernel_packages(paragraph: &str) -> Vec<String> {
    let depends = paragraph.lines().find_map(|line| line.strip_prefix("Depends:")).unwrap_or_default();
    depends
        .split([',', '|'])
        .filter_map(|one| one.split_whitespace().next())
        .filter(|name| name.starts_with("linux-image-") || name.starts_with("linux-modules-"))
        .map(str::to_string)
        .collect()
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| failed(format!("{program} cannot be run: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).take(4).collect();
    Err(failed(format!("{program} failed: {}", said.join("; "))))
}

fn failed(reason: impl Into<String>) -> Error {
    Error::NotFetched { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_package_depends_on() {
        let debian =
            "Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-13-cloud-amd64 (= 6.1.55-1)\n";
        assert_eq!(kernel_packages(debian), ["linux-image-6.1.0-13-cloud-amd64"]);
        let ubuntu =
            "Depends: kmod, linux-base (>= 4.5), linux-modules-6.8.0-31-generic, crda | wireless-crda\n";
        assert_eq!(kernel_packages(ubuntu), ["linux-modules-6.8.0-31-generic"]);
        assert!(kernel_packages("Package: x\n").is_empty());
    }
}
