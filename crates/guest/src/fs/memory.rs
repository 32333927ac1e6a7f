//! A guest's files in memory: for tests, and for trying a conversion without a guest.

mod filesystem;

use super::{Entry, ErrorKind, FsError, GuestFs, Metadata, MountMode, Mounter, Result};
use crate::volume::VolumeId;
use filesystem::{Filesystem, Inode, Node};
use std::collections::BTreeMap;

/// How many symbolic links one path may lead through, as in Linux.
const MAX_LINKS: u32 = 40;

/// Filesystems in memory, and the tree that they are mounted in.
///
/// It follows the kernel's rules: links are resolved from the tree's root, `..` of the root is the root, mounts
/// hide what is below them.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    volumes: BTreeMap<(VolumeId, Option<String>), usize>,
    filesystems: Vec<Filesystem>,
    mounts: Vec<Mount>,
}

#[derive(Clone, Debug)]
struct Mount {
    at: String,
    /// The directory that it covers; `None` for the root.
    covers: Option<Place>,
    filesystem: usize,
    mode: MountMode,
}

/// An inode of a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    filesystem: usize,
    inode: usize,
}

/// Where a path leads.
struct Resolved {
    /// The directory that holds, or would hold, the last name.
    parent: Place,
    /// The last name; empty for the root.
    name: String,
    /// What stands there.
    found: Option<Place>,
}

impl MemoryTree {
    /// No volumes, nothing mounted.
    pub fn new() -> Self {
        Self::default()
    }

    /// One empty volume, number 0, mounted on `/` for writing.
    pub fn single() -> Self {
        let mut tree = Self::new();
        tree.add_volume(VolumeId(0), None, None);
        tree.mounts.push(Mount { at: "/".into(), covers: None, filesystem: 0, mode: MountMode::ReadWrite });
        tree
    }

    /// Adds an empty filesystem: volume `id`, or a btrfs subvolume of it. With `capacity`, its files hold at most
    /// that many bytes.
    pub fn add_volume(&mut self, id: VolumeId, subvolume: Option<&str>, capacity: Option<u64>) {
        self.volumes.insert((id, subvolume.map(Into::into)), self.filesystems.len());
        self.filesystems.push(Filesystem::new(capacity));
    }

