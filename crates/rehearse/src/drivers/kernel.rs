//! A kernel's drivers: where each is, and what makes it be loaded. [`KernelFiles`]

use super::boot_entry::{self, BootEntry};
use super::initramfs::{self, Image};
use super::{CheckedDriver, DriverPlace};
use guest::fs::{FsError, GuestFs};
use guest::initramfs::modules::{ModuleTree, Texts};
use guest::inspect::{Inspection, Kernel};
use profile::NeededModule;

/// The most bytes of one of a kernel's `modules.*` files, and of an initramfs.
const MAX_INDEX: u64 = 64 << 20;
const MAX_INITRAMFS: u64 = 1 << 30;

/// What the check has to know of a kernel.
pub(super) struct KernelFiles {
    version: String,
    tree: ModuleTree,
    /// `modules.builtin.modinfo`: aliases of what is part of the kernel, as `module.alias=pattern`.
    builtin_aliases: ModuleTree,
    /// Where the initramfs is.
    pub(super) path: Option<String>,
    /// The initramfs, or why it cannot be read.
    image: Option<Result<Image, String>>,
}

/// The initramfs that the boot loader names, in the directory of the one that was found for the kernel; else that one.
fn initramfs_path(kernel: Option<&Kernel>, entry: &BootEntry) -> Option<String> {
    let found = kernel.and_then(|kernel| kernel.initramfs.as_ref()).map(|image| image.path.as_str());
    let directory = found.and_then(|path| path.rsplit_once('/')).map_or("/boot", |(directory, _)| directory);
    let named = entry.initramfs.as_ref().map(|name| format!("{directory}/{name}"));
    named.or(found.map(Into::into))
}

/// A line of `modules.alias` from an entry of `modules.builtin.modinfo`.
fn builtin_alias(entry: &str) -> Option<String> {
    let (module, pattern) = entry.split_once(".alias=")?;
    Some(format!("alias {pattern} {module}\n"))
}

impl KernelFiles {
    /// Reads what there is of the kernel that `entry` starts.
    ///
    /// # Errors
    /// When the guest's files cannot be read.
    pub(super) fn read(
        fs: &mut dyn GuestFs,
        inspection: &Inspection,
        entry: &BootEntry,
    ) -> Result<Self, FsError> {
        let version = entry.version.clone();
        let mut text =
            |name: &str| boot_entry::read_up_to(fs, &format!("/lib/modules/{version}/{name}"), MAX_INDEX);
        let (dep, builtin) = (text("modules.dep")?, text("modules.builtin")?);
        let (alias, information) = (text("modules.alias")?, text("modules.builtin.modinfo")?);
        let builtin_aliases: String = information.split('\0').filter_map(builtin_alias).collect();
        let parse = |dep: &str, builtin: &str, alias: &str| {
            ModuleTree::parse(Texts { dep, builtin, alias, softdep: "" })
        };
        let known = inspection.kernels.iter().find(|kernel| kernel.version == version);
        let path = initramfs_path(known, entry);
        let image = match &path {
            None => None,
            Some(path) => match fs.read(path, MAX_INITRAMFS) {
                Ok(bytes) => Some(Image::read(&bytes, &version).map_err(|error| error.to_string())),
                Err(error) => Some(Err(error.to_string())),
            },
        };
        Ok(Self {
            tree: parse(&dep, &builtin, &alias),
            builtin_aliases: parse("", "", &builtin_aliases),
            version,
            path,
            image,
        })
    }

    /// The driver of a disk.
    pub(super) fn for_disk(&self, needed: NeededModule<'_>) -> CheckedDriver {
        let NeededModule { module, modalias } = needed;
        if self.tree.is_builtin(module) {
            return self.builtin(needed);
        }
        let driver = |place, alias: Option<&str>, listed_in: Option<&str>, problem| CheckedDriver {
            module: module.into(),
            modalias: modalias.into(),
            place,
            alias: alias.map(Into::into),
            listed_in: listed_in.map(Into::into),
            problem,
        };
        let path = self.path.as_deref().unwrap_or_default();
        let image = match &self.image {
            Some(Ok(image)) if image.has(module) => image,
            outside => {
                let (place, problem) = match (self.tree.has(module), outside) {
                    (false, _) => {
                        (DriverPlace::Missing, format!("the kernel {} has no {module}", self.version))
                    }
                    (true, None) => {
                        (DriverPlace::Modules, format!("{module} is a module, and there is no initramfs"))
                    }
                    (true, Some(Ok(_))) => (DriverPlace::Modules, format!("{module} is not in {path}")),
                    (true, Some(Err(error))) => (DriverPlace::Modules, format!("{path}: {error}")),
                };
                return driver(place, None, None, Some(problem));
            }
        };
        let (alias, listed_in) = (image.alias(module, modalias), image.listed_in(module));
        let lacks = self.tree.closure([module]).into_iter().find(|other| !image.has(other));
        let problem = match lacks {
            Some(other) => Some(format!("{module} needs {other}, which is not in {path}")),
            None if alias.is_none() && listed_in.is_none() => Some(format!(
                "{module} is in {path}, but no alias there stands for {modalias}, and no list names it"
            )),
            None => None,
        };
        driver(DriverPlace::Initramfs, alias, listed_in, problem)
    }

    /// The driver of a network card.
    pub(super) fn for_nic(&self, needed: NeededModule<'_>) -> CheckedDriver {
        let NeededModule { module, modalias } = needed;
        if self.tree.is_builtin(module) {
            return self.builtin(needed);
        }
        let alias = initramfs::alias(&self.tree, module, modalias);
        let (place, problem) = match (self.tree.has(module), alias) {
            (false, _) => {
                (DriverPlace::Missing, Some(format!("the kernel {} has no {module}", self.version)))
            }
            (true, None) => {
                let problem = format!("{module} is there, but none of its aliases stands for {modalias}");
                (DriverPlace::Modules, Some(problem))
            }
            (true, Some(_)) => (DriverPlace::Modules, None),
        };
        CheckedDriver {
            module: module.into(),
            modalias: modalias.into(),
            place,
            alias: alias.map(Into::into),
            listed_in: None,
            problem,
        }
    }

    /// A driver that is part of the kernel needs no alias; kernels before 5.2 do not even list those.
    fn builtin(&self, needed: NeededModule<'_>) -> CheckedDriver {
        let NeededModule { module, modalias } = needed;
        CheckedDriver {
            module: module.into(),
            modalias: modalias.into(),
            place: DriverPlace::Builtin,
            alias: initramfs::alias(&self.builtin_aliases, module, modalias).map(Into::into),
            listed_in: None,
            problem: None,
        }
    }
}
