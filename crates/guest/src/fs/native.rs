//! ext2, ext3 and ext4 read without a kernel: for a look at a guest at once, with no appliance.
//!
//! The crate `ext4-view` reads the filesystems; mounts and symbolic links across them are resolved here. Nothing can be
//! written. A journal that has to be replayed is, in memory.

use super::{Entry, ErrorKind, FileKind, FsError, GuestFs, Metadata, MountMode, Mounter, Result};
use crate::volume::{Volume, VolumeId};
use block::BlockWrite;
use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

/// How many symbolic links one path may lead through, as in Linux.
const MAX_LINKS: u32 = 40;

/// What is read here, and what nobody mounts.
const READABLE: &[&str] = &["ext2", "ext3", "ext4", "swap", "swsuspend", "LVM2_member"];

/// Volumes, read natively, and the tree that they are mounted in.
pub struct NativeTree {
    devices: BTreeMap<VolumeId, Arc<dyn BlockWrite>>,
    /// Where (without a trailing `/`; the root is empty), and what.
    mounts: BTreeMap<String, Ext4>,
    /// How much room each had when it was mounted, in bytes.
    free: BTreeMap<String, u64>,
}

/// A volume for `ext4-view`.
struct Device(Arc<dyn BlockWrite>);

impl Ext4Read for Device {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> std::result::Result<(), Box<dyn Error + Send + Sync + 'static>> {
        self.0.read_at(dst, start_byte).map_err(Into::into)
    }
}

impl NativeTree {
    /// Whether nothing that could be mounted among `volumes` needs more than this.
    pub fn suffices_for(volumes: &[Volume]) -> bool {
        let mut contents = volumes.iter().filter_map(|volume| volume.content.as_ref());
        contents.all(|content| READABLE.contains(&content.kind.as_str()))
    }

    /// The volumes that can be mounted.
    pub fn new(volumes: &[Volume]) -> Self {
        let devices = volumes.iter().map(|volume| (volume.id, volume.device.clone())).collect();
        Self { devices, mounts: BTreeMap::new(), free: BTreeMap::new() }
    }

    /// The filesystem that holds a path without links, and the path in it.
    fn filesystem(&self, operation: &str, path: &str) -> Result<(&Ext4, String)> {
        let inside = |at: &str| path.strip_prefix(at).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let innermost = self.mounts.iter().filter_map(|(at, mounted)| Some((at, mounted, inside(at)?)));
        let (_, mounted, rest) =
            innermost.max_by_key(|(at, ..)| at.len()).ok_or_else(|| not_found(operation, path))?;
        Ok((mounted, if rest.is_empty() { "/".into() } else { rest.into() }))
    }

    /// The path without links, `.` and `..` that leads to the same file; a final link is followed when `follow` says so.
    fn resolve(&self, operation: &str, path: &str, follow: bool) -> Result<String> {
        let mut todo: Vec<String> = path.split('/').rev().map(Into::into).collect();
        let mut done = String::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    done.truncate(done.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let here = format!("{done}/{name}");
            let last = todo.iter().all(|name| name.is_empty());
            let (filesystem, inner) = self.filesystem(operation, &here)?;
            let kind = filesystem
                .symlink_metadata(inner.as_str())
                .map_err(|error| failed(operation, path, error))?;
            if !kind.is_symlink() || (last && !follow) {
                done = here;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(FsError::new(operation, path, ErrorKind::Other, "too many symbolic links"));
            }
            let target =
                filesystem.read_link(inner.as_str()).map_err(|error| failed(operation, path, error))?;
            let target = target.to_str().map_err(|_| not_text(operation, path))?;
            if target.starts_with('/') {
                done.clear();
            }
            todo.extend(target.split('/').rev().map(Into::into));
        }
        Ok(done)
    }

    fn find(&self, operation: &str, path: &str, follow: bool) -> Result<(&Ext4, String)> {
        let resolved = self.resolve(operation, path, follow)?;
        self.filesystem(operation, &resolved)
    }
}

/// What root's processes may not use either is not free, by the superblock (the kernel's documentation of ext4, "Super
/// Block"): the free blocks less the reserved ones, with their high halves where the filesystem has 64-bit numbers.
fn free_bytes(device: &dyn BlockWrite) -> block::Result<u64> {
    const SUPERBLOCK: u64 = 1024;
    const INCOMPAT_64BIT: u32 = 0x80;
    let field = |offset: u64| -> block::Result<u64> {
        let mut bytes = [0; 4];
        device.read_at(&mut bytes, SUPERBLOCK + offset)?;
        Ok(u64::from(u32::from_le_bytes(bytes)))
    };
    let wide = field(0x60)? & u64::from(INCOMPAT_64BIT) != 0;
    let count = |low: u64, high: u64| -> block::Result<u64> {
        Ok(field(low)? | if wide { field(high)? << 32 } else { 0 })
    };
    let (reserved, free) = (count(0x08, 0x154)?, count(0x0c, 0x158)?);
    let block_size = 1024_u64 << field(0x18)?.min(6);
    Ok(free.saturating_sub(reserved).saturating_mul(block_size))
}

fn not_found(operation: &str, path: &str) -> FsError {
    FsError::new(operation, path, ErrorKind::NotFound, "nothing is there")
}

fn not_text(operation: &str, path: &str) -> FsError {
    FsError::new(operation, path, ErrorKind::Other, "a link's target is not UTF-8")
}

