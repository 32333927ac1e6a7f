//! Where a guest's configuration names disks, and what becomes of names that the target changes.

use super::names::{Names, Place, Replaced, Spelling};
use super::paths::expand;
use super::{Conversion, during, grub_environment, lvm};
use crate::initramfs::Contents;
use crate::initramfs::cpio::Entry;
use crate::initramfs::flavour::Flavour;
use crate::inspect::{InitramfsFacts, read_text};
use crate::recipe::RecipeError;

const STEP: &str = "replace names of disks that change";

/// Files in which names of disks stand, and where. One `*` in a name stands for any.
const FILES: &[(&str, Place)] = &[
    ("/etc/fstab", Place::Field(0)),
    ("/etc/crypttab", Place::Crypttab),
    ("/etc/mdadm.conf", Place::Members),
    ("/etc/mdadm/mdadm.conf", Place::Members),
    ("/etc/lvm/lvm.conf", Place::Filters),
    ("/etc/lvm/lvmlocal.conf", Place::Filters),
    ("/etc/initramfs-tools/conf.d/resume", Place::Value),
    ("/etc/default/grub", Place::Value),
    ("/etc/default/grub.d/*.cfg", Place::Value),
    ("/etc/kernel/cmdline", Place::Value),
    ("/etc/sysconfig/bootloader", Place::Value),
    ("/etc/update-extlinux.conf", Place::Value),
    ("/etc/dracut.conf", Place::Value),
    ("/etc/dracut.conf.d/*.conf", Place::Value),
    ("/boot/grub/grub.cfg", Place::Value),
    ("/boot/grub2/grub.cfg", Place::Value),
    ("/boot/efi/EFI/*/grub.cfg", Place::Value),
    ("/boot/grub/grub.conf", Place::Value),
    ("/boot/grub/menu.lst", Place::Value),
    ("/boot/efi/EFI/*/grub.conf", Place::Value),
    ("/boot/grub/grubenv", Place::Value),
    ("/boot/grub2/grubenv", Place::Value),
    ("/boot/efi/EFI/*/grubenv", Place::Value),
    ("/boot/loader/entries/*.conf", Place::Value),
    ("/boot/efi/loader/entries/*.conf", Place::Value),
    ("/efi/loader/entries/*.conf", Place::Value),
    ("/boot/extlinux/extlinux.conf", Place::Value),
    ("/boot/extlinux.conf", Place::Value),
    ("/boot/syslinux/syslinux.cfg", Place::Value),
    ("/boot/grub/device.map", Place::DeviceMap),
    ("/boot/grub2/device.map", Place::DeviceMap),
];

/// The same inside an initramfs: its flavour, the start and the end of a path, and where names stand.
const INSIDE: &[(Flavour, &str, &str, Place)] = &[
    // `conf.d/cryptroot` up to Debian 9, the table itself since.
    (Flavour::InitramfsTools, "conf/conf.d/", "", Place::Value),
    (Flavour::InitramfsTools, "cryptroot/crypttab", "", Place::Crypttab),
    (Flavour::Dracut, "etc/cmdline", ".conf", Place::Value),
    (Flavour::Dracut, "etc/fstab", "", Place::Field(0)),
    (Flavour::Dracut, "etc/crypttab", "", Place::Crypttab),
    (Flavour::Mkinitcpio, "etc/crypttab", "", Place::Crypttab),
    (Flavour::Dracut, "etc/mdadm.conf", "", Place::Members),
    (Flavour::Dracut, "etc/lvm/lvm", ".conf", Place::Filters),
    (Flavour::InitramfsTools, "etc/lvm/lvm", ".conf", Place::Filters),
    (Flavour::Mkinitrd, "etc/lvm/lvm", ".conf", Place::Filters),
    (Flavour::Nash, "etc/lvm/lvm", ".conf", Place::Filters),
    (Flavour::Mkinitrd, "run_all.sh", "", Place::Value),
    (Flavour::Mkinitrd, "config/", ".sh", Place::Value),
    (Flavour::Nash, "init", "", Place::Argument),
];

