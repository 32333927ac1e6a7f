//! Files that nobody takes for finished before they are: [`PartialImage`].

use super::layout::{Files, Place};
use crate::error::{Error, Result};
use rustix::fs::{FallocateFlags, FlockOperation, RenameFlags, fallocate, flock, fstatvfs, renameat_with};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// How many names are tried before giving up.
const ATTEMPTS: usize = 32;
/// How many pieces one call writes: `IOV_MAX` of Linux.
const PIECES: usize = 1024;

/// The files of a new image, under temporary names.
pub(super) struct PartialImage {
    /// The image itself first.
    files: Vec<PartialFile>,
}

impl PartialImage {
    /// Makes new, empty files called `names` beside `target`, which is the first of them.
    pub(super) fn create(target: &Path, names: &[String], overwrite: bool) -> Result<Self> {
        let path = |name: &String| target.with_file_name(name);
        let files = names.iter().map(|name| PartialFile::create(&path(name), overwrite));
        Ok(Self { files: files.collect::<Result<_>>()? })
    }

    /// The file in which most of the data is: the last.
    fn last(&self) -> Option<&PartialFile> {
        self.files.last()
    }

    /// Fails when the filesystem has less than `needed` bytes left; answers with `needed`.
    pub(super) fn check_space(&self, needed: u64) -> Result<u64> {
        self.last().map_or(Ok(needed), |file| file.check_space(needed))
    }

    /// The error that writing failed, when up to `needed` bytes are wanted.
    pub(super) fn write_error(&self, source: io::Error, needed: u64) -> Error {
        match self.last() {
            Some(file) => file.write_error(source, needed),
            None => Error::Host { operation: "write", path: PathBuf::new(), source },
        }
    }

    /// How many bytes the files take on their filesystem.
    pub(super) fn allocated(&self) -> Result<u64> {
        let of = |file: &PartialFile| file.file.metadata().map_err(|error| file.error("examine", error));
        self.files.iter().map(|file| Ok(of(file)?.blocks() * 512)).sum()
    }

    /// Asks the system to put on the disk what was written so far.
    pub(super) fn sync_data(&self) -> io::Result<()> {
        self.files.iter().try_for_each(|file| file.file.sync_data())
    }

    /// The directory that the files are in.
    pub(super) fn directory(&self) -> io::Result<&File> {
        let missing = || io::Error::other("the layout has no file");
        self.last().map(|file| &file.directory).ok_or_else(missing)
    }

