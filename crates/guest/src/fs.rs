//! A guest's files: [`GuestFs`] and [`Mounter`].

pub mod conformance;
pub mod memory;
pub mod native;
pub mod recording;

use crate::volume::VolumeId;
use serde::{Deserialize, Serialize};

/// A guest's directory tree, with all that is mounted in it.
///
/// Paths are absolute, of `/`-separated UTF-8, and are the guest's: implementations resolve every symbolic link
/// inside the tree, as if it were the root of the system, and never leave it. Everything read is hostile.
pub trait GuestFs {
    /// The names in a directory, without `.` and `..`, in no particular order.
    fn list(&mut self, path: &str) -> Result<Vec<Entry>>;

    /// What stands at `path`. The last component is not followed when it is a symbolic link.
    fn metadata(&mut self, path: &str) -> Result<Metadata>;

    /// Where the symbolic link at `path` points, as it is written.
    fn read_link(&mut self, path: &str) -> Result<String>;

    /// The contents of the file at `path`, following links. More than `limit` bytes are [`ErrorKind::TooLarge`].
    fn read(&mut self, path: &str, limit: u64) -> Result<Vec<u8>>;

    /// Creates or replaces the file at `path`, following links. A file that exists keeps its owner, mode and extended attributes;
    /// a new one belongs to root and has `mode`, and the extended attributes (the SELinux label among them) are
    /// left to the caller. The new contents appear all at once.
    fn write(&mut self, path: &str, contents: &[u8], mode: u32) -> Result<()>;

    /// Creates a directory, and those above it that are missing, for root with mode 0755. One that exists is fine.
    fn create_dir(&mut self, path: &str) -> Result<()>;

    /// Creates a symbolic link at `path`; one that exists is replaced, anything else there is an error.
    fn symlink(&mut self, target: &str, path: &str) -> Result<()>;

    /// Renames a file, a link or a directory within one filesystem, replacing a file.
    fn rename(&mut self, from: &str, to: &str) -> Result<()>;

    /// Removes a file or a link, or an empty directory.
    fn remove(&mut self, path: &str) -> Result<()>;

    /// Sets owner and permission bits.
    fn set_owner(&mut self, path: &str, uid: u32, gid: u32, mode: u32) -> Result<()>;

    /// An extended attribute of `path` (not following a final link), `None` when it has none of that name.
    fn xattr(&mut self, path: &str, name: &str) -> Result<Option<Vec<u8>>>;

    /// Sets an extended attribute of `path` (not following a final link).
    fn set_xattr(&mut self, path: &str, name: &str, value: &[u8]) -> Result<()>;

    /// Whether anything stands at `path`.
    fn exists(&mut self, path: &str) -> Result<bool> {
        match self.metadata(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Puts a guest's volumes together into one tree.
pub trait Mounter: GuestFs {
    /// Mounts a volume on a directory of the tree; the first is mounted on `/`. Missing mount points are created
    /// only where the tree is writable. A dirty journal is replayed (into the overlay below).
    ///
    /// `subvolume` names a btrfs subvolume by path.
    fn mount(&mut self, volume: VolumeId, at: &str, mode: MountMode, subvolume: Option<&str>) -> Result<()>;

    /// Unmounts everything, innermost first.
    fn unmount_all(&mut self) -> Result<()>;

    /// Discards the free space of the filesystem mounted at `at`; answers with the bytes discarded.
    fn trim(&mut self, at: &str) -> Result<u64>;

    /// How many bytes are free in the filesystem that holds `at`; `None` when that is not known.
    fn free_space(&mut self, at: &str) -> Result<Option<u64>> {
        let _ = at;
        Ok(None)
    }

    /// The tree as plain files.
    fn tree(&mut self) -> &mut dyn GuestFs;
}

/// Whether a mount may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountMode {
    /// Only read.
    ReadOnly,
    /// Read and written.
    ReadWrite,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name, without a `/`. Names that are not UTF-8 are left out of listings.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Its kind.
    pub kind: FileKind,
    /// Its length in bytes.
    pub size: u64,
    /// The permission bits, the lowest twelve.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe.
    Special,
}

/// The result of an operation on a guest's files.
pub type Result<T> = std::result::Result<T, FsError>;

/// Why an operation on a guest's files failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("cannot {operation} {path} in the guest: {detail}")]
pub struct FsError {
    /// What was tried, as a verb.
    pub operation: String,
    /// On which path of the guest.
    pub path: String,
    /// The kind of failure.
    pub kind: ErrorKind,
    /// What was said about it.
    pub detail: String,
}

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// Nothing stands there.
    NotFound,
    /// What stands there is of the wrong kind.
    WrongKind,
    /// It is larger than the limit.
    TooLarge,
    /// The filesystem is full.
    NoSpace,
    /// The tree, or this mount, may only be read.
    ReadOnly,
    /// This tree has no such operation (a directory in memory cannot be trimmed).
    Unsupported,
    /// The filesystem is damaged, or something else went wrong.
    Other,
}

impl FsError {
    /// An error of `kind`.
    pub fn new(operation: &str, path: &str, kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { operation: operation.into(), path: path.into(), kind, detail: detail.into() }
    }
}