    /// Puts a file there, with the directories above it: a short way to build a tree.
    ///
    /// # Errors
    /// As [`GuestFs::write`].
    pub fn put(&mut self, path: &str, contents: impl AsRef<[u8]>) -> Result<()> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.create_dir(parent)?;
        }
        self.write(path, contents.as_ref(), 0o644)
    }

    fn inode(&self, place: Place, operation: &str, path: &str) -> Result<&Inode> {
        self.filesystems
            .get(place.filesystem)
            .and_then(|filesystem| filesystem.get(place.inode))
            .ok_or_else(|| not_found(operation, path))
    }

    fn filesystem_mut(&mut self, place: Place, operation: &str, path: &str) -> Result<&mut Filesystem> {
        let writable = self
            .mounts
            .iter()
            .any(|mount| mount.filesystem == place.filesystem && mount.mode == MountMode::ReadWrite);
        if !writable {
            return Err(FsError::new(operation, path, ErrorKind::ReadOnly, "it is mounted read-only"));
        }
        self.filesystems.get_mut(place.filesystem).ok_or_else(|| not_found(operation, path))
    }

    fn inode_mut(&mut self, place: Place, operation: &str, path: &str) -> Result<&mut Inode> {
        self.filesystem_mut(place, operation, path)?
            .get_mut(place.inode)
            .ok_or_else(|| not_found(operation, path))
    }

    /// The topmost mount on a directory.
    fn cross(&self, mut place: Place) -> Place {
        while let Some(mount) = self.mounts.iter().find(|mount| mount.covers == Some(place)) {
            place = Place { filesystem: mount.filesystem, inode: Filesystem::ROOT };
        }
        place
    }

    fn root(&self, operation: &str, path: &str) -> Result<Place> {
        let mount = self.mounts.iter().find(|mount| mount.covers.is_none());
        let mount = mount.ok_or_else(|| not_found(operation, path))?;
        Ok(Place { filesystem: mount.filesystem, inode: Filesystem::ROOT })
    }

    /// Walks `path`; a final symbolic link is followed when `follow` says so.
    fn resolve(&self, operation: &str, path: &str, follow: bool) -> Result<Resolved> {
        let root = self.root(operation, path)?;
        let mut todo: Vec<String> = path.split('/').rev().map(Into::into).collect();
        let mut above = vec![root];
        let mut links = 0;
        let here = |above: &[Place]| above.last().copied().unwrap_or(root);
        while let Some(name) = todo.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    if above.len() > 1 {
                        above.pop();
                    }
                    continue;
                }
                _ => {}
            }
            let last = todo.iter().all(|name| matches!(name.as_str(), "" | "."));
            let parent = here(&above);
            let Node::Directory(entries) = &self.inode(parent, operation, path)?.node else {
                return Err(wrong_kind(operation, path, "a directory is not one"));
            };
            let found = entries.get(&name).map(|&inode| self.cross(Place { inode, ..parent }));
            let link = match found.map(|place| self.inode(place, operation, path)).transpose()? {
                Some(Inode { node: Node::Symlink(target), .. }) if follow || !last => Some(target.clone()),
                _ => None,
            };
            if let Some(target) = link {
                links += 1;
                if links > MAX_LINKS {
                    return Err(FsError::new(operation, path, ErrorKind::Other, "too many symbolic links"));
                }
                if target.starts_with('/') {
                    above.truncate(1);
                }
                todo.extend(target.split('/').rev().map(Into::into));
                continue;
            }
            if last {
                return Ok(Resolved { parent, name, found });
            }
            above.push(found.ok_or_else(|| not_found(operation, path))?);
        }
        Ok(Resolved { parent: here(&above), name: String::new(), found: Some(here(&above)) })
    }

    /// What stands at `path`.
    fn find(&self, operation: &str, path: &str, follow: bool) -> Result<Place> {
        self.resolve(operation, path, follow)?.found.ok_or_else(|| not_found(operation, path))
    }

    /// Enters a new inode under a name that is free.
    fn enter(&mut self, operation: &str, path: &str, at: &Resolved, inode: Inode) -> Result<()> {
        let filesystem = self.filesystem_mut(at.parent, operation, path)?;
        let size = inode.size();
        if !filesystem.has_room(size) {
            return Err(no_space(operation, path));
        }
        let number = filesystem.add(inode);
        match filesystem.get_mut(at.parent.inode).map(|parent| &mut parent.node) {
            Some(Node::Directory(entries)) => {
                entries.insert(at.name.clone(), number);
                Ok(())
            }
            _ => Err(wrong_kind(operation, path, "its parent is not a directory")),
        }
    }

    /// Takes a name out of its directory.
    fn unlink(&mut self, operation: &str, path: &str, at: &Resolved) -> Result<()> {
        let parent = self.inode_mut(at.parent, operation, path)?;
        if let Node::Directory(entries) = &mut parent.node {
            entries.remove(&at.name);
        }
        Ok(())
    }
}

fn not_found(operation: &str, path: &str) -> FsError {
    FsError::new(operation, path, ErrorKind::NotFound, "nothing is there")
}

fn wrong_kind(operation: &str, path: &str, detail: &str) -> FsError {
    FsError::new(operation, path, ErrorKind::WrongKind, detail)
}

fn no_space(operation: &str, path: &str) -> FsError {
    FsError::new(operation, path, ErrorKind::NoSpace, "the filesystem is full")
}

impl GuestFs for MemoryTree {
    fn list(&mut self, path: &str) -> Result<Vec<Entry>> {
        let place = self.find("list", path, true)?;
        let Node::Directory(entries) = &self.inode(place, "list", path)?.node else {
            return Err(wrong_kind("list", path, "it is not a directory"));
        };
        entries
            .iter()
            .map(|(name, &inode)| {
                let inode = self.inode(self.cross(Place { inode, ..place }), "list", path)?;
                Ok(Entry { name: name.clone(), kind: inode.kind() })
            })
            .collect()
    }

    fn metadata(&mut self, path: &str) -> Result<Metadata> {
        let place = self.find("look at", path, false)?;
        let inode = self.inode(place, "look at", path)?;
        Ok(Metadata {
            kind: inode.kind(),
            size: inode.size(),
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
        })
    }

