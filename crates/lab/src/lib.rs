//! Makes real guests for tests: Debian's own packages, installed without a virtual machine and packed as a hypervisor
//! would export them. What was made is kept in the user's cache, so that a guest costs its minutes once.
//!
//! ```no_run
//! let files = lab::guest(&lab::DEBIAN12_BIOS)?;
//! println!("{}", files.ova.display());
//! # Ok::<(), lab::LabError>(())
//! ```
//!
//! Needs no loop device, and no root where the kernel lets users have namespaces. Nothing random is left in a guest:
//! UUIDs, times and identifiers come from the recipe, and the same packages give the same tree of files byte for byte,
//! whoever makes it. Their disks still differ in the inodes' change times, and may in the inodes' order: `mke2fs` takes
//! both from the machine.

mod cache;
mod disk;
mod error;
mod ovf;
mod recipe;
mod tool;
mod tree;
mod vmdk;
mod vmx;

pub use cache::directory as cache_directory;
pub use error::{LabError, Result};
pub use recipe::{Boot, DEBIAN12_BIOS, DEBIAN12_EFI, MIB, RECIPES, Recipe};

use error::Context as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A guest's files. They stand in the cache, are shared by every test and are read-only: copy before changing one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestFiles {
    /// The disk, raw and sparse.
    pub raw: PathBuf,
    /// The guest as an OVA: streamOptimized VMDK, SHA-256 manifest.
    pub ova: PathBuf,
    /// The guest as a VMX, beside its monolithicSparse VMDK.
    pub vmx: PathBuf,
    /// The monolithicSparse VMDK.
    pub vmdk: PathBuf,
}

impl GuestFiles {
    fn below(directory: &Path, recipe: &Recipe) -> Self {
        let name = recipe.machine;
        Self {
            raw: directory.join(format!("{name}.raw")),
            ova: directory.join(format!("{name}.ova")),
            vmx: directory.join(format!("vmx/{name}.vmx")),
            vmdk: directory.join(format!("vmx/{name}.vmdk")),
        }
    }

    /// The files, in the order in which they are declared.
    pub fn all(&self) -> [&Path; 4] {
        [&self.raw, &self.ova, &self.vmx, &self.vmdk]
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
    let files = GuestFiles::below(&directory, recipe);
    let _lock = cache::lock(recipe)?;
    if directory.exists() {
        return Ok(files);
    }
    let partial = tempfile::Builder::new()
        .prefix("partial-")
        .tempdir_in(&cache)
        .context("create a directory in", &cache)?;
    let tar = tree::tree(recipe, &cache)?;
    make(recipe, &tar, partial.path())?;
    fs::rename(partial.path(), &directory).context("rename", partial.path())?;
    Ok(files)
}

fn make(recipe: &Recipe, tar: &Path, directory: &Path) -> Result<()> {
    let files = GuestFiles::below(directory, recipe);
    let scratch = tempfile::tempdir_in(directory).context("create a directory in", directory)?;
    disk::assemble(recipe, tar, scratch.path(), &files.raw)?;

    tool::say(format_args!("packing {} as OVA and VMX", recipe.name));
    let start = Instant::now();
    let stream = scratch.path().join("stream.vmdk");
    vmdk::convert(&files.raw, "streamOptimized", &stream)?;
    let populated = fs::metadata(&files.raw).context("read", &files.raw)?.blocks() * 512;
    ovf::package(recipe, &stream, populated, &files.ova)?;

    let beside = directory.join("vmx");
    fs::create_dir(&beside).context("create", &beside)?;
    vmdk::convert(&files.raw, "monolithicSparse", &files.vmdk)?;
    let configuration = vmx::configuration(recipe, &format!("{}.vmdk", recipe.machine));
    fs::write(&files.vmx, configuration).context("write", &files.vmx)?;
    for path in files.all() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).context("protect", path)?;
    }
    tool::say(format_args!("packed {} in {} s", recipe.name, start.elapsed().as_secs()));
    Ok(())
}

/// Puts the guest's files into `output`, which is made when it is not there: as hard links, or as sparse copies where
/// the cache is on another filesystem. Files of the same names are replaced.
///
/// # Errors
/// As [`guest`], and when `output` cannot be written.
pub fn deliver(recipe: &Recipe, output: &Path) -> Result<GuestFiles> {
    let made = guest(recipe)?;
    let delivered = GuestFiles::below(output, recipe);
    for (from, to) in made.all().into_iter().zip(delivered.all()) {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).context("create", parent)?;
        }
        if to.exists() {
            fs::remove_file(to).context("remove", to)?;
        }
        if fs::hard_link(from, to).is_err() {
            tool::run(tool::command("cp").args(["--sparse=always", "--reflink=auto"]).args([from, to]))?;
        }
    }
    Ok(delivered)
}
