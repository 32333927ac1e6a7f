//! The appliance's kernel: [`locate`] finds one, [`install`] fetches one.

pub(crate) mod cache;
pub(crate) mod image;
pub(crate) mod install;

pub use install::install;

use crate::error::{Error, Result};
use crate::modules::Modules;
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// Names a kernel image to use, for instance `/boot/vmlinuz-6.1.0-13-amd64`.
const OVERRIDE: &str = "ANYVISOR_KERNEL";

/// A Linux kernel with its modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its version as `uname -r` prints it: `6.1.0-13-cloud-amd64`.
    pub version: String,
    /// Its image, a bzImage for x86-64.
    pub image: PathBuf,
    /// The directory of its modules, `…/lib/modules/VERSION`.
    pub modules: PathBuf,
}

impl Kernel {
    /// Takes a kernel as it lies in a system or in an unpacked package: an image, and its modules in `lib/modules` or
    /// `usr/lib/modules` below one of `roots`.
    fn open(image: &Path, roots: &[&Path]) -> Result<Self> {
        let bad = |reason: String| Error::BadKernel { path: image.to_path_buf(), reason };
        let version = image::version(image)?;
        let modules = roots
            .iter()
            .flat_map(|root| ["lib/modules", "usr/lib/modules"].map(|directory| root.join(directory)))
            .map(|directory| directory.join(&version))
            .find(|directory| directory.join("kernel").is_dir())
            .ok_or_else(|| bad(format!("the modules of Linux {version} are not there")))?;
        Ok(Self { version, image: image.to_path_buf(), modules })
    }

    pub(crate) fn modules(&self) -> Result<Modules> {
        Modules::scan(&self.modules, &self.version)
    }

    /// What QEMU is to start: the kernel decompressed, once, into the cache, since that takes an emulated processor as
    /// long as the rest of the boot; the image itself where that is not possible.
    pub(crate) fn startable(&self) -> PathBuf {
        match cache::decompressed(self) {
            Ok(Some(path)) => path,
            Ok(None) => self.image.clone(),
            Err(error) => {
                tracing::debug!(image = %self.image.display(), %error, "the kernel starts compressed");
                self.image.clone()
            }
        }
    }
}

/// Finds a kernel: the one that `ANYVISOR_KERNEL` names (its modules are looked for beside it, as in an unpacked
/// package, and in the system), else the newest that [`install`] fetched, else the newest of this system.
///
/// # Errors
/// [`Error::NoKernel`], which tells why those that were found cannot be used; [`Error::BadKernel`] for the one that was
/// named.
pub fn locate() -> Result<Kernel> {
    let system = Path::new("/");
    if let Some(image) = std::env::var_os(OVERRIDE).filter(|value| !value.is_empty()).map(PathBuf::from) {
        let beside = image.parent().and_then(Path::parent).unwrap_or(system);
        return Kernel::open(&image, &[beside, system]);
    }
    let mut unusable = Vec::new();
    let fetched = cache::fetched();
    let systems = fetched.iter().map(PathBuf::as_path).chain([system]);
    for root in systems {
        if let Some(kernel) = newest(root, &mut unusable) {
            return Ok(kernel);
        }
    }
    Err(Error::NoKernel { unusable })
}

/// The newest usable kernel below `root`: those of `boot`, and those that lie with their modules, as Fedora has them.
pub(crate) fn newest(root: &Path, unusable: &mut Vec<String>) -> Option<Kernel> {
    let mut images: Vec<PathBuf> = entries(&root.join("boot"))
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")))
        .collect();
    for modules in ["lib/modules", "usr/lib/modules"] {
        images.extend(entries(&root.join(modules)).into_iter().map(|path| path.join("vmlinuz")));
    }
    images.retain(|path| path.exists());
    let mut kernels = Vec::new();
    for image in images {
        match Kernel::open(&image, &[root]) {
            Ok(kernel) => kernels.push(kernel),
            Err(error) => unusable.push(with_source(&error)),
        }
    }
    kernels.into_iter().max_by(|one, other| compare(&one.version, &other.version))
}

fn with_source(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

pub(crate) fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Versions by their numbers: 6.10 is newer than 6.9.
fn compare(one: &str, other: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(u64, String)> {
        text.split(['.', '-', '+', '_'])
            .map(|part| {
                let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
                (digits.parse().unwrap_or(0), part.to_string())
            })
            .collect()
    };
    parts(one).cmp(&parts(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(root: &Path, version: &str, modules: bool) {
        std::fs::create_dir_all(root.join("boot")).unwrap();
        std::fs::write(
            root.join("boot").join(format!("vmlinuz-{version}")),
            image::tests::bzimage(version, b""),
        )
        .unwrap();
        if modules {
            std::fs::create_dir_all(root.join("lib/modules").join(version).join("kernel")).unwrap();
        }
    }

    #[test]
    fn the_newest_that_has_modules() {
        let root = tempfile::tempdir().unwrap();
        add(root.path(), "6.9.1-amd64", true);
        add(root.path(), "6.10.0-amd64", true);
        add(root.path(), "6.11.0-amd64", false);
        let mut unusable = Vec::new();
        assert_eq!(newest(root.path(), &mut unusable).unwrap().version, "6.10.0-amd64");
        assert!(unusable.len() == 1 && unusable[0].contains("6.11.0-amd64"), "{unusable:?}");
    }

    #[test]
    fn a_file_that_is_no_kernel_is_told() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("boot")).unwrap();
        std::fs::write(root.path().join("boot/vmlinuz-1"), b"MZ").unwrap();
        let mut unusable = Vec::new();
        assert_eq!(newest(root.path(), &mut unusable), None);
        assert!(unusable[0].contains("vmlinuz-1"), "{unusable:?}");
    }

    #[test]
    fn versions_are_numbers() {
        assert_eq!(compare("6.10.0-1-amd64", "6.9.0-9-amd64"), Ordering::Greater);
        assert_eq!(compare("6.1.0-9", "6.1.0-13"), Ordering::Less);
    }
}
