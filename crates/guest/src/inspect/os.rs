//! Which operating system it is.

use super::text::{assignment, read_text, read_up_to};
use crate::fs::{FileKind, GuestFs, Mounter, Result};
use serde::{Deserialize, Serialize};

/// No program that is looked at is larger, in bytes.
const MAX_PROGRAM: u64 = 32 << 20;

/// An operating system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Os {
    /// Its family.
    pub family: Family,
    /// The distribution's identifier: `debian`, `rhel`.
    pub id: Option<String>,
    /// The distributions that it is like: `debian` for `ubuntu`.
    pub like: Vec<String>,
    /// Its version: `12`.
    pub version: Option<String>,
    /// Its name for people.
    pub name: Option<String>,
    /// The architecture of its programs: `x86_64`.
    pub architecture: Option<String>,
}

/// A family of operating systems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Linux.
    Linux,
    /// Windows.
    Windows,
    /// Not known.
    #[default]
    Unknown,
}

/// By `os-release(5)`, and by the header of a program.
pub(super) fn linux(fs: &mut dyn GuestFs) -> Result<Os> {
    let release = match read_text(fs, "/etc/os-release")? {
        Some(text) => Some(text),
        None => read_text(fs, "/usr/lib/os-release")?,
    };
    let release = release.unwrap_or_default();
    let old_name = match release.is_empty() {
        true => read_text(fs, "/etc/redhat-release")?.map(|text| text.trim().to_string()),
        false => None,
    };
    Ok(Os {
        family: Family::Linux,
        id: assignment(&release, "ID"),
        like: assignment(&release, "ID_LIKE")
            .map(|like| like.split_whitespace().map(Into::into).collect())
            .unwrap_or_default(),
        version: assignment(&release, "VERSION_ID"),
        name: assignment(&release, "PRETTY_NAME").or(old_name).or(Some("Linux".into())),
        architecture: architecture(fs)?,
    })
}

/// A Windows is only named.
pub(super) fn windows(mounter: &mut dyn Mounter) -> Result<Os> {
    let tree = mounter.tree();
    let is_64_bit = tree.exists("/Windows/SysWOW64")?;
    Ok(Os {
        family: Family::Windows,
        id: Some("windows".into()),
        name: Some("Microsoft Windows".into()),
        architecture: is_64_bit.then(|| "x86_64".into()),
        ..Os::default()
    })
}

/// By the ELF header (System V ABI, chapter 4) of a program that every Linux has.
fn architecture(fs: &mut dyn GuestFs) -> Result<Option<String>> {
    for path in ["/bin/sh", "/sbin/init", "/usr/bin/env", "/lib/systemd/systemd"] {
        if let Some(program) = read_up_to(fs, path, MAX_PROGRAM)?
            && let Some(machine) = elf_machine(&program)
        {
            return Ok(Some(machine));
        }
    }
    Ok(None)
}

fn elf_machine(program: &[u8]) -> Option<String> {
    if !program.starts_with(b"\x7FELF") {
        return None;
    }
    let field = [*program.get(18)?, *program.get(19)?];
    let machine = match program.get(5)? {
        2 => u16::from_be_bytes(field),
        _ => u16::from_le_bytes(field),
    };
    Some(match machine {
        3 => "i686".into(),
        20 | 21 => "ppc64".into(),
        22 => "s390x".into(),
        40 => "arm".into(),
        62 => "x86_64".into(),
        183 => "aarch64".into(),
        243 => "riscv64".into(),
        other => format!("ELF machine {other}"),
    })
}

/// The mode that `/etc/selinux/config` asks for.
pub(super) fn selinux(fs: &mut dyn GuestFs) -> Result<Option<String>> {
    Ok(read_text(fs, "/etc/selinux/config")?.and_then(|text| assignment(&text, "SELINUX")))
}

/// The first process.
pub(super) fn init(fs: &mut dyn GuestFs) -> Result<Option<String>> {
    if let Ok(metadata) = fs.metadata("/sbin/init")
        && metadata.kind == FileKind::Symlink
    {
        let target = fs.read_link("/sbin/init")?;
        let name = target.rsplit('/').next().unwrap_or_default();
        if !name.is_empty() {
            return Ok(Some(if name.contains("openrc") { "openrc".into() } else { name.into() }));
        }
    }
    for (path, name) in [
        ("/lib/systemd/systemd", "systemd"),
        ("/usr/lib/systemd/systemd", "systemd"),
        ("/sbin/openrc", "openrc"),
        ("/sbin/initctl", "upstart"),
        ("/etc/inittab", "sysvinit"),
    ] {
        if fs.exists(path)? {
            return Ok(Some(name.into()));
        }
    }
    Ok(None)
}
