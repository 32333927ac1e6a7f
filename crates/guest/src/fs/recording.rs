//! A tree that remembers every change: what a conversion did, as diffs.

use super::{Entry, FileKind, GuestFs, Metadata, MountMode, Mounter, Result};
use crate::volume::VolumeId;
use serde::{Deserialize, Serialize};
use similar::TextDiff;
use std::collections::BTreeMap;
use std::fmt;

/// Texts up to this size are shown line by line; anything larger by size and hash.
const MAX_TEXT: usize = 256 * 1024;
/// Files up to this size are hashed when they change.
const MAX_HASHED: u64 = 1 << 30;

/// One change to a guest's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The path in the guest.
    pub path: String,
    /// What happened to it.
    pub action: Action,
    /// A unified diff, for texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// What was there, when anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What is there now, when anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is new.
    Created,
    /// It was there and is different.
    Changed,
    /// It is gone.
    Removed,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Removed => "removed",
        })
    }
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Absent,
    Directory(Owner),
    Symlink(String),
    Text(String, Owner),
    Binary { size: u64, hash: Option<String>, owner: Owner },
    Special,
}

/// Owner, group and permission bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    uid: u32,
    gid: u32,
    mode: u32,
}

/// What is known of a path's contents after a change.
#[derive(Clone, Copy)]
enum After<'a> {
    /// They are these.
    Written(&'a [u8]),
    /// They are what they were.
    Same,
    /// Nothing.
    Unknown,
}

/// A [`Mounter`] around another, which remembers what every path was before its first change.
pub struct Recording<M> {
    inner: M,
    /// Before the first change, and after the last.
    changes: BTreeMap<String, (State, State)>,
    /// Hashes of large files that were read since the last change, so that none is read again to be hashed.
    hashes: BTreeMap<String, (u64, String)>,
}

impl<M: Mounter> Recording<M> {
    /// Records the changes made through it from now on.
    pub fn new(inner: M) -> Self {
        Self { inner, changes: BTreeMap::new(), hashes: BTreeMap::new() }
    }

    /// The tree below, and every edit.
    pub fn finish(self) -> (M, Vec<Edit>) {
        let edits = self.edits();
        (self.inner, edits)
    }

    /// Every path that is now different, in order. A path that was changed and changed back is not among them.
    pub fn edits(&self) -> Vec<Edit> {
        self.changes
            .iter()
            .filter(|(_, (before, after))| before != after)
            .map(|(path, (before, after))| edit(path, before, after))
            .collect()
    }

    /// What stands at `path` now.
    fn state(&mut self, path: &str) -> Result<State> {
        if !self.inner.exists(path)? {
            return Ok(State::Absent);
        }
        let metadata = self.inner.metadata(path)?;
        Ok(match metadata.kind {
            FileKind::Directory => State::Directory(owner(&metadata)),
            FileKind::Symlink => State::Symlink(self.inner.read_link(path)?),
            FileKind::Special => State::Special,
            FileKind::File if metadata.size > MAX_HASHED => {
                State::Binary { size: metadata.size, hash: None, owner: owner(&metadata) }
            }
            FileKind::File => match self.hashes.get(path).filter(|(size, _)| *size == metadata.size) {
                Some((size, hash)) => {
                    State::Binary { size: *size, hash: Some(hash.clone()), owner: owner(&metadata) }
                }
                None => file_state(&self.inner.read(path, MAX_HASHED)?, owner(&metadata)),
            },
        })
    }

    /// Runs a change, with the states of `path` before and after. What is known of its contents spares reading them back.
    fn record<T>(
        &mut self,
        path: &str,
        contents: After<'_>,
        change: impl FnOnce(&mut M) -> Result<T>,
    ) -> Result<T> {
        let path = self.follow(path, matches!(contents, After::Written(_)))?;
        let before = match self.changes.get(&path) {
            Some((before, _)) => before.clone(),
            None => self.state(&path)?,
        };
        let result = change(&mut self.inner);
        if !matches!(contents, After::Same) {
            self.hashes.clear();
        }
        let after = match (&result, contents) {
            (Ok(_), After::Written(contents)) => {
                let metadata = self.inner.metadata(&path)?;
                file_state(contents, owner(&metadata))
            }
            _ => self.state(&path)?,
        };
        if let State::Binary { size, hash: Some(hash), .. } = &after {
            self.hashes.insert(path.clone(), (*size, hash.clone()));
        }
        self.changes.insert(path, (before, after));
        result
    }

