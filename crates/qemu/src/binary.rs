//! The QEMU that is installed: [`Binary`].

use crate::error::{Error, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NAME: &str = "qemu-system-x86_64";

/// An installed QEMU for x86-64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    path: PathBuf,
    version: String,
    sandbox: bool,
}

impl Binary {
    /// Finds `qemu-system-x86_64` in `PATH` and asks it for its version.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`] when it cannot be run, [`Error::Exited`] when it fails.
    pub fn find() -> Result<Self> {
        let path = std::env::var_os("PATH").and_then(|path| in_path(&path)).ok_or(Error::Missing)?;
        let output = Command::new(&path)
            .arg("-help")
            .stdin(Stdio::null())
            .output()
            .map_err(Error::io("run", path.clone()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Error::Exited { status: output.status, stderr });
        }
        Ok(Self { path, version: version_in(&text), sandbox: text.contains("\n-sandbox ") })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version, as it prints it: `10.0.2 (Debian 1:10.0.2+ds-2)`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether it has a machine type.
    pub fn has_machine(&self, machine: &str) -> bool {
        let output = Command::new(&self.path).args(["-machine", "help"]).stdin(Stdio::null()).output();
        let listing = output.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&listing).lines().any(|line| line.split_whitespace().next() == Some(machine))
    }

    /// Whether it can confine itself with seccomp.
    pub fn has_sandbox(&self) -> bool {
        self.sandbox
    }
}

fn in_path(path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).map(|directory| directory.join(NAME)).find(|file| file.is_file())
}

fn version_in(help: &str) -> String {
    let first = help.lines().next().unwrap_or_default();
    first.strip_prefix("QEMU emulator version ").unwrap_or(first).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_installed_one() {
        let binary = Binary::find().expect("apt install qemu-system-x86");
        assert!(binary.version().starts_with(|c: char| c.is_ascii_digit()), "{}", binary.version());
        assert!(binary.has_machine("q35") && !binary.has_machine("q"));
    }

    #[test]
    fn reads_the_version() {
        assert_eq!(version_in("QEMU emulator version 7.2.19 (Debian)\nusage:"), "7.2.19 (Debian)");
        assert_eq!(version_in(""), "");
    }

    #[test]
    fn an_empty_path_has_none() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(in_path(directory.path().as_os_str()), None);
    }
}