/// Replaces names that change by `UUID=` wherever they are configured.
pub(super) fn use_stable_names(conversion: &mut Conversion<'_>) -> Result<(), RecipeError> {
    for (pattern, place) in FILES {
        for path in expand(conversion.mounter.tree(), pattern).map_err(during(STEP))? {
            replace_in_file(conversion, &path, *place)?;
        }
    }
    Ok(())
}

fn replace_in_file(conversion: &mut Conversion<'_>, path: &str, place: Place) -> Result<(), RecipeError> {
    let Some(before) = read_text(conversion.mounter.tree(), path).map_err(during(STEP))? else {
        return Ok(());
    };
    let Replaced { text, unresolved } = conversion.names().replace(&before, place);
    for name in unresolved {
        conversion
            .note(format!("{path} names {name}, which nothing is known of: it may have another name now"));
    }
    let after = match grub_environment::is_one(&before) {
        true => grub_environment::refit(&text, before.len()),
        false => Some(text),
    };
    match after {
        Some(after) => {
            if conversion.editor().replace_text(path, &before, &after).map_err(during(STEP))? {
                conversion.note(format!("{path} names disks in a way that holds on the target"));
                if place == Place::Filters {
                    conversion.undo(format!("sed -i 's/^{}//' {path}", lvm::MARK));
                }
            }
        }
        None => conversion.note(format!("{path} has no room for names that hold on the target")),
    }
    Ok(())
}

/// Whether a file of an initramfs may name disks.
pub(super) fn may_name_disks(path: &str) -> bool {
    INSIDE.iter().any(|(_, start, end, _)| path.starts_with(start) && path.ends_with(end))
}

/// Replaces such names inside an initramfs; answers with the files that changed, and with what people should know.
pub(super) fn replace_inside(
    names: &Names<'_>,
    image: &InitramfsFacts,
    contents: &mut Contents,
) -> (Vec<Entry>, Vec<String>) {
    let mut changed = Vec::new();
    let mut notes = Vec::new();
    for (path, bytes) in &mut contents.files {
        let own = |&&(flavour, start, end, _): &&(Flavour, &str, &str, Place)| {
            flavour == image.flavour && path.starts_with(start) && path.ends_with(end)
        };
        let (Some((.., place)), Ok(text)) = (INSIDE.iter().find(own), std::str::from_utf8(bytes)) else {
            continue;
        };
        let Replaced { text: after, unresolved } = names.replace(text, *place);
        for name in unresolved {
            notes.push(format!(
                "{path} in {} names {name}, which nothing is known of: it may have another name now",
                image.path
            ));
        }
        if after != text {
            *bytes = after.clone().into_bytes();
            changed.push(match place {
                Place::Filters => Entry::file(path, after),
                _ if matches!(image.flavour, Flavour::Mkinitrd | Flavour::Nash) => {
                    Entry::program(path, after)
                }
                _ => Entry::file(path, after),
            });
        }
    }
    changed.extend(lvm::inside(contents));
    (changed, notes)
}

impl<'a> Conversion<'a> {
    /// The names that the target changes, spelt as this guest's programs take them.
    pub(super) fn names(&self) -> Names<'a> {
        let mut images = self.inspection.kernels.iter().filter_map(|kernel| kernel.initramfs.as_ref());
        let spelling = match images.next().map(|image| image.flavour) {
            Some(Flavour::Mkinitrd) => Spelling::Path,
            _ => Spelling::Tag,
        };
        let newest = self.inspection.kernels.first();
        let on_command_lines = match newest.is_some_and(|kernel| kernel.initramfs.is_none()) {
            true => Spelling::Kernel,
            false => spelling,
        };
        Names { inspection: self.inspection, target: self.target, spelling, on_command_lines }
    }
}