    /// Where a write to `path` lands: a write goes through a final symbolic link.
    fn follow(&mut self, path: &str, through_link: bool) -> Result<String> {
        let mut path = path.to_string();
        for _ in 0..if through_link { 8 } else { 0 } {
            match self.inner.metadata(&path) {
                Ok(metadata) if metadata.kind == FileKind::Symlink => {
                    let target = self.inner.read_link(&path)?;
                    path = match (target.starts_with('/'), path.rsplit_once('/')) {
                        (false, Some((directory, _))) => format!("{directory}/{target}"),
                        _ => target,
                    };
                }
                _ => break,
            }
        }
        Ok(path)
    }
}

fn owner(metadata: &Metadata) -> Owner {
    Owner { uid: metadata.uid, gid: metadata.gid, mode: metadata.mode }
}

fn file_state(contents: &[u8], owner: Owner) -> State {
    let is_binary = contents.len() > MAX_TEXT || contents.contains(&0);
    match std::str::from_utf8(contents) {
        Ok(text) if !is_binary => State::Text(text.into(), owner),
        _ => {
            let hash = Some(blake3::hash(contents).to_hex().to_string());
            State::Binary { size: contents.len() as u64, hash, owner }
        }
    }
}

fn edit(path: &str, before: &State, after: &State) -> Edit {
    let action = match (before, after) {
        (State::Absent, _) => Action::Created,
        (_, State::Absent) => Action::Removed,
        _ => Action::Changed,
    };
    let diff = match (text_of(before), text_of(after)) {
        (Some(old), Some(new)) if old != new => Some(unified(old, new)),
        _ => None,
    };
    Edit { path: path.into(), action, diff, before: summary(before), after: summary(after) }
}

fn unified(old: &str, new: &str) -> String {
    TextDiff::from_lines(old, new).unified_diff().context_radius(3).header("before", "after").to_string()
}

/// The text of a state, where it can be compared as one; what is absent is an empty text.
fn text_of(state: &State) -> Option<&str> {
    match state {
        State::Absent => Some(""),
        State::Text(text, _) => Some(text),
        _ => None,
    }
}

fn summary(state: &State) -> Option<String> {
    let owned = |what: String, owner: &Owner| {
        format!("{what}, owner {}:{}, mode {:04o}", owner.uid, owner.gid, owner.mode)
    };
    match state {
        State::Absent => None,
        State::Directory(owner) => Some(owned("directory".into(), owner)),
        State::Symlink(target) => Some(format!("symbolic link to {target}")),
        State::Special => Some("special file".into()),
        State::Text(text, owner) => Some(owned(format!("text of {} bytes", text.len()), owner)),
        State::Binary { size, hash, owner } => {
            let hash = hash.as_ref().map(|hash| format!(", BLAKE3 {hash}")).unwrap_or_default();
            Some(owned(format!("{size} bytes{hash}"), owner))
        }
    }
}