    /// Writes `pieces` one behind the other at `place`.
    pub(super) fn write_vectored(&self, pieces: &mut [IoSlice], place: Place) -> io::Result<()> {
        let file = self.file(place.file)?;
        let mut offset = place.offset;
        let mut left = pieces;
        while !left.is_empty() {
            let some = left.get(..PIECES).unwrap_or(left);
            match rustix::io::pwritev(file, some, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Gives the files their names, the image's own last; makes them durable before, if so told.
    pub(super) fn finish(self, sync: bool) -> Result<()> {
        self.files.into_iter().rev().try_for_each(|file| file.finish(sync))
    }

    /// One of the files.
    pub(super) fn file(&self, index: usize) -> io::Result<&File> {
        let missing = || io::Error::other("the layout has no such file");
        self.files.get(index).map(|file| &file.file).ok_or_else(missing)
    }
}

impl Files for PartialImage {
    fn write(&self, data: &[u8], place: Place) -> io::Result<()> {
        self.file(place.file)?.write_all_at(data, place.offset)
    }

    fn set_len(&self, file: usize, length: u64) -> io::Result<()> {
        self.file(file)?.set_len(length)
    }

    fn allocate(&self, file: usize, range: Range<u64>) -> io::Result<()> {
        let length = range.end - range.start;
        Ok(fallocate(self.file(file)?, FallocateFlags::empty(), range.start, length)?)
    }
}

/// A file under a temporary name beside its target, locked for as long as it is open, and removed when dropped
/// unfinished.
struct PartialFile {
    file: File,
    path: PathBuf,
    target: PathBuf,
    directory: File,
    overwrite: bool,
    finished: bool,
}

impl PartialFile {
    /// Makes a new, empty file beside `target`, and removes those that nobody writes any more.
    fn create(target: &Path, overwrite: bool) -> Result<Self> {
        let failed = |operation, path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Host { operation, path, source }
        };
        let name = target.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
            failed("name", target)(io::Error::new(io::ErrorKind::InvalidInput, "the target has no file name"))
        })?;
        if !overwrite && target.symlink_metadata().is_ok() {
            return Err(Error::Exists { path: target.to_path_buf() });
        }
        let parent =
            target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let directory = File::open(parent).map_err(failed("open", parent))?;
        let prefix = format!(".{name}.partial-");
        remove_stale(parent, &prefix).map_err(failed("list", parent))?;
        for _ in 0..ATTEMPTS {
            let path = parent.join(format!("{prefix}{:016x}", RandomState::new().build_hasher().finish()));
            let file = match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other.map_err(failed("create", &path))?,
            };
            // Between these two steps another copy may have taken the file for one left behind.
            let locked = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
            if locked && same_file(&file, &path) {
                let target = target.to_path_buf();
                return Ok(Self { file, path, target, directory, overwrite, finished: false });
            }
        }
        Err(failed("create", target)(io::ErrorKind::AlreadyExists.into()))
    }

    /// Fails when the filesystem has less than `needed` bytes left; answers with `needed`.
    fn check_space(&self, needed: u64) -> Result<u64> {
        match self.available() {
            Some(available) if available < needed => {
                Err(Error::NoSpace { path: self.target.clone(), needed, available })
            }
            _ => Ok(needed),
        }
    }

    fn available(&self) -> Option<u64> {
        let statistics = fstatvfs(&self.file).ok()?;
        Some(statistics.f_bavail.saturating_mul(statistics.f_frsize))
    }

    /// The error that something about the file failed.
    fn error(&self, operation: &'static str, source: io::Error) -> Error {
        Error::Host { operation, path: self.target.clone(), source }
    }

    /// The error that writing failed, when up to `needed` bytes are wanted.
    fn write_error(&self, source: io::Error, needed: u64) -> Error {
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT) => {
                let available = self.available().unwrap_or(0);
                Error::NoSpace { path: self.target.clone(), needed, available }
            }
            _ => self.error("write", source),
        }
    }

    /// Gives the file its name; makes it durable before, if so told.
    fn finish(mut self, sync: bool) -> Result<()> {
        if sync {
            self.file.sync_all().map_err(|error| self.write_error(error, 0))?;
        }
        if self.overwrite {
            std::fs::rename(&self.path, &self.target).map_err(|error| self.error("rename", error))?;
        } else {
            self.rename_to_new_name()?;
        }
        self.finished = true;
        if !sync {
            return Ok(());
        }
        self.directory.sync_all().map_err(|error| self.error("make durable the directory of", error))
    }

    fn rename_to_new_name(&self) -> Result<()> {
        let here = rustix::fs::CWD;
        let renamed = renameat_with(here, &self.path, here, &self.target, RenameFlags::NOREPLACE);
        let linked = match renamed {
            // Filesystems that cannot rename so (NFS, some FUSE) can link, which does not replace either.
            Err(Errno::INVAL | Errno::NOSYS) => {
                std::fs::hard_link(&self.path, &self.target).and_then(|()| std::fs::remove_file(&self.path))
            }
            other => other.map_err(io::Error::from),
        };
        linked.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists { path: self.target.clone() },
            _ => self.error("rename", error),
        })
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing more can be done when it fails: the next copy to this target tries again.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes the files in `directory` that start with `prefix` and that no process has locked.
fn remove_stale(directory: &Path, prefix: &str) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix));
        if !ours || !entry.file_type()?.is_file() {
            continue;
        }
        let unlocked = File::open(entry.path())
            .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok());
        if unlocked {
            // It may be gone by now, which is as good.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn same_file(file: &File, path: &Path) -> bool {
    let of = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(open), Ok(named)) => of(open) == of(named),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_copies_left_is_removed_and_what_others_write_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("disk.raw");
        let stale = directory.path().join(".disk.raw.partial-00000000deadbeef");
        let other = directory.path().join(".other.raw.partial-00000000deadbeef");
        std::fs::write(&stale, "left").unwrap();
        std::fs::write(&other, "another target's").unwrap();
        let first = PartialFile::create(&target, false).unwrap();
        assert!(!stale.exists() && other.exists());
        let second = PartialFile::create(&target, false).unwrap();
        assert!(first.path.exists() && second.path.exists());
        first.finish(true).unwrap();
        assert!(target.exists());
        let path = second.path.clone();
        assert!(matches!(second.finish(false), Err(Error::Exists { .. })));
        assert!(!path.exists());
        assert!(matches!(PartialFile::create(&target, false), Err(Error::Exists { .. })));
        PartialFile::create(&target, true).unwrap().finish(true).unwrap();
    }

    #[test]
    fn dropped_unfinished_it_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        drop(PartialFile::create(&directory.path().join("disk.raw"), false).unwrap());
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }
}
