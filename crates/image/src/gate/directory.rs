//! The gate to the regular files below one directory: [`DirectoryGate`].

use super::name::{normalised, protocol, windows_base_name};
use super::{Gate, GateError, GateReason};
use crate::parallels;
use block::{BlockRead, FileDisk};
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How often an open that raced with a rename is tried again.
const RETRIES: usize = 16;

/// The most names of a directory that are looked at.
const MAX_NAMES: usize = 4096;

/// Opens regular files below one directory, read-only.
///
/// `..` is followed as long as it stays below, symbolic links are too; anything that leaves the directory, and
/// anything that is not a regular file, is refused. The kernel does the walk (`openat2` with `RESOLVE_BENEATH`),
/// so nobody can swap a component meanwhile; where the kernel lacks that call, no symbolic link is followed.
///
/// One block device can be read: the one that the user named ([`for_file`](Self::for_file)). No image can name another.
#[derive(Debug)]
pub struct DirectoryGate {
    directory: OwnedFd,
    /// As the user named it, for messages.
    path: PathBuf,
    /// Where it really is, to recognise absolute names that lie below.
    canonical: PathBuf,
    /// The name of the block device that the user named.
    device: Option<String>,
}

impl DirectoryGate {
    /// The gate to the files below `directory`.
    ///
    /// # Errors
    /// [`GateError`] when it is no directory or cannot be opened.
    pub fn new(directory: impl AsRef<Path>) -> Result<Self, GateError> {
        let given = directory.as_ref();
        let path = if given.as_os_str().is_empty() { PathBuf::from(".") } else { given.to_path_buf() };
        let refuse = |reason| GateError::new(&path.to_string_lossy(), reason);
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd =
            fs::open(&path, flags, Mode::empty()).map_err(|errno| refuse(GateReason::Host(errno.into())))?;
        let canonical = path.canonicalize().map_err(|source| refuse(GateReason::Host(source)))?;
        Ok(Self { directory: fd, path, canonical, device: None })
    }

    /// The gate to the directory of the file at `path`, and the file's name in it.
    ///
    /// The user named this path, so it may lead anywhere: a symbolic link at its end is followed first, since
    /// the files that belong to an image stand beside the image and not beside the link. Of a directory that is a
    /// Parallels disk, the file is the disk's descriptor in it. A block device is opened too, and then is the only one
    /// that the gate opens.
    ///
    /// # Errors
    /// [`GateError`] when the path does not exist or its name is not UTF-8.
    pub fn for_file(path: impl AsRef<Path>) -> Result<(Self, String), GateError> {
        let path = path.as_ref();
        let refuse = |reason| GateError::new(&path.to_string_lossy(), reason);
        let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_symlink());
        let real = if is_link {
            path.canonicalize().map_err(|source| refuse(GateReason::Host(source)))?
        } else {
            path.to_path_buf()
        };
        if real.join(parallels::DESCRIPTOR).is_file() {
            return Ok((Self::new(real)?, parallels::DESCRIPTOR.to_owned()));
        }
        let name =
            real.file_name().and_then(|name| name.to_str()).ok_or_else(|| refuse(GateReason::NotAName))?;
        let mut gate = Self::new(real.parent().unwrap_or(Path::new(".")))?;
        let is_device = real.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device());
        gate.device = is_device.then(|| name.to_owned());
        Ok((gate, name.to_owned()))
    }

    /// The name from the root, by syntax alone.
    fn relative(&self, name: &str) -> Result<String, GateReason> {
        if name.is_empty() || name.len() > 4096 || name.contains('\0') {
            return Err(GateReason::NotAName);
        }
        if let Some(protocol) = protocol(name) {
            return Err(GateReason::Protocol { protocol: protocol.to_owned() });
        }
        let outside = || GateReason::Outside { root: self.path.clone() };
        let name = windows_base_name(name).unwrap_or(name);
        let normal = normalised(name).ok_or_else(outside)?;
        if !normal.starts_with('/') {
            return if normal.is_empty() { Err(GateReason::NotAName) } else { Ok(normal) };
        }
        [self.canonical.as_path(), self.path.as_path()]
            .into_iter()
            .filter_map(|root| Path::new(&normal).strip_prefix(root).ok()?.to_str())
            .find(|inside| !inside.is_empty())
            .map(str::to_owned)
            .ok_or_else(|| GateReason::Absolute { root: self.path.clone() })
    }

    fn open_file(&self, name: &str) -> Result<(File, PathBuf), GateReason> {
        let relative = self.relative(name)?;
        // Looking first without opening: opening a device can already do something.
        let place = self.resolve(&relative, OFlags::PATH)?;
        let named = self.device.as_ref() == Some(&relative);
        let seen = examine(&place, named)?;
        let file = self.resolve(&relative, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let opened = examine(&file, named)?;
        if (seen.st_dev, seen.st_ino) != (opened.st_dev, opened.st_ino) {
            return Err(GateReason::Host(Errno::AGAIN.into()));
        }
        Ok((File::from(file), self.path.join(relative)))
    }

    /// What [`Gate::names`] answers, `None` when `directory` is none.
    fn list(&self, directory: &str) -> Option<Vec<String>> {
        let relative = if directory.is_empty() { String::new() } else { self.relative(directory).ok()? };
        let place = if relative.is_empty() { "." } else { &relative };
        let directory = self.resolve(place, OFlags::DIRECTORY | OFlags::RDONLY).ok()?;
        let entries = Dir::read_from(&directory).ok()?.map_while(Result::ok).take(MAX_NAMES);
        let names = entries.filter(|entry| !matches!(entry.file_type(), FileType::Directory));
        let names = names.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
        let prefix = if relative.is_empty() { relative } else { relative + "/" };
        let mut names: Vec<String> = names.map(|name| format!("{prefix}{name}")).collect();
        names.sort_unstable();
        Some(names)
    }

    fn resolve(&self, relative: &str, flags: OFlags) -> Result<OwnedFd, GateReason> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..RETRIES {
            match fs::openat2(&self.directory, relative, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOSYS | Errno::PERM) => return self.walk(relative, flags),
                other => return other.map_err(|errno| self.reason(errno)),
            }
        }
        Err(GateReason::Host(Errno::AGAIN.into()))
    }

    /// The same without `openat2`: component by component, following no symbolic link.
    fn walk(&self, relative: &str, flags: OFlags) -> Result<OwnedFd, GateReason> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let (directories, last) = relative.rsplit_once('/').unwrap_or(("", relative));
        let mut below: Option<OwnedFd> = None;
        for component in directories.split('/').filter(|component| !component.is_empty()) {
            let at = below.as_ref().map_or(self.directory.as_fd(), AsFd::as_fd);
            let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            below = Some(fs::openat(at, component, step, Mode::empty()).map_err(|errno| self.reason(errno))?);
        }
        let at = below.as_ref().map_or(self.directory.as_fd(), AsFd::as_fd);
        let is_link = fs::statat(at, last, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
        if is_link {
            return Err(GateReason::Outside { root: self.path.clone() });
        }
        fs::openat(at, last, flags, Mode::empty()).map_err(|errno| self.reason(errno))
    }

    fn reason(&self, errno: Errno) -> GateReason {
        match errno {
            Errno::NOENT => GateReason::Missing { root: self.path.clone() },
            // BENEATH answers XDEV; a link met by the walk without openat2 is LOOP or NOTDIR.
            Errno::XDEV | Errno::LOOP => GateReason::Outside { root: self.path.clone() },
            Errno::NAMETOOLONG => GateReason::NotAName,
            // A socket cannot be opened at all.
            Errno::NXIO => GateReason::NotAFile { kind: "a socket or a device" },
            other => GateReason::Host(other.into()),
        }
    }
}

