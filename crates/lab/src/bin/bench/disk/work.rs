//! The disk that is converted: an ext4 filesystem with about 2 GiB of this machine's `/usr`, in a raw image of 4 GiB.

use crate::say;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The disk's size in bytes.
const SIZE: u64 = 4 << 30;
/// How much of `/usr` is taken, in bytes.
const CONTENT: u64 = 2000 << 20;
/// Larger files are left out: the disk is to hold many.
const LARGEST: u64 = 256 << 20;

/// The disk, made unless it is there from an earlier run.
pub(super) fn disk(cache: &Path) -> Result<PathBuf> {
    let path = cache.join("bench-usr.raw");
    if path.is_file() {
        return Ok(path);
    }
    say("making the disk: about 2 GiB of /usr");
    let stage = tempfile::tempdir_in(cache).context("cannot create a directory for the disk's files")?;
    let mut left = CONTENT;
    copy_tree(Path::new("/usr"), &stage.path().join("usr"), &mut left)?;
    let partial = path.with_extension("partial");
    fs::File::create(&partial)
        .and_then(|file| file.set_len(SIZE))
        .with_context(|| format!("cannot create {}", partial.display()))?;
    let status = Command::new("/sbin/mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-d"])
        .args([stage.path(), &partial])
        .status()
        .context("cannot run mke2fs")?;
    ensure!(status.success(), "mke2fs ended with {status}");
    fs::rename(&partial, &path).with_context(|| format!("cannot rename {}", partial.display()))?;
    Ok(path)
}

/// Copies the regular files of a tree, in the order of their names, until enough is there. What cannot be read is left
/// out.
fn copy_tree(from: &Path, to: &Path, left: &mut u64) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if metadata.is_dir() {
            copy_tree(&from, &to, left)?;
        } else if metadata.is_file() && metadata.len() <= LARGEST && fs::copy(&from, &to).is_ok() {
            *left = left.saturating_sub(metadata.len());
        }
        if *left == 0 {
            break;
        }
    }
    Ok(())
}

/// Reads a file to its end, so that it is in the page cache.
pub(super) fn warm(path: &Path) -> Result<()> {
    let mut file = fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    std::io::copy(&mut file, &mut std::io::sink())
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(())
}
