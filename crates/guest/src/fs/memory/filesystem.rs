//! One filesystem in memory.

use crate::fs::FileKind;
use std::collections::BTreeMap;

/// A table of inodes. Numbers are never used again, so that a stale one finds nothing wrong.
#[derive(Clone, Debug)]
pub(super) struct Filesystem {
    inodes: Vec<Inode>,
    capacity: Option<u64>,
}

/// A file, directory or link.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) node: Node,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
}

/// What an inode holds.
#[derive(Clone, Debug)]
pub(super) enum Node {
    File(Vec<u8>),
    Directory(BTreeMap<String, usize>),
    Symlink(String),
}

impl Filesystem {
    /// The number of the root directory.
    pub(super) const ROOT: usize = 0;

    pub(super) fn new(capacity: Option<u64>) -> Self {
        Self { inodes: vec![Inode::new(Node::Directory(BTreeMap::new()), 0o755)], capacity }
    }

    pub(super) fn get(&self, inode: usize) -> Option<&Inode> {
        self.inodes.get(inode)
    }

    pub(super) fn get_mut(&mut self, inode: usize) -> Option<&mut Inode> {
        self.inodes.get_mut(inode)
    }

    pub(super) fn add(&mut self, inode: Inode) -> usize {
        self.inodes.push(inode);
        self.inodes.len() - 1
    }

    /// Whether `size` more bytes fit.
    pub(super) fn has_room(&self, size: u64) -> bool {
        self.free().is_none_or(|free| size <= free)
    }

    /// How many bytes are left, when there is a bound.
    pub(super) fn free(&self) -> Option<u64> {
        self.capacity.map(|capacity| capacity.saturating_sub(self.used(Self::ROOT)))
    }

    /// The bytes in and below an inode. Directories form a tree, since a rename does not move them into themselves
    /// in any use made of it; a bound on the walk keeps a mistake from looping.
    fn used(&self, root: usize) -> u64 {
        let mut total = 0;
        let mut todo = vec![root];
        let mut steps = 0;
        while let Some(inode) = todo.pop().and_then(|number| self.inodes.get(number)) {
            steps += 1;
            if steps > self.inodes.len() {
                break;
            }
            match &inode.node {
                Node::File(contents) => total += contents.len() as u64,
                Node::Directory(entries) => todo.extend(entries.values()),
                Node::Symlink(_) => {}
            }
        }
        total
    }
}

impl Inode {
    pub(super) fn new(node: Node, mode: u32) -> Self {
        Self { node, mode, uid: 0, gid: 0, xattrs: BTreeMap::new() }
    }

    pub(super) fn kind(&self) -> FileKind {
        match self.node {
            Node::File(_) => FileKind::File,
            Node::Directory(_) => FileKind::Directory,
            Node::Symlink(_) => FileKind::Symlink,
        }
    }

    /// The length of a file or of a link's target; nothing for a directory.
    pub(super) fn size(&self) -> u64 {
        match &self.node {
            Node::File(contents) => contents.len() as u64,
            Node::Symlink(target) => target.len() as u64,
            Node::Directory(_) => 0,
        }
    }
}
