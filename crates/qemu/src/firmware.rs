//! UEFI firmware images as distributions install them: [`find`].

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// A UEFI firmware: its code, and the template of its variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uefi {
    /// The code, mapped read-only.
    pub code: PathBuf,
    /// The variables that a new machine starts with. Each machine gets a copy.
    pub variables: PathBuf,
    /// Whether the code enforces secure boot (it then needs System Management Mode, which is q35's).
    pub secure_boot: bool,
}

/// Code and variables, relative to the directories of [`DIRECTORIES`]; newer layouts first.
const PLAIN: &[(&str, &str)] = &[
    ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
    ("OVMF_CODE.4m.fd", "OVMF_VARS.4m.fd"),
    ("OVMF_CODE.fd", "OVMF_VARS.fd"),
    ("ovmf-x86_64-code.bin", "ovmf-x86_64-vars.bin"),
    ("edk2-x86_64-code.fd", "edk2-i386-vars.fd"),
];

/// Code that enforces secure boot, with variables that hold Microsoft's keys.
const SECURE: &[(&str, &str)] = &[
    ("OVMF_CODE_4M.ms.fd", "OVMF_VARS_4M.ms.fd"),
    ("OVMF_CODE.secboot.4m.fd", "OVMF_VARS.secboot.4m.fd"),
    ("OVMF_CODE.secboot.fd", "OVMF_VARS.secboot.fd"),
    ("OVMF_CODE.secboot.fd", "OVMF_VARS.ms.fd"),
    ("ovmf-x86_64-smm-ms-code.bin", "ovmf-x86_64-smm-ms-vars.bin"),
];

/// Debian and Ubuntu, Fedora and RHEL, Arch, openSUSE and QEMU's own.
const DIRECTORIES: &[&str] = &[
    "/usr/share/OVMF",
    "/usr/share/edk2/ovmf",
    "/usr/share/edk2/x64",
    "/usr/share/edk2-ovmf/x64",
    "/usr/share/qemu",
];

/// Finds the host's UEFI firmware, with or without secure boot.
///
/// # Errors
/// [`Error::NoFirmware`].
pub fn find(secure_boot: bool) -> Result<Uefi> {
    let directories: Vec<&Path> = DIRECTORIES.iter().map(Path::new).collect();
    find_in(&directories, secure_boot).ok_or(Error::NoFirmware { secure_boot })
}

fn find_in(directories: &[&Path], secure_boot: bool) -> Option<Uefi> {
    let pairs = if secure_boot { SECURE } else { PLAIN };
    directories
        .iter()
        .flat_map(|directory| {
            pairs.iter().map(move |(code, vars)| (directory.join(code), directory.join(vars)))
        })
        .find(|(code, variables)| code.is_file() && variables.is_file())
        .map(|(code, variables)| Uefi { code, variables, secure_boot })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_complete_pair_and_the_newer_layout_first() {
        let directory = tempfile::tempdir().unwrap();
        let make = |name: &str| std::fs::write(directory.path().join(name), b"").unwrap();
        make("OVMF_CODE_4M.fd");
        assert_eq!(find_in(&[directory.path()], false), None);
        make("OVMF_CODE.fd");
        make("OVMF_VARS.fd");
        assert!(find_in(&[directory.path()], false).unwrap().code.ends_with("OVMF_CODE.fd"));
        make("OVMF_VARS_4M.fd");
        assert!(find_in(&[directory.path()], false).unwrap().code.ends_with("OVMF_CODE_4M.fd"));
        assert_eq!(find_in(&[directory.path()], true), None);
    }
}
