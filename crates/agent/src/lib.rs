//! The protocol between the host and the agent, which is the appliance's init.
//!
//! The host sends a [`Request`], the agent answers with a [`Reply`], strictly in turns, over one virtio serial port.
//! A message is its length as a little-endian `u32`, then JSON. Contents of files follow their message as a
//! [payload](payload), in pieces: neither side ever holds a whole file for the sake of the protocol.
//!
//! The agent is the weaker party: it reads hostile filesystems. What it says is bounded here before it is believed.

pub mod payload;
mod wire;

pub use wire::{receive, send};

use serde::{Deserialize, Serialize};

/// The virtio serial port on which the agent listens.
pub const CHANNEL: &str = "org.anyvisor.agent.0";

/// Where the agent finds its [`Setup`] in the initial RAM file system.
pub const SETUP: &str = "/setup.json";

/// What the agent does before it listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Kernel modules, in the order in which they are loaded. One that cannot be loaded is reported on the console
    /// and passed over: what needed it says so later.
    pub modules: Vec<Module>,
}

/// A kernel module in the initial RAM file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// The file, uncompressed.
    pub file: String,
    /// Its parameters, as `insmod` takes them.
    pub parameters: String,
}

/// What the host asks for. Paths are the guest's: absolute, resolved inside its tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "request")]
pub enum Request {
    /// Says [`Reply::Ready`] when all is set up. The first request.
    Hello,
    /// Mounts a filesystem.
    Mount {
        /// The serial number of the virtio disk.
        device: String,
        /// The type of the filesystem as `blkid` names it.
        kind: String,
        /// Where; the first is mounted on `/`.
        at: String,
        /// Whether it may only be read. A journal is replayed all the same.
        read_only: bool,
        /// The subvolume, for btrfs.
        subvolume: Option<String>,
    },
    /// Unmounts everything and waits until it is on the disks.
    UnmountAll,
    /// Lists a directory: [`Reply::Entries`].
    List {
        /// The directory.
        path: String,
    },
    /// Asks what stands at a path, not following a final link: [`Reply::Metadata`].
    Metadata {
        /// The path.
        path: String,
    },
    /// Asks where a link points: [`Reply::Link`].
    ReadLink {
        /// The link.
        path: String,
    },
    /// Reads a file: [`Reply::Contents`] and a payload.
    Read {
        /// The file.
        path: String,
        /// How large it may be, in bytes.
        limit: u64,
    },
    /// Creates or replaces a file. A payload follows.
    Write {
        /// The file.
        path: String,
        /// The permission bits of a new one.
        mode: u32,
    },
    /// Creates a directory and those above it.
    CreateDir {
        /// The directory.
        path: String,
    },
    /// Creates or replaces a symbolic link.
    Symlink {
        /// Where it points.
        target: String,
        /// The link.
        path: String,
    },
    /// Renames.
    Rename {
        /// The old path.
        from: String,
        /// The new path.
        to: String,
    },
    /// Removes a file, a link or an empty directory.
    Remove {
        /// What.
        path: String,
    },
    /// Sets owner and permissions.
    SetOwner {
        /// Of what.
        path: String,
        /// The owner.
        uid: u32,
        /// The group.
        gid: u32,
        /// The permission bits; a symbolic link has none.
        mode: u32,
    },
    /// Asks for an extended attribute: [`Reply::Xattr`].
    Xattr {
        /// Of what.
        path: String,
        /// Its name.
        name: String,
    },
    /// Sets an extended attribute.
    SetXattr {
        /// Of what.
        path: String,
        /// Its name.
        name: String,
        /// Its value.
        value: Vec<u8>,
    },
    /// Discards the free space of the filesystem at a path: [`Reply::Trimmed`].
    Trim {
        /// A directory on it.
        at: String,
    },
    /// Asks how much room the filesystem at a path has: [`Reply::Free`].
    FreeSpace {
        /// A path on it.
        at: String,
    },
    /// Waits until everything is on the disks.
    Sync,
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "reply")]
pub enum Reply {
    /// It is set up.
    Ready {
        /// The kernel that runs.
        kernel: String,
    },
    /// Done.
    Done,
    /// A directory's entries, without `.` and `..` and without names that are not UTF-8.
    Entries {
        /// They.
        entries: Vec<Entry>,
    },
    /// What stands at a path.
    Metadata {
        /// Its kind.
        kind: Kind,
        /// Its length in bytes.
        size: u64,
        /// The permission bits, the lowest twelve.
        mode: u32,
        /// The owner.
        uid: u32,
        /// The group.
        gid: u32,
    },
    /// Where a link points.
    Link {
        /// As it is written.
        target: String,
    },
    /// A file's contents follow as a payload.
    Contents {
        /// How many bytes it is going to be, if nothing happens.
        size: u64,
    },
    /// An extended attribute, or that there is none.
    Xattr {
        /// Its value.
        value: Option<Vec<u8>>,
    },
    /// Free space was discarded.
    Trimmed {
        /// How much, in bytes.
        bytes: u64,
    },
    /// Room that a filesystem has.
    Free {
        /// How much, in bytes.
        bytes: u64,
    },
    /// It could not be done.
    Failed {
        /// The kind of failure.
        kind: FailureKind,
        /// What was said about it.
        detail: String,
    },
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe.
    Special,
}

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Nothing stands there.
    NotFound,
    /// What stands there is of the wrong kind.
    WrongKind,
    /// It is larger than the limit.
    TooLarge,
    /// The filesystem is full.
    NoSpace,
    /// It may only be read.
    ReadOnly,
    /// The filesystem, or the agent, has no such operation.
    Unsupported,
    /// The filesystem is damaged, or something else.
    Other,
}
