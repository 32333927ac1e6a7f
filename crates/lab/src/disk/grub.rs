//! GRUB for a BIOS, put where `grub-install` puts it: the boot code into the boot record, the core image into the sectors
//! after it.

use super::SECTOR;
use crate::error::Context as _;
use crate::recipe::MIB;
use crate::{LabError, Result};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How many bytes of a boot record are code; the disk signature and the partition table follow.
const BOOT_CODE: usize = 440;

/// Embeds `boot.img` and `core.img` of `directory` into the disk, whose partition table stays.
///
/// `grub-mkimage` leaves a core image whose first sector loads the rest from sector 2 on, which is right for a core image
/// that stands at sector 1; and the boot code looks for it at sector 1 (GRUB manual, "Images").
pub(super) fn embed(directory: &Path, disk: &File, raw: &Path) -> Result<()> {
    let (boot_path, core_path) = (directory.join("boot.img"), directory.join("core.img"));
    let boot = fs::read(&boot_path).context("read", &boot_path)?;
    let core = fs::read(&core_path).context("read", &core_path)?;
    let code = boot_code(&boot).ok_or(LabError::BootImage { path: boot_path, size: boot.len() })?;
    if core.len() > MIB as usize - SECTOR {
        return Err(LabError::BootImage { path: core_path, size: core.len() });
    }
    disk.write_all_at(&code, 0).context("write", raw)?;
    disk.write_all_at(&core, SECTOR as u64).context("write", raw)
}

/// The code of `boot.img`. Its drive check is turned off, as `grub-install` does for a hard disk, because some firmware
/// passes a wrong drive number (`grub-core/boot/i386/pc/boot.S`).
fn boot_code(image: &[u8]) -> Option<[u8; BOOT_CODE]> {
    const DRIVE_CHECK: std::ops::Range<usize> = 0x66..0x68;
    const NOPS: [u8; 2] = [0x90, 0x90];
    if image.len() != SECTOR {
        return None;
    }
    let mut code: [u8; BOOT_CODE] = image.get(..BOOT_CODE)?.try_into().ok()?;
    code.get_mut(DRIVE_CHECK)?.copy_from_slice(&NOPS);
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_code_is_440_bytes_without_the_drive_check() {
        let mut image = [0xcc; 512];
        image[0x66..0x68].copy_from_slice(&[0xeb, 0x05]);
        let code = boot_code(&image).unwrap();
        assert_eq!(code[0x65..0x69], [0xcc, 0x90, 0x90, 0xcc]);
        assert_eq!(boot_code(&image[..511]), None);
    }
}