/// What `fd` is, if it may be read; `named` says whether it was the user who named it.
fn examine(fd: &OwnedFd, named: bool) -> Result<fs::Stat, GateReason> {
    let stat = fs::fstat(fd).map_err(|errno| GateReason::Host(errno.into()))?;
    match refused_kind(FileType::from_raw_mode(stat.st_mode), named) {
        None => Ok(stat),
        Some(kind) => Err(GateReason::NotAFile { kind }),
    }
}

/// What a file of this type is called when it is refused, `None` when it may be read.
fn refused_kind(file_type: FileType, named: bool) -> Option<&'static str> {
    match file_type {
        FileType::RegularFile => None,
        FileType::BlockDevice if named => None,
        FileType::Directory => Some("a directory"),
        FileType::Symlink => Some("a symbolic link"),
        FileType::Fifo => Some("a pipe"),
        FileType::Socket => Some("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("a device"),
        _ => Some("something else"),
    }
}

impl Gate for DirectoryGate {
    fn open(&self, name: &str) -> Result<Arc<dyn BlockRead>, GateError> {
        let (file, path) = self.open_file(name).map_err(|reason| GateError::new(name, reason))?;
        let disk = FileDisk::from_file(file, path)
            .map_err(|error| GateError::new(name, GateReason::Unreadable(error)))?;
        Ok(Arc::new(disk))
    }

    fn describe(&self, name: &str) -> PathBuf {
        match self.relative(name) {
            Ok(relative) => self.path.join(relative),
            Err(_) => PathBuf::from(name),
        }
    }

    fn names(&self, directory: &str) -> Vec<String> {
        self.list(directory).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_device_that_the_user_named_is_read() {
        assert_eq!(refused_kind(FileType::BlockDevice, true), None);
        assert_eq!(refused_kind(FileType::BlockDevice, false), Some("a device"));
        for named in [false, true] {
            assert_eq!(refused_kind(FileType::RegularFile, named), None);
            assert_eq!(refused_kind(FileType::CharacterDevice, named), Some("a device"));
            assert_eq!(refused_kind(FileType::Fifo, named), Some("a pipe"));
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.raw");
        std::fs::write(&path, [0; 512]).unwrap();
        assert_eq!(DirectoryGate::for_file(path).unwrap().0.device, None);
    }
}
