//! Where a target grows: a hidden directory beside its place, published file by file once everything is there.
//!
//! Files are written and flushed in `.NAME.anyvisor-partial/`. Publishing writes the list of files into the
//! stage's journal, flushes it, and then renames them one after the other, the manifest last. A target without its manifest
//! is therefore unfinished, and the journal of its stage says which of its files are ours to replace when the
//! same command runs again.

use crate::error::{Error, Result};
use crate::manifest::read_bounded;
use crate::name::VmName;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const JOURNAL: &str = "journal.json";

/// A target that is being made. Dropped unpublished, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Stage {
    output: PathBuf,
    directory: PathBuf,
    _lock: File,
    published: bool,
}

/// What the stage is about to make visible.
#[derive(Serialize, Deserialize)]
struct Journal {
    publishing: Vec<String>,
}

impl Stage {
    /// Opens the stage for `name` in `output`, creating both; what an interrupted run left is removed first.
    ///
    /// # Errors
    /// [`Error::Exists`] when `output` already holds one of `files`, [`Error::Busy`] when another run is making the
    /// same target, [`Error::Io`] when the operating system refuses.
    pub(crate) fn open(output: &Path, name: &VmName, files: &[String]) -> Result<Self> {
        let directory = output.join(format!(".{name}.anyvisor-partial"));
        fs::create_dir_all(&directory).map_err(|source| Error::io("create", &directory, source))?;
        let lock = File::open(&directory).map_err(|source| Error::io("open", &directory, source))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| Error::Busy { directory: directory.clone() })?;
        // From here on the stage is ours: dropping it on an error removes it.
        let stage = Self { output: output.to_path_buf(), directory, _lock: lock, published: false };
        stage.recover()?;
        match files.iter().find(|file| output.join(file).symlink_metadata().is_ok()) {
            Some(file) => Err(Error::Exists { path: output.join(file) }),
            None => Ok(stage),
        }
    }

    /// The path at which a file of the target is written.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// Where the files of the target are until they are published.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Every file that was written, with `last`, the one that makes the target count as finished, behind them.
    ///
    /// # Errors
    /// [`Error::Exists`] when the target's directory already holds one of them, [`Error::Io`].
    pub(crate) fn files(&self, last: &str) -> Result<Vec<String>> {
        let entries =
            fs::read_dir(&self.directory).map_err(|source| Error::io("list", &self.directory, source))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut files: Vec<String> = names.filter(|name| name != last && name != JOURNAL).collect();
        files.sort();
        files.push(last.to_owned());
        match files.iter().find(|file| self.output.join(file).symlink_metadata().is_ok()) {
            Some(file) => Err(Error::Exists { path: self.output.join(file) }),
            None => Ok(files),
        }
    }

    /// Writes a small file of the target and flushes it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn write(&self, file: &str, contents: &[u8], executable: bool) -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(file);
        let write = || {
            fs::write(&path, contents)?;
            if executable {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            }
            File::open(&path)?.sync_all()
        };
        write().map_err(|source| Error::io("write", &path, source))
    }

    /// Makes the files visible at their places, in the order given. The last is the one that makes the target count
    /// as finished.
    ///
    /// # Errors
    /// [`Error::Io`]; what was already renamed is then taken back.
    pub(crate) fn publish(mut self, files: &[String]) -> Result<()> {
        let journal = Journal { publishing: files.to_vec() };
        let text = serde_json::to_vec(&journal)
            .map_err(|error| Error::io("write", &self.directory, error.into()))?;
        self.write(JOURNAL, &text, false)?;
        sync_directory(&self.directory)?;
        for (index, file) in files.iter().enumerate() {
            let target = self.output.join(file);
            if index + 1 == files.len() {
                sync_directory(&self.output)?;
            }
            fs::rename(self.path(file), &target).map_err(|source| Error::io("rename to", &target, source))?;
        }
        self.published = true;
        sync_directory(&self.output)
    }

    /// Removes what an interrupted run left: what it had written, and what it had published without its end.
    fn recover(&self) -> Result<()> {
        let journal = self.path(JOURNAL);
        if let Ok(text) = read_bounded(&journal)
            && let Ok(Journal { publishing }) = serde_json::from_slice(&text)
        {
            let finished = publishing.last().is_some_and(|last| !self.path(last).exists());
            for file in publishing.iter().filter(|file| !finished && is_plain(file)) {
                // Renamed away from the stage: it stands at its place, and is ours.
                if !self.path(file).exists() {
                    remove_file(&self.output.join(file))?;
                }
            }
        }
        self.clear()
    }

    fn clear(&self) -> Result<()> {
        let entries =
            fs::read_dir(&self.directory).map_err(|source| Error::io("list", &self.directory, source))?;
        for entry in entries.flatten() {
            remove_file(&entry.path())?;
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let cleared = if self.published { self.clear() } else { self.recover() };
        // Where clearing fails the next run tries again; there is nobody left to tell.
        if cleared.is_ok() {
            let _ = fs::remove_dir(&self.directory);
        }
    }
}