    fn read_link(&mut self, path: &str) -> Result<String> {
        let place = self.find("read the link", path, false)?;
        match &self.inode(place, "read the link", path)?.node {
            Node::Symlink(target) => Ok(target.clone()),
            _ => Err(wrong_kind("read the link", path, "it is not a symbolic link")),
        }
    }

    fn read(&mut self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let place = self.find("read", path, true)?;
        match &self.inode(place, "read", path)?.node {
            Node::File(contents) if contents.len() as u64 > limit => Err(FsError::new(
                "read",
                path,
                ErrorKind::TooLarge,
                format!("it has {} bytes, more than {limit}", contents.len()),
            )),
            Node::File(contents) => Ok(contents.clone()),
            _ => Err(wrong_kind("read", path, "it is not a file")),
        }
    }

    fn write(&mut self, path: &str, contents: &[u8], mode: u32) -> Result<()> {
        let at = self.resolve("write", path, true)?;
        let Some(place) = at.found else {
            return self.enter("write", path, &at, Inode::new(Node::File(contents.to_vec()), mode));
        };
        if !matches!(self.inode(place, "write", path)?.node, Node::File(_)) {
            return Err(wrong_kind("write", path, "it is not a file"));
        }
        // The old contents stand until the new ones do: both need room.
        let filesystem = self.filesystem_mut(place, "write", path)?;
        if !filesystem.has_room(contents.len() as u64) {
            return Err(no_space("write", path));
        }
        self.inode_mut(place, "write", path)?.node = Node::File(contents.to_vec());
        Ok(())
    }

    fn create_dir(&mut self, path: &str) -> Result<()> {
        let mut prefix = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            prefix.push('/');
            prefix.push_str(name);
            let at = self.resolve("create the directory", &prefix, true)?;
            match at.found.map(|place| self.inode(place, "create the directory", path)).transpose()? {
                None => {
                    let inode = Inode::new(Node::Directory(BTreeMap::new()), 0o755);
                    self.enter("create the directory", path, &at, inode)?;
                }
                Some(Inode { node: Node::Directory(_), .. }) => {}
                Some(_) => return Err(wrong_kind("create the directory", path, "something else is there")),
            }
        }
        Ok(())
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<()> {
        let at = self.resolve("link", path, false)?;
        if let Some(place) = at.found {
            if !matches!(self.inode(place, "link", path)?.node, Node::Symlink(_)) {
                return Err(wrong_kind("link", path, "something else is there"));
            }
            self.unlink("link", path, &at)?;
        }
        self.enter("link", path, &at, Inode::new(Node::Symlink(target.into()), 0o777))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let source = self.resolve("rename", from, false)?;
        let place = source.found.ok_or_else(|| not_found("rename", from))?;
        let target = self.resolve("rename", to, false)?;
        if source.parent.filesystem != target.parent.filesystem || source.name.is_empty() {
            return Err(FsError::new("rename", from, ErrorKind::Other, "it would leave its filesystem"));
        }
        if let Some(existing) = target.found {
            let is_directory = matches!(self.inode(existing, "rename", to)?.node, Node::Directory(_));
            if existing == place {
                return Ok(());
            }
            if is_directory {
                return Err(wrong_kind("rename", to, "a directory is there"));
            }
        }
        self.unlink("rename", from, &source)?;
        let parent = self.inode_mut(target.parent, "rename", to)?;
        match &mut parent.node {
            Node::Directory(entries) => {
                entries.insert(target.name, place.inode);
                Ok(())
            }
            _ => Err(wrong_kind("rename", to, "its parent is not a directory")),
        }
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        let at = self.resolve("remove", path, false)?;
        let place = at.found.ok_or_else(|| not_found("remove", path))?;
        match &self.inode(place, "remove", path)?.node {
            Node::Directory(entries) if !entries.is_empty() => {
                Err(FsError::new("remove", path, ErrorKind::Other, "the directory is not empty"))
            }
            _ => self.unlink("remove", path, &at),
        }
    }

