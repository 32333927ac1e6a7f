//! The boot loader of a Linux guest.

use super::text::{assignment, read_text, sorted_names};
use crate::fs::{GuestFs, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A boot loader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootLoader {
    /// Which.
    pub kind: BootKind,
    /// Whether it is installed for a PC BIOS.
    pub bios: bool,
    /// Whether it is installed for UEFI.
    pub uefi: bool,
    /// The files that configure it.
    pub configuration: Vec<String>,
    /// The kernel's command line of its first entry.
    pub command_line: Option<String>,
}

/// A boot loader's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootKind {
    /// GRUB 2.
    Grub2,
    /// GRUB 0.97.
    GrubLegacy,
    /// systemd-boot.
    SystemdBoot,
    /// extlinux of syslinux.
    Extlinux,
}

impl fmt::Display for BootKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grub2 => "GRUB 2",
            Self::GrubLegacy => "GRUB legacy",
            Self::SystemdBoot => "systemd-boot",
            Self::Extlinux => "extlinux",
        })
    }
}

/// What gives a boot loader away: its main configuration file, one of these.
const LOADERS: &[(BootKind, &[&str])] = &[
    (BootKind::Grub2, &["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"]),
    (
        BootKind::SystemdBoot,
        &["/boot/loader/loader.conf", "/boot/efi/loader/loader.conf", "/efi/loader/loader.conf"],
    ),
    (BootKind::Extlinux, &["/boot/extlinux/extlinux.conf", "/boot/extlinux.conf"]),
    (BootKind::GrubLegacy, &["/boot/grub/menu.lst", "/boot/grub/grub.conf"]),
];
/// Files that configure GRUB 2 besides `grub.cfg`.
const GRUB2_FILES: &[&str] = &["/etc/default/grub", "/boot/grub/device.map", "/boot/grub2/device.map"];
const BIOS_PLATFORMS: &[&str] = &["/boot/grub/i386-pc", "/boot/grub2/i386-pc", "/boot/extlinux/ldlinux.sys"];
const UEFI_PLATFORMS: &[&str] = &["/boot/efi/EFI", "/boot/grub/x86_64-efi", "/boot/EFI", "/efi/EFI"];

pub(super) fn find(fs: &mut dyn GuestFs) -> Result<Option<BootLoader>> {
    for &(kind, paths) in LOADERS {
        let configuration = existing(fs, paths)?;
        let Some(main) = configuration.first() else { continue };
        let mut command_line = read_text(fs, main)?.as_deref().and_then(first_command_line);
        if command_line.is_none() {
            command_line = first_entry(fs)?;
        }
        let mut configuration = configuration.clone();
        if kind == BootKind::Grub2 {
            configuration.extend(existing(fs, GRUB2_FILES)?);
        }
        return Ok(Some(BootLoader {
            kind,
            bios: !existing(fs, BIOS_PLATFORMS)?.is_empty() || kind == BootKind::GrubLegacy,
            uefi: !existing(fs, UEFI_PLATFORMS)?.is_empty() || kind == BootKind::SystemdBoot,
            configuration,
            command_line,
        }));
    }
    Ok(None)
}

fn existing(fs: &mut dyn GuestFs, paths: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for path in paths {
        if fs.exists(path)? {
            found.push((*path).to_string());
        }
    }
    Ok(found)
}

/// The options of the first Boot Loader Specification entry.
fn first_entry(fs: &mut dyn GuestFs) -> Result<Option<String>> {
    for directory in ["/boot/loader/entries", "/boot/efi/loader/entries"] {
        if let Some(name) = sorted_names(fs, directory, ".conf")?.last() {
            let text = read_text(fs, &format!("{directory}/{name}"))?.unwrap_or_default();
            let options = text.lines().find_map(|line| line.strip_prefix("options")).map(str::trim);
            return Ok(options.map(Into::into));
        }
    }
    Ok(None)
}

/// The arguments in the first line that names a kernel: `linux /vmlinuz ARGUMENTS`, `kernel …`, `append …`.
fn first_command_line(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let line = line.trim();
        if let Some(arguments) = line.strip_prefix("append ").or_else(|| line.strip_prefix("APPEND ")) {
            return Some(arguments.trim().to_string());
        }
        let mut words = line.split_whitespace();
        let is_kernel = matches!(words.next()?, "linux" | "linux16" | "linuxefi" | "kernel");
        let image = words.next()?;
        let named = image.contains("vmlinu") || image.contains("kernel") || image.contains("Image");
        (is_kernel && named).then(|| words.collect::<Vec<_>>().join(" "))
    })
}

/// Unified kernel images, where the Boot Loader Specification puts them (type 2 entries).
pub(super) fn unified(fs: &mut dyn GuestFs) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for directory in ["/boot/efi/EFI/Linux", "/efi/EFI/Linux", "/boot/EFI/Linux"] {
        let names = sorted_names(fs, directory, ".efi")?;
        found.extend(names.into_iter().map(|name| format!("{directory}/{name}")));
    }
    Ok(found)
}

/// Where the guest resumes from: initramfs-tools' setting, else the command line.
pub(super) fn resume(fs: &mut dyn GuestFs, boot: Option<&BootLoader>) -> Result<Option<String>> {
    let configured = read_text(fs, "/etc/initramfs-tools/conf.d/resume")?;
    if let Some(device) = configured.and_then(|text| assignment(&text, "RESUME")) {
        return Ok(Some(device).filter(|device| !matches!(device.as_str(), "" | "none" | "auto")));
    }
    let words = boot.and_then(|boot| boot.command_line.as_deref()).unwrap_or_default().split_whitespace();
    Ok(words.filter_map(|word| word.strip_prefix("resume=")).next().map(Into::into))
}
