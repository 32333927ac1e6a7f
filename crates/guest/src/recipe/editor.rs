//! Changing a guest's files with care: nothing is written that is already so, and new files look like their siblings.

use crate::fs::{FileKind, GuestFs, Metadata, Result};

const SELINUX: &str = "security.selinux";

/// Edits a tree.
pub(super) struct Editor<'a> {
    fs: &'a mut dyn GuestFs,
    /// Whether new files get the SELinux label of a sibling.
    labels: bool,
}

impl<'a> Editor<'a> {
    pub(super) fn new(fs: &'a mut dyn GuestFs, labels: bool) -> Self {
        Self { fs, labels }
    }

    /// Makes sure that a file holds `contents`; answers whether that was a change.
    pub(super) fn put(&mut self, path: &str, contents: &[u8], mode: u32) -> Result<bool> {
        let is_new = !self.fs.exists(path)?;
        if !is_new && self.fs.read(path, contents.len() as u64).is_ok_and(|now| now == contents) {
            return Ok(false);
        }
        if is_new {
            self.create_parent(path)?;
        }
        self.fs.write(path, contents, mode)?;
        if is_new {
            self.label(path)?;
        }
        Ok(true)
    }

    /// Writes `after` where it differs from `before`, the text that was read of a file or none; answers whether it does. A file
    /// whose text stays keeps its bytes, which need not be UTF-8.
    pub(super) fn replace_text(&mut self, path: &str, before: &str, after: &str) -> Result<bool> {
        if before == after { Ok(false) } else { self.put(path, after.as_bytes(), 0o644) }
    }

    /// Makes sure that a symbolic link is there; answers whether that was a change.
    pub(super) fn link(&mut self, target: &str, path: &str) -> Result<bool> {
        if self.fs.read_link(path).is_ok_and(|now| now == target) {
            return Ok(false);
        }
        self.create_parent(path)?;
        self.fs.symlink(target, path)?;
        self.label(path)?;
        Ok(true)
    }

    /// Replaces a file by `contents`, keeping the original under another name the first time.
    pub(super) fn replace_keeping(&mut self, path: &str, original: &str, contents: &[u8]) -> Result<()> {
        if self.fs.exists(original)? {
            return self.fs.write(path, contents, 0o644);
        }
        let Metadata { uid, gid, mode, .. } = self.fs.metadata(path)?;
        let label = if self.labels { self.fs.xattr(path, SELINUX)? } else { None };
        self.fs.rename(path, original)?;
        let written =
            self.fs.write(path, contents, mode).and_then(|()| self.fs.set_owner(path, uid, gid, mode));
        if let Err(error) = written {
            // Without room for both, the original goes back to its place.
            if self.fs.exists(path)? {
                self.fs.remove(path)?;
            }
            self.fs.rename(original, path)?;
            return Err(error);
        }
        label.map_or(Ok(()), |label| self.fs.set_xattr(path, SELINUX, &label))
    }

    /// Makes the directories that a path lacks, from the outermost on, so that each gets its label.
    fn create_parent(&mut self, path: &str) -> Result<()> {
        match path.rsplit_once('/') {
            Some((parent, _)) if !parent.is_empty() && !self.fs.exists(parent)? => {
                self.create_parent(parent)?;
                self.fs.create_dir(parent)?;
                self.label(parent)
            }
            _ => Ok(()),
        }
    }

    /// Gives a new file the SELinux label of a file beside it, or of its directory.
    fn label(&mut self, path: &str) -> Result<()> {
        let Some((parent, name)) = path.rsplit_once('/').filter(|_| self.labels) else { return Ok(()) };
        let parent = if parent.is_empty() { "/" } else { parent };
        let kind = self.fs.metadata(path)?.kind;
        let sibling =
            self.fs.list(parent)?.into_iter().find(|entry| entry.kind == kind && entry.name != name);
        let model = match sibling {
            Some(entry) if kind == FileKind::File => format!("{parent}/{}", entry.name),
            _ => parent.to_string(),
        };
        match self.fs.xattr(&model, SELINUX)? {
            Some(label) => self.fs.set_xattr(path, SELINUX, &label),
            None => Ok(()),
        }
    }
}
