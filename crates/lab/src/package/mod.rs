//! The guest as the hypervisor that it comes from keeps or exports it.

mod hyperv;
mod libvirt;
mod ovf;
mod vmdk;
mod vmx;
mod xl;

use crate::error::Context as _;
use crate::tool::{command, run, say};
use crate::{Recipe, Result};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A way to keep a machine: its description and its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Package {
    /// The disk alone, raw and sparse.
    Raw,
    /// An OVA: streamOptimized VMDK, SHA-256 manifest.
    Ova,
    /// A VMX, beside its monolithicSparse VMDK.
    Vmx,
    /// A domain of libvirt's, beside its qcow2.
    Libvirt,
    /// An export of Hyper-V's: a directory with the configuration and a VHDX.
    HyperV,
    /// A domain of xl's, beside its raw disk.
    Xl,
}

impl Package {
    /// What a reader is given, below the guest's directory.
    pub(crate) fn description(self, recipe: &Recipe) -> PathBuf {
        let name = recipe.machine;
        match self {
            Self::Raw => format!("{name}.raw").into(),
            Self::Ova => format!("{name}.ova").into(),
            Self::Vmx => format!("vmx/{name}.vmx").into(),
            Self::Libvirt => format!("libvirt/{name}.xml").into(),
            Self::HyperV => Path::new("hyperv/Virtual Machines").join(hyperv::file_name(recipe)),
            Self::Xl => format!("xl/{name}.cfg").into(),
        }
    }

    /// The disk, where it is a file of its own, below the guest's directory.
    pub(crate) fn disk(self, recipe: &Recipe) -> Option<PathBuf> {
        let name = recipe.machine;
        match self {
            Self::Raw | Self::Ova => None,
            Self::Vmx => Some(format!("vmx/{name}.vmdk").into()),
            Self::Libvirt => Some(format!("libvirt/{name}.qcow2").into()),
            Self::HyperV => Some(format!("hyperv/Virtual Hard Disks/{name}.vhdx").into()),
            Self::Xl => Some(format!("xl/{name}.img").into()),
        }
    }

    /// Every file, below the guest's directory; the description first.
    pub(crate) fn files(self, recipe: &Recipe) -> Vec<PathBuf> {
        std::iter::once(self.description(recipe)).chain(self.disk(recipe)).collect()
    }
}

/// Packs the raw disk in all the recipe's ways below `directory`, where `scratch` is a directory too. The raw disk is
/// used up.
pub(crate) fn pack(recipe: &Recipe, raw: &Path, scratch: &Path, directory: &Path) -> Result<()> {
    say(format_args!("packing {}", recipe.name));
    let start = Instant::now();
    for package in recipe.packages {
        for path in package.files(recipe).iter().map(|file| directory.join(file)) {
            let parent = path.parent().unwrap_or(directory);
            fs::create_dir_all(parent).context("create", parent)?;
        }
        one(*package, recipe, raw, scratch, directory)?;
    }
    say(format_args!("packed {} in {} s", recipe.name, start.elapsed().as_secs()));
    Ok(())
}

fn one(package: Package, recipe: &Recipe, raw: &Path, scratch: &Path, directory: &Path) -> Result<()> {
    let description = directory.join(package.description(recipe));
    let disk = package.disk(recipe).map(|disk| directory.join(disk)).unwrap_or_default();
    let disk_name = disk.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = match package {
        Package::Raw => return link(raw, &description),
        Package::Ova => {
            let stream = scratch.join("stream.vmdk");
            vmdk::convert(raw, "streamOptimized", &stream)?;
            let populated = fs::metadata(raw).context("read", raw)?.blocks() * 512;
            ovf::package(recipe, &stream, populated, &description)?;
            return fs::remove_file(&stream).context("remove", &stream);
        }
        Package::Vmx => {
            vmdk::convert(raw, "monolithicSparse", &disk)?;
            vmx::configuration(recipe, &disk_name)
        }
        Package::Libvirt => {
            convert(raw, "qcow2", &disk)?;
            libvirt::domain(recipe, &disk_name)
        }
        Package::HyperV => {
            convert(raw, "vhdx", &disk)?;
            hyperv::configuration(recipe, &disk_name)
        }
        Package::Xl => {
            link(raw, &disk)?;
            xl::configuration(recipe, &disk_name)
        }
    };
    fs::write(&description, text).context("write", &description)
}

/// By `qemu-img`: the lab must not use the project's own writers for what the project's readers are tested with.
fn convert(raw: &Path, format: &str, image: &Path) -> Result<()> {
    run(command("qemu-img").args(["convert", "-f", "raw", "-O", format]).arg(raw).arg(image)).map(drop)
}

fn link(raw: &Path, path: &Path) -> Result<()> {
    fs::hard_link(raw, path).context("link", path)
}
