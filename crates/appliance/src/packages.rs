//! The host's packages, fetched as an ordinary user: apt downloads and verifies, `dpkg-deb` unpacks, nothing is
//! installed.

use crate::error::Error;
use crate::kernel::cache;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Why a package is not there: apt's or dpkg's words, or that there are none.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// Packages with what they depend on, of those whose names `keep` likes; at most `most`. A name that apt does not know is
/// left out: an alternative may be meant.
pub(crate) fn closure(first: &[String], keep: fn(&str) -> bool, most: usize) -> BTreeSet<String> {
    let mut packages = BTreeSet::new();
    let mut next = first.to_vec();
    while let Some(package) = next.pop() {
        if packages.len() >= most || packages.contains(&package) {
            continue;
        }
        if let Some(needed) = dependencies(&package, keep) {
            packages.insert(package);
            next.extend(needed);
        }
    }
    packages
}

/// Packages that were unpacked together.
pub(crate) struct Unpacked {
    /// The cache's directory, in which `work` lies too: what is made there goes to its place by a rename.
    pub(crate) cache: PathBuf,
    /// A directory that goes when this does.
    pub(crate) work: TempDir,
    /// What the packages hold.
    pub(crate) root: PathBuf,
}

/// Downloads packages into the user's cache, and unpacks them. `failed` makes an error of why there is nothing.
pub(crate) fn fetch(
    packages: impl IntoIterator<Item = String>,
    failed: impl Fn(String) -> Error,
) -> std::result::Result<Unpacked, Error> {
    let homeless = || failed("there is no home directory for a cache; set XDG_CACHE_HOME".to_string());
    let cache = cache::directory().ok_or_else(homeless)?;
    std::fs::create_dir_all(&cache).map_err(Error::io("create", &cache))?;
    let work = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(&cache)
        .map_err(Error::io("create a directory in", &cache))?;
    let root = work.path().join("root");
    unpack(packages, work.path(), &root).map_err(failed)?;
    Ok(Unpacked { cache, work, root })
}

fn unpack(packages: impl IntoIterator<Item = String>, work: &Path, root: &Path) -> Result<()> {
    run(Command::new("apt-get").arg("download").args(packages).current_dir(work))?;
    for archive in archives(work) {
        run(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(root))?;
    }
    Ok(())
}

fn archives(work: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(work).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect()
}

/// The packages that one depends on, of those whose names `keep` likes; `None` when there is no such package.
pub(crate) fn dependencies(package: &str, keep: fn(&str) -> bool) -> Option<Vec<String>> {
    let output = Command::new("apt-cache")
        .args(["show", "--no-all-versions", package])
        .env("LC_ALL", "C")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let is_there = output.status.success() && !output.stdout.is_empty();
    is_there.then(|| depends(&String::from_utf8_lossy(&output.stdout), keep))
}

/// What explains that apt knows none of the packages.
pub(crate) fn explain_unknown(what: &str) -> String {
    match Command::new("apt-cache").arg("--version").output() {
        Ok(_) => format!("apt knows no {what} package (`apt-get update` may help)"),
        Err(_) => "this needs apt and dpkg, as Debian and Ubuntu have them".to_string(),
    }
}

/// The packages in a control paragraph's `Depends`: "linux-image-6.1.0-13-amd64 (= 6.1.55-1), …".
fn depends(paragraph: &str, keep: fn(&str) -> bool) -> Vec<String> {
    let depends = paragraph.lines().find_map(|line| line.strip_prefix("Depends:")).unwrap_or_default();
    depends
        .split([',', '|'])
        .filter_map(|one| one.split_whitespace().next())
        .filter_map(|name| name.split(':').next())
        .filter(|name| keep(name))
        .map(str::to_string)
        .collect()
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).take(4).collect();
    Err(format!("{program} failed: {}", said.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_kernel(name: &str) -> bool {
        name.starts_with("linux-image-") || name.starts_with("linux-modules-")
    }

    #[test]
    fn reads_what_a_package_depends_on() {
        let debian =
            "Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-13-cloud-amd64 (= 6.1.55-1)\n";
        assert_eq!(depends(debian, is_kernel), ["linux-image-6.1.0-13-cloud-amd64"]);
        let ubuntu =
            "Depends: kmod, linux-base (>= 4.5), linux-modules-6.8.0-31-generic, crda | wireless-crda\n";
        assert_eq!(depends(ubuntu, is_kernel), ["linux-modules-6.8.0-31-generic"]);
        assert!(depends("Package: x\n", is_kernel).is_empty());
        let tools = "Depends: libc6 (>= 2.36), libyajl2:any | libyajl3, python3\n";
        assert_eq!(depends(tools, |name| name.starts_with("lib")), ["libc6", "libyajl2", "libyajl3"]);
    }
}