impl<M: Mounter> GuestFs for Recording<M> {
    fn list(&mut self, path: &str) -> Result<Vec<Entry>> {
        self.inner.list(path)
    }
    fn metadata(&mut self, path: &str) -> Result<Metadata> {
        self.inner.metadata(path)
    }
    fn read_link(&mut self, path: &str) -> Result<String> {
        self.inner.read_link(path)
    }
    fn read(&mut self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let contents = self.inner.read(path, limit)?;
        if contents.len() > MAX_TEXT {
            let hash = blake3::hash(&contents).to_hex().to_string();
            self.hashes.insert(path.into(), (contents.len() as u64, hash));
        }
        Ok(contents)
    }
    fn write(&mut self, path: &str, contents: &[u8], mode: u32) -> Result<()> {
        self.record(path, After::Written(contents), |inner| inner.write(path, contents, mode))
    }
    fn create_dir(&mut self, path: &str) -> Result<()> {
        // Each directory that this makes is a change of its own.
        let mut directory = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            directory.push('/');
            directory.push_str(name);
            if !self.inner.exists(&directory)? {
                self.record(&directory, After::Unknown, |inner| inner.create_dir(&directory))?;
            }
        }
        self.inner.create_dir(path)
    }
    fn symlink(&mut self, target: &str, path: &str) -> Result<()> {
        self.record(path, After::Unknown, |inner| inner.symlink(target, path))
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        // The new name holds what the old one held, which need not be read twice.
        let moved = self.state(from)?;
        let replaced = self.state(to)?;
        self.inner.rename(from, to)?;
        self.hashes.clear();
        for (path, before, after) in [(from, moved.clone(), State::Absent), (to, replaced, moved)] {
            let first = self.changes.get(path).map_or(before, |(first, _)| first.clone());
            self.changes.insert(path.into(), (first, after));
        }
        Ok(())
    }
    fn remove(&mut self, path: &str) -> Result<()> {
        self.record(path, After::Unknown, |inner| inner.remove(path))
    }
    fn set_owner(&mut self, path: &str, uid: u32, gid: u32, mode: u32) -> Result<()> {
        self.record(path, After::Same, |inner| inner.set_owner(path, uid, gid, mode))
    }
    fn xattr(&mut self, path: &str, name: &str) -> Result<Option<Vec<u8>>> {
        self.inner.xattr(path, name)
    }
    fn set_xattr(&mut self, path: &str, name: &str, value: &[u8]) -> Result<()> {
        self.inner.set_xattr(path, name, value)
    }
}

impl<M: Mounter> Mounter for Recording<M> {
    fn mount(&mut self, volume: VolumeId, at: &str, mode: MountMode, subvolume: Option<&str>) -> Result<()> {
        self.inner.mount(volume, at, mode, subvolume)
    }
    fn unmount_all(&mut self) -> Result<()> {
        self.inner.unmount_all()
    }
    fn trim(&mut self, at: &str) -> Result<u64> {
        self.inner.trim(at)
    }
    fn free_space(&mut self, at: &str) -> Result<Option<u64>> {
        self.inner.free_space(at)
    }
    fn tree(&mut self) -> &mut dyn GuestFs {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::conformance;
    use crate::fs::memory::MemoryTree;

    #[test]
    fn conforms_and_leaves_no_edits_behind() {
        let mut recording = Recording::new(MemoryTree::single());
        conformance::check(&mut recording);
        assert_eq!(recording.edits(), []);
    }

    #[test]
    fn a_hash_is_not_kept_past_a_change() {
        let mut tree = MemoryTree::single();
        tree.put("/file", vec![1; MAX_TEXT + 1]).unwrap();
        let mut recording = Recording::new(tree);
        recording.read("/file", 1 << 30).unwrap();
        recording.write("/file", &vec![2; MAX_TEXT + 1], 0o644).unwrap();
        recording.rename("/file", "/other").unwrap();
        let expected = blake3::hash(&vec![2; MAX_TEXT + 1]).to_hex().to_string();
        let edits = recording.edits();
        assert!(
            edits
                .iter()
                .any(|edit| edit.path == "/other" && edit.after.as_ref().unwrap().contains(&expected))
        );
    }

    #[test]
    fn a_conversion_becomes_diffs() {
        let mut tree = MemoryTree::single();
        tree.put("/etc/fstab", "/dev/sda1 / ext4\n/dev/sda2 none swap\n").unwrap();
        tree.put("/boot/initrd.img", [0, 1, 2]).unwrap();
        let mut recording = Recording::new(tree);
        recording.write("/etc/fstab", b"UUID=1 / ext4\n/dev/sda2 none swap\n", 0o644).unwrap();
        recording.symlink("/dev/null", "/etc/unit").unwrap();
        recording.rename("/boot/initrd.img", "/boot/old").unwrap();
        recording.write("/boot/initrd.img", &[0, 1, 2, 3], 0o644).unwrap();
        insta::assert_json_snapshot!(recording.edits());
    }
}
