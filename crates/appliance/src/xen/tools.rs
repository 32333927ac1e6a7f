//! The part of the first domain's initial RAM file system that is the same for every guest: Xen's tools, busybox, their
//! libraries, and kernel modules.

use super::libraries;
use crate::cpio::Archive;
use crate::modules::Module;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Modules: Xen's devices for the tools; the backends; the machine's disks, cards and console; the bridge.
pub(super) const MODULES: &[&str] = &[
    "xen_evtchn",
    "xen_gntdev",
    "xen_gntalloc",
    "xen_privcmd",
    "xenfs",
    "xen_blkback",
    "xen_netback",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_console",
    "bridge",
];
/// Xen's programs, in a directory that its version names.
const XEN_PROGRAMS: &[&str] = &["xl", "xenstored", "xenconsoled", "xen-init-dom0"];
/// Other programs, and where packages put them.
const PROGRAMS: &[(&str, &[&str])] =
    &[("xenstore", &["usr/bin/xenstore"]), ("busybox", &["bin/busybox", "usr/bin/busybox"])];

/// The hypervisor in an unpacked tree of packages, the newest by name.
pub(super) fn hypervisor(root: &Path) -> Option<PathBuf> {
    let is_image = |name: &str| name.starts_with("xen-") && name.ends_with(".gz");
    newest(&root.join("boot"), is_image)
}

/// Writes the archive; answers with a reason when the packages lack something.
pub(super) fn write(to: impl Write, root: &Path, modules: &[Module]) -> Result<(), String> {
    let mut programs = Vec::new();
    for (name, path) in paths(root)? {
        let contents = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        programs.push((name, contents));
    }
    let images: Vec<Vec<u8>> = programs.iter().map(|(_, contents)| contents.clone()).collect();
    let mut directories = vec![root.join("lib/x86_64-linux-gnu"), root.join("usr/lib/x86_64-linux-gnu")];
    directories.extend(xen_directory(root).map(|directory| directory.join("lib/x86_64-linux-gnu")));
    let libraries = libraries::closure(&images, &directories)
        .map_err(|name| format!("the packages lack the library {name}"))?;
    let written = || -> std::io::Result<()> {
        let mut archive = Archive::new(to);
        for directory in ["bin", "dev", "lib", "lib64", "modules"] {
            archive.directory(directory)?;
        }
        archive.device("dev/console", 5, 1)?;
        for (name, contents) in &programs {
            archive.file(&format!("bin/{name}"), 0o755, contents)?;
        }
        for (name, contents) in &libraries {
            // The loader is looked for in lib64, the rest in lib.
            let directory = if name.starts_with("ld-") { "lib64" } else { "lib" };
            archive.file(&format!("{directory}/{name}"), 0o755, contents)?;
        }
        for module in modules {
            archive.file(&format!("modules/{}.ko", module.name), 0o644, &module.contents)?;
        }
        let order: String = modules.iter().map(|module| format!("{}\n", module.name)).collect();
        archive.file("modules/order", 0o644, order.as_bytes())?;
        archive.finish().map(|_| ())
    };
    written().map_err(|error| error.to_string())
}

fn paths(root: &Path) -> Result<Vec<(&'static str, PathBuf)>, String> {
    let xen = xen_directory(root).ok_or("the packages lack Xen's tools")?;
    let mut paths: Vec<_> = XEN_PROGRAMS.iter().map(|name| (*name, xen.join("bin").join(name))).collect();
    for (name, places) in PROGRAMS {
        let place = places.iter().map(|place| root.join(place)).find(|path| path.is_file());
        paths.push((*name, place.ok_or_else(|| format!("the packages lack {name}"))?));
    }
    Ok(paths)
}

/// `usr/lib/xen-4.17`.
fn xen_directory(root: &Path) -> Option<PathBuf> {
    newest(&root.join("usr/lib"), |name| name.starts_with("xen-") && name != "xen-common")
}

fn newest(directory: &Path, is_it: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let mut paths = crate::kernel::entries(directory);
    paths.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&is_it));
    paths.into_iter().max()
}