fn failed(operation: &str, path: &str, error: Ext4Error) -> FsError {
    let kind = match &error {
        Ext4Error::NotFound => ErrorKind::NotFound,
        Ext4Error::NotADirectory | Ext4Error::IsADirectory | Ext4Error::NotASymlink => ErrorKind::WrongKind,
        Ext4Error::IsASpecialFile => ErrorKind::WrongKind,
        Ext4Error::FileTooLarge => ErrorKind::TooLarge,
        _ => ErrorKind::Other,
    };
    FsError::new(operation, path, kind, error.to_string())
}

fn read_only<T>(operation: &str, path: &str) -> Result<T> {
    Err(FsError::new(operation, path, ErrorKind::ReadOnly, "it is only read"))
}

fn kind_of(kind: FileType) -> FileKind {
    match kind {
        kind if kind.is_regular_file() => FileKind::File,
        kind if kind.is_dir() => FileKind::Directory,
        kind if kind.is_symlink() => FileKind::Symlink,
        _ => FileKind::Special,
    }
}

impl GuestFs for NativeTree {
    fn list(&mut self, path: &str) -> Result<Vec<Entry>> {
        let fail = |error| failed("list", path, error);
        let (filesystem, inner) = self.find("list", path, true)?;
        let mut entries = Vec::new();
        for entry in filesystem.read_dir(inner.as_str()).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let Ok(name) = entry.file_name().as_str().map(str::to_string) else { continue };
            if name != "." && name != ".." {
                entries.push(Entry { kind: kind_of(entry.file_type().map_err(fail)?), name });
            }
        }
        Ok(entries)
    }

    fn metadata(&mut self, path: &str) -> Result<Metadata> {
        let (filesystem, inner) = self.find("look at", path, false)?;
        let found =
            filesystem.symlink_metadata(inner.as_str()).map_err(|error| failed("look at", path, error))?;
        Ok(Metadata {
            kind: kind_of(found.file_type()),
            size: found.len(),
            mode: u32::from(found.mode()) & 0o7777,
            uid: found.uid(),
            gid: found.gid(),
        })
    }

    fn read_link(&mut self, path: &str) -> Result<String> {
        let (filesystem, inner) = self.find("read the link", path, false)?;
        let target =
            filesystem.read_link(inner.as_str()).map_err(|error| failed("read the link", path, error))?;
        target.to_str().map(Into::into).map_err(|_| not_text("read the link", path))
    }

    fn read(&mut self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let fail = |error| failed("read", path, error);
        let (filesystem, inner) = self.find("read", path, true)?;
        let metadata = filesystem.metadata(inner.as_str()).map_err(fail)?;
        if metadata.file_type().is_regular_file() && metadata.len() > limit {
            let detail = format!("it has {} bytes, more than {limit}", metadata.len());
            return Err(FsError::new("read", path, ErrorKind::TooLarge, detail));
        }
        filesystem.read(inner.as_str()).map_err(fail)
    }

    fn write(&mut self, path: &str, _: &[u8], _: u32) -> Result<()> {
        read_only("write", path)
    }

    fn create_dir(&mut self, path: &str) -> Result<()> {
        read_only("create the directory", path)
    }

    fn symlink(&mut self, _: &str, path: &str) -> Result<()> {
        read_only("link", path)
    }

    fn rename(&mut self, from: &str, _: &str) -> Result<()> {
        read_only("rename", from)
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        read_only("remove", path)
    }

    fn set_owner(&mut self, path: &str, _: u32, _: u32, _: u32) -> Result<()> {
        read_only("set the owner of", path)
    }

    fn xattr(&mut self, path: &str, _: &str) -> Result<Option<Vec<u8>>> {
        Err(FsError::new(
            "read an attribute of",
            path,
            ErrorKind::Unsupported,
            "attributes are not read natively",
        ))
    }

    fn set_xattr(&mut self, path: &str, _: &str, _: &[u8]) -> Result<()> {
        read_only("set an attribute of", path)
    }
}

impl Mounter for NativeTree {
    fn mount(&mut self, volume: VolumeId, at: &str, mode: MountMode, subvolume: Option<&str>) -> Result<()> {
        if mode == MountMode::ReadWrite {
            return read_only("mount for writing", at);
        }
        if subvolume.is_some() {
            return Err(FsError::new("mount", at, ErrorKind::Unsupported, "it has no subvolumes"));
        }
        let device = self.devices.get(&volume).ok_or_else(|| not_found("mount", at))?.clone();
        let free = free_bytes(device.as_ref())
            .map_err(|error| FsError::new("mount", at, ErrorKind::Other, error.to_string()))?;
        let filesystem = Ext4::load(Box::new(Device(device))).map_err(|error| failed("mount", at, error))?;
        let at = if self.mounts.is_empty() { String::new() } else { self.resolve("mount", at, true)? };
        self.free.insert(at.clone(), free);
        self.mounts.insert(at, filesystem);
        Ok(())
    }

    fn unmount_all(&mut self) -> Result<()> {
        self.free.clear();
        self.mounts.clear();
        Ok(())
    }

    fn trim(&mut self, at: &str) -> Result<u64> {
        read_only("trim", at)
    }

    fn free_space(&mut self, at: &str) -> Result<Option<u64>> {
        Ok(self.free.get(at.trim_end_matches('/')).copied())
    }

    fn tree(&mut self) -> &mut dyn GuestFs {
        self
    }
}
