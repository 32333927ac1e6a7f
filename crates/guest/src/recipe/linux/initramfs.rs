//! The target's drivers in every initramfs.

use super::{Conversion, devices, during};
use crate::initramfs;
use crate::initramfs::cpio::Entry;
use crate::initramfs::drivers::{self, Packing, Request};
use crate::initramfs::flavour::Flavour;
use crate::initramfs::modules::{is_module, name_of};
use crate::inspect::MAX_INITRAMFS;
use crate::inspect::{Driver, InitramfsFacts, Kernel, build_option, module_tree};
use crate::recipe::{ConvertedKernel, RecipeError};

const STEP: &str = "add drivers to the initramfs";
/// No module file is larger, in bytes.
const MAX_MODULE: u64 = 64 << 20;

/// Appends the drivers for the target's disks to the initramfs of every kernel that has them.
pub(super) fn add_drivers(conversion: &mut Conversion<'_>) -> Result<(), RecipeError> {
    let load = wanted(conversion)?;
    let inspection = conversion.inspection;
    for (index, kernel) in inspection.kernels.iter().enumerate() {
        let missing = kernel.lacks(&load);
        if !missing.is_empty() && index > 0 {
            conversion.note(format!(
                "kernel {} has no {} and will not start",
                kernel.version,
                missing.join(", ")
            ));
            continue;
        }
        let is_known = |image: &&InitramfsFacts| image.flavour.facts().is_some();
        match kernel.initramfs.as_ref().filter(is_known) {
            Some(image) => {
                let load = [load.as_slice(), &for_stand_ins(conversion, kernel)].concat();
                extend(conversion, kernel, image, &load)?;
            }
            // What is built in is there without an initramfs.
            None if load.iter().all(|name| kernel.drivers.get(name) == Some(&Driver::Builtin)) => {}
            _ if index > 0 => {
                conversion.note(format!("kernel {} has no initramfs to extend", kernel.version))
            }
            _ => return Err(RecipeError::NoInitramfs { version: kernel.version.clone() }),
        }
    }
    Ok(())
}

/// The modules for every bus that a disk of the target hangs on, in the order in which they are loaded.
pub(super) fn wanted(conversion: &Conversion<'_>) -> Result<Vec<String>, RecipeError> {
    let profile = conversion.target.profile;
    let mut load: Vec<String> = Vec::new();
    for &bus in &conversion.target.disk_buses {
        let hardware = profile
            .disk_hardware(bus)
            .ok_or_else(|| RecipeError::UnknownBus { profile: profile.id.clone(), bus })?;
        for name in &hardware.linux {
            if !load.contains(name) {
                load.push(name.clone());
            }
        }
    }
    Ok(load)
}

/// The modules for what takes the place of those buses in a rehearsal, as far as the kernel has them: a few hundred KiB that
/// do nothing on the target.
fn for_stand_ins(conversion: &Conversion<'_>, kernel: &Kernel) -> Vec<String> {
    let target = conversion.target;
    let hardware = target.disk_buses.iter().filter_map(|bus| target.profile.disk_hardware(*bus));
    let fallbacks = hardware.filter_map(|hardware| hardware.emulated(target.firmware)?.fallback);
    let modules = fallbacks.flat_map(|fallback| &fallback.linux);
    modules.filter(|module| kernel.lacks([*module]).is_empty()).cloned().collect()
}

fn extend(
    conversion: &mut Conversion<'_>,
    kernel: &Kernel,
    image: &InitramfsFacts,
    load: &[String],
) -> Result<(), RecipeError> {
    let version = kernel.version.as_str();
    let broken = |source| RecipeError::Initramfs { path: image.path.clone(), source: Box::new(source) };
    let Some(flavour) = image.flavour.facts() else { return Ok(()) };
    let has_udev = matches!(image.flavour, Flavour::InitramfsTools | Flavour::Dracut | Flavour::Mkinitcpio);
    let extra = if has_udev { conversion.inside_initramfs.clone() } else { Vec::new() };
    let is_extra = |path: &str| extra.iter().any(|entry| entry.path == path);

    let names = conversion.names();
    let tree = conversion.mounter.tree();
    let modules = module_tree(tree, version).map_err(during(STEP))?;
    let has_gzip = build_option(tree, version, "CONFIG_RD_GZIP").map_err(during(STEP))?;
    let packing = if has_gzip == Some(false) { Packing::Plain } else { Packing::Gzip };
    let bytes = tree.read(&image.path, MAX_INITRAMFS).map_err(during(STEP))?;
    let is_wanted = |path: &str| drivers::is_needed(path) || is_extra(path) || devices::may_name_disks(path);
    let mut contents = initramfs::read(&bytes, is_wanted).map_err(broken)?;
    let (renamed, notes) = devices::replace_inside(&names, image, &mut contents);

    let request = Request { version, tree: &modules, contents: &contents, flavour, load };
    let mut fetch = |path: &str| tree.read(&format!("/lib/modules/{version}/{path}"), MAX_MODULE);
    let mut entries = drivers::segment(&request, &mut fetch).map_err(broken)?.unwrap_or_default();
    notes.into_iter().for_each(|note| conversion.note(note));
    // What loads the drivers may be a file that names disks as well: it is then among the entries already.
    entries.extend(
        renamed
            .into_iter()
            .filter(|new| !entries.iter().any(|entry| entry.path == new.path))
            .collect::<Vec<_>>(),
    );
    let differs = |entry: &&Entry| contents.files.get(&entry.path) != entry.contents.as_ref();
    let new: Vec<Entry> = extra.iter().filter(differs).cloned().collect();
    if !new.is_empty() {
        entries.extend(drivers::with_directories(new, &contents));
    }
    if entries.is_empty() {
        return Ok(());
    }
    let size = bytes.len();
    let extended = drivers::append(bytes, &contents, &entries, packing);
    store(conversion, image, &extended)?;
    let added = entries.iter().filter(|entry| is_module(&entry.path)).map(|entry| name_of(&entry.path));
    let kernel = ConvertedKernel {
        version: version.into(),
        initramfs: image.path.clone(),
        modules: added.collect(),
        bytes: extended.len().saturating_sub(size) as u64,
    };
    conversion.note(format!("{} got {}", kernel.initramfs, describe(&kernel)));
    conversion.converted.kernels.push(kernel);
    Ok(())
}

fn describe(kernel: &ConvertedKernel) -> String {
    match kernel.modules.as_slice() {
        [] => format!("a new configuration ({} bytes)", kernel.bytes),
        modules => format!("the drivers {} ({} KiB)", modules.join(", "), kernel.bytes.div_ceil(1024)),
    }
}

/// Writes the initramfs, and keeps the original beside it under a name that neither `update-grub` nor
/// `update-initramfs` takes for one of theirs: both look for names that start with `initrd`.
fn store(
    conversion: &mut Conversion<'_>,
    image: &InitramfsFacts,
    extended: &[u8],
) -> Result<(), RecipeError> {
    let (directory, name) = image.path.rsplit_once('/').unwrap_or(("", image.path.as_str()));
    let original = format!("{directory}/.{name}.anyvisor-orig");
    conversion.editor().replace_keeping(&image.path, &original, extended).map_err(during(STEP))?;
    conversion.undo(format!("mv {original} {}", image.path));
    Ok(())
}

/// Notes a file that every initramfs has to have.
pub(super) fn carry(conversion: &mut Conversion<'_>, path: &str, contents: &str) {
    conversion.inside_initramfs.push(Entry::file(path.trim_start_matches('/'), contents));
}
