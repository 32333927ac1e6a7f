//! Makes real guests for tests and certification: Debian's own packages, installed without a virtual machine where the
//! disk allows it, and packed as the hypervisor that the guest comes from would keep them. What was made is kept in the user's cache, so that a guest costs its minutes once.
//!
//! ```no_run
//! let files = lab::guest(&lab::DEBIAN12_BIOS)?;
//! println!("{}", files.source().display());
//! # Ok::<(), lab::LabError>(())
//! ```
//!
//! Needs no loop device, and no root where the kernel lets users have namespaces. Nothing random is left in a guest:
//! UUIDs, times and identifiers come from the recipe, and the same packages give the same tree of files byte for byte,
//! whoever makes it. Their disks still differ in the inodes' change times, and may in the inodes' order: `mke2fs` takes
//! both from the machine.

mod axes;
mod cache;
mod disk;
mod error;
mod identity;
mod package;
mod recipe;
mod script;
mod tool;
mod tree;

pub use axes::{Firmware, Initramfs, Layout, Network, Origin, Suite};
pub use cache::directory as cache_directory;
pub use error::{LabError, Result};
pub use package::Package;
pub use recipe::{DEBIAN12_BIOS, DEBIAN12_EFI, MIB, RECIPES, Recipe};

use error::Context as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A guest's files. They stand in the cache, are shared by every test and are read-only: copy before changing one.
#[derive(Clone, Debug)]
pub struct GuestFiles {
    directory: PathBuf,
    recipe: Recipe,
}

impl GuestFiles {
    /// What a migration starts from: the description or the archive of the recipe's first package.
    pub fn source(&self) -> PathBuf {
        self.path(self.recipe.packages.first().copied().unwrap_or(Package::Raw))
    }

    /// What a reader of this package is given; it is there when the recipe has the package.
    pub fn path(&self, package: Package) -> PathBuf {
        self.directory.join(package.description(&self.recipe))
    }

    /// The disk of this package, where it is a file of its own.
    pub fn disk(&self, package: Package) -> Option<PathBuf> {
        package.disk(&self.recipe).map(|disk| self.directory.join(disk))
    }

    /// Every file, in the order of the packages.
    pub fn all(&self) -> Vec<PathBuf> {
        let files = self.recipe.packages.iter().flat_map(|package| package.files(&self.recipe));
        files.map(|file| self.directory.join(file)).collect()
    }
}

/// The guest of this recipe, made when the cache does not have it. Processes that ask at the same time wait for the
/// one that makes it. Says on standard error what it does when that takes time.
///
/// # Errors
/// When a program is missing or fails, or when there is no space.
pub fn guest(recipe: &Recipe) -> Result<GuestFiles> {
    let cache = cache::directory()?;
    let directory = cache.join(format!("{}-{}", recipe.name, recipe.guest_key()));
    let _lock = cache::lock(recipe.name)?;
    if !directory.exists() {
        let partial = tempfile::Builder::new()
            .prefix("partial-")
            .tempdir_in(&cache)
            .context("create a directory in", &cache)?;
        make(recipe, &cache, partial.path())?;
        fs::rename(partial.path(), &directory).context("rename", partial.path())?;
    }
    Ok(GuestFiles { directory, recipe: recipe.clone() })
}

fn make(recipe: &Recipe, cache: &Path, directory: &Path) -> Result<()> {
    let files = GuestFiles { directory: directory.to_path_buf(), recipe: recipe.clone() };
    let scratch = tempfile::tempdir_in(directory).context("create a directory in", directory)?;
    let raw = scratch.path().join("disk.raw");
    let tar = tree::tree(recipe, cache)?;
    disk::assemble(recipe, &tar, scratch.path(), &raw)?;
    package::pack(recipe, &raw, scratch.path(), directory)?;
    for path in files.all() {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).context("protect", &path)?;
    }
    fs::remove_file(&tar).context("remove", &tar)
}

/// Puts the guest's files into `output`, which is made when it is not there: as hard links, or as sparse copies where
/// the cache is on another filesystem. Files of the same names are replaced.
///
/// # Errors
/// As [`guest`], and when `output` cannot be written.
pub fn deliver(recipe: &Recipe, output: &Path) -> Result<GuestFiles> {
    let made = guest(recipe)?;
    let delivered = GuestFiles { directory: output.to_path_buf(), recipe: recipe.clone() };
    for (from, to) in made.all().into_iter().zip(delivered.all()) {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).context("create", parent)?;
        }
        if to.exists() {
            fs::remove_file(&to).context("remove", &to)?;
        }
        if fs::hard_link(&from, &to).is_err() {
            tool::run(tool::command("cp").args(["--sparse=always", "--reflink=auto"]).args([&from, &to]))?;
        }
    }
    Ok(delivered)
}
