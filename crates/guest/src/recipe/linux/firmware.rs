//! UEFI's fallback boot loader: the target's firmware knows no boot entries of the guest's, and looks for this one.

use super::{Conversion, during};
use crate::fs::{FileKind, GuestFs, Result};
use crate::recipe::RecipeError;
use profile::FirmwareKind;

const STEP: &str = "provide UEFI's fallback boot loader";
const LOADERS: &str = "/boot/efi/EFI";
const FALLBACK: &str = "/boot/efi/EFI/BOOT/BOOTX64.EFI";
/// Boot loaders that can stand in, the preferred one first, with what they load from beside themselves.
const CANDIDATES: &[(&str, &[&str])] =
    &[("shimx64.efi", &["grubx64.efi", "mmx64.efi"]), ("grubx64.efi", &[])];
/// No boot loader is larger, in bytes.
const MAX_LOADER: u64 = 64 << 20;

/// Copies the distribution's boot loader to where UEFI looks for one when it knows no other (UEFI Specification 2.10,
/// section 3.5.1.1), unless something is there.
pub(super) fn provide_fallback(conversion: &mut Conversion<'_>) -> std::result::Result<(), RecipeError> {
    if conversion.target.firmware == FirmwareKind::Bios
        || conversion.mounter.tree().exists(FALLBACK).map_err(during(STEP))?
    {
        return Ok(());
    }
    let Some(copies) = find(conversion.mounter.tree()).map_err(during(STEP))? else { return Ok(()) };
    for (from, to) in copies {
        let bytes = conversion.mounter.tree().read(&from, MAX_LOADER).map_err(during(STEP))?;
        conversion.editor().put(&to, &bytes, 0o644).map_err(during(STEP))?;
        conversion.note(format!("{to} is a copy of {from}: UEFI without boot entries starts it"));
    }
    Ok(())
}

/// What is to be copied where.
fn find(tree: &mut dyn GuestFs) -> Result<Option<Vec<(String, String)>>> {
    if !tree.exists(LOADERS)? {
        return Ok(None);
    }
    let directories = tree.list(LOADERS)?.into_iter().filter(|entry| entry.kind == FileKind::Directory);
    let mut directories: Vec<_> =
        directories.map(|entry| entry.name).filter(|name| !name.eq_ignore_ascii_case("BOOT")).collect();
    directories.sort();
    for (loader, companions) in CANDIDATES {
        for directory in &directories {
            let main = format!("{LOADERS}/{directory}/{loader}");
            if !tree.exists(&main)? {
                continue;
            }
            let mut copies = vec![(main, FALLBACK.to_string())];
            for companion in *companions {
                let from = format!("{LOADERS}/{directory}/{companion}");
                let to = format!("{LOADERS}/BOOT/{companion}");
                if tree.exists(&from)? && !tree.exists(&to)? {
                    copies.push((from, to));
                }
            }
            return Ok(Some(copies));
        }
    }
    Ok(None)
}
