//! Kernels that only an entry of a boot loader's leads to (Boot Loader Specification, type 1).

use super::{MAX_KERNELS, is_version};
use crate::fs::{GuestFs, Result};
use crate::inspect::text::{read_text, sorted_names};

/// A kernel by an entry of the Boot Loader Specification's.
pub(super) struct Entry {
    /// The kernel's version.
    pub(super) version: String,
    /// Its image.
    pub(super) image: String,
    /// Its initramfs.
    pub(super) initramfs: String,
}

/// Entries whose kernels lie beside the boot loader, in the system partition of UEFI, where `/boot` may hold copies.
pub(super) fn find(fs: &mut dyn GuestFs) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    for partition in ["/boot/efi", "/efi", "/boot"] {
        let directory = format!("{partition}/loader/entries");
        for name in sorted_names(fs, &directory, ".conf")?.into_iter().take(MAX_KERNELS) {
            let text = read_text(fs, &format!("{directory}/{name}"))?.unwrap_or_default();
            let value = |key: &str| {
                // Of several initrds the last is the initramfs; microcode comes first.
                let line = text.lines().rfind(|line| line.split_whitespace().next() == Some(key))?;
                line.split_whitespace().nth(1)
            };
            let path = |key| {
                value(key).filter(|path| path.starts_with('/')).map(|path| format!("{partition}{path}"))
            };
            let (Some(image), Some(initramfs)) = (path("linux"), path("initrd")) else { continue };
            // Those directly in /boot are found by their names.
            let is_own = image.rsplit_once('/').is_some_and(|(directory, _)| directory != "/boot");
            let version = value("version").or_else(|| image.split('/').find(|part| is_version(part)));
            if let Some(version) = version.filter(|version| is_own && is_version(version))
                && fs.exists(&image)?
            {
                found.push(Entry { version: version.into(), image, initramfs });
            }
        }
    }
    Ok(found)
}