    fn set_owner(&mut self, path: &str, uid: u32, gid: u32, mode: u32) -> Result<()> {
        let place = self.find("set the owner of", path, true)?;
        let inode = self.inode_mut(place, "set the owner of", path)?;
        (inode.uid, inode.gid, inode.mode) = (uid, gid, mode & 0o7777);
        Ok(())
    }

    fn xattr(&mut self, path: &str, name: &str) -> Result<Option<Vec<u8>>> {
        let place = self.find("read an attribute of", path, false)?;
        Ok(self.inode(place, "read an attribute of", path)?.xattrs.get(name).cloned())
    }

    fn set_xattr(&mut self, path: &str, name: &str, value: &[u8]) -> Result<()> {
        let place = self.find("set an attribute of", path, false)?;
        self.inode_mut(place, "set an attribute of", path)?.xattrs.insert(name.into(), value.to_vec());
        Ok(())
    }
}

impl Mounter for MemoryTree {
    fn mount(&mut self, volume: VolumeId, at: &str, mode: MountMode, subvolume: Option<&str>) -> Result<()> {
        let key = (volume, subvolume.map(Into::into));
        let filesystem = *self.volumes.get(&key).ok_or_else(|| not_found("mount", at))?;
        let covers = if self.mounts.is_empty() {
            if at != "/" {
                return Err(FsError::new("mount", at, ErrorKind::Other, "the first mount has to be on /"));
            }
            None
        } else {
            match self.find("mount", at, true) {
                Err(error) if error.kind == ErrorKind::NotFound => self.create_dir(at)?,
                found => drop(found?),
            }
            let place = self.find("mount", at, true)?;
            if !matches!(self.inode(place, "mount", at)?.node, Node::Directory(_)) {
                return Err(wrong_kind("mount", at, "it is not a directory"));
            }
            Some(place)
        };
        self.mounts.push(Mount { at: at.into(), covers, filesystem, mode });
        Ok(())
    }

    fn unmount_all(&mut self) -> Result<()> {
        self.mounts.clear();
        Ok(())
    }

    fn trim(&mut self, at: &str) -> Result<u64> {
        if !self.mounts.iter().any(|mount| mount.at == at) {
            return Err(not_found("trim", at));
        }
        Err(FsError::new("trim", at, ErrorKind::Unsupported, "it is in memory"))
    }

    fn free_space(&mut self, at: &str) -> Result<Option<u64>> {
        let place = self.find("measure", at, true)?;
        Ok(self.filesystems.get(place.filesystem).and_then(Filesystem::free))
    }

    fn tree(&mut self) -> &mut dyn GuestFs {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{FileKind, conformance};

    #[test]
    fn conforms() {
        conformance::check(&mut MemoryTree::single());
    }

    #[test]
    fn mounts_hide_and_show() {
        let mut tree = MemoryTree::single();
        tree.put("/boot/hidden", "").unwrap();
        tree.add_volume(VolumeId(1), None, None);
        tree.mount(VolumeId(1), "/boot", MountMode::ReadWrite, None).unwrap();
        assert!(!tree.exists("/boot/hidden").unwrap());
        tree.put("/boot/../boot/grub/../kernel", "k").unwrap();
        assert_eq!(tree.list("/").unwrap(), [Entry { name: "boot".into(), kind: FileKind::Directory }]);
        assert!(tree.rename("/boot/kernel", "/kernel").is_err());
        tree.unmount_all().unwrap();
        tree.mount(VolumeId(0), "/", MountMode::ReadOnly, None).unwrap();
        assert!(tree.exists("/boot/hidden").unwrap());
        assert_eq!(tree.write("/boot/hidden", b"", 0).unwrap_err().kind, ErrorKind::ReadOnly);
    }

    #[test]
    fn a_full_filesystem_says_so() {
        let mut tree = MemoryTree::new();
        tree.add_volume(VolumeId(0), None, Some(100));
        tree.mount(VolumeId(0), "/", MountMode::ReadWrite, None).unwrap();
        tree.write("/file", &[0; 60], 0o644).unwrap();
        assert_eq!(tree.free_space("/").unwrap(), Some(40));
        assert_eq!(tree.write("/file", &[1; 60], 0o644).unwrap_err().kind, ErrorKind::NoSpace);
        assert_eq!(tree.read("/file", 100).unwrap(), [0; 60]);
    }
}