/// Whether a journal's entry is a name and no path: the journal lies where others may write.
fn is_plain(file: &str) -> bool {
    !file.contains('/') && file != ".." && file != "."
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path, source))
        }
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| Error::io("flush", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> VmName {
        VmName::try_from("vm".to_owned()).unwrap()
    }

    fn files() -> Vec<String> {
        vec!["vm-disk1.raw".into(), "vm.xml".into(), "vm.manifest.json".into()]
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn fill(stage: &Stage) {
        for file in files() {
            stage.write(&file, file.as_bytes(), false).unwrap();
        }
    }

    #[test]
    fn publishes_everything_and_leaves_nothing_else() {
        let output = tempfile::tempdir().unwrap();
        let stage = Stage::open(output.path(), &name(), &files()).unwrap();
        fill(&stage);
        assert_eq!(names(output.path()), [".vm.anyvisor-partial"]);
        stage.publish(&files()).unwrap();
        assert_eq!(names(output.path()), ["vm-disk1.raw", "vm.manifest.json", "vm.xml"]);
        assert!(matches!(Stage::open(output.path(), &name(), &files()), Err(Error::Exists { .. })));
        assert_eq!(names(output.path()), ["vm-disk1.raw", "vm.manifest.json", "vm.xml"]);
    }

    #[test]
    fn dropped_it_leaves_nothing() {
        let output = tempfile::tempdir().unwrap();
        let stage = Stage::open(output.path(), &name(), &files()).unwrap();
        fill(&stage);
        drop(stage);
        assert!(names(output.path()).is_empty());
    }

    #[test]
    fn two_at_once_are_refused() {
        let output = tempfile::tempdir().unwrap();
        let _first = Stage::open(output.path(), &name(), &files()).unwrap();
        assert!(matches!(Stage::open(output.path(), &name(), &files()), Err(Error::Busy { .. })));
    }

    /// Every point at which a run can be killed while it publishes: the same command begins anew.
    #[test]
    fn recovers_from_a_kill_between_any_two_renames() {
        for renamed in 0..files().len() {
            let output = tempfile::tempdir().unwrap();
            let stage = Stage::open(output.path(), &name(), &files()).unwrap();
            fill(&stage);
            let text = serde_json::to_vec(&Journal { publishing: files() }).unwrap();
            stage.write(JOURNAL, &text, false).unwrap();
            for file in files().iter().take(renamed) {
                fs::rename(stage.path(file), output.path().join(file)).unwrap();
            }
            // A killed process runs no destructor; its lock goes with it.
            let Stage { output: _, .. } = &stage;
            flock(&stage._lock, FlockOperation::Unlock).unwrap();
            std::mem::forget(stage);

            let again = Stage::open(output.path(), &name(), &files()).unwrap();
            assert_eq!(names(output.path()), [".vm.anyvisor-partial"], "{renamed} renamed");
            fill(&again);
            again.publish(&files()).unwrap();
            assert_eq!(names(output.path()).len(), 3);
        }
    }

    #[test]
    fn a_hostile_journal_removes_nothing_outside() {
        let output = tempfile::tempdir().unwrap();
        let precious = output.path().join("precious");
        fs::write(&precious, "x").unwrap();
        let inner = output.path().join("inner");
        let partial = inner.join(".vm.anyvisor-partial");
        fs::create_dir_all(&partial).unwrap();
        fs::write(partial.join(JOURNAL), r#"{"publishing":["../precious","x"]}"#).unwrap();
        fs::write(partial.join("x"), "").unwrap();
        drop(Stage::open(&inner, &name(), &files()).unwrap());
        assert!(precious.exists());
    }
}
