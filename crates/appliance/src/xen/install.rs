//! Fetching Xen with the host's package tools, as an ordinary user.

use super::{DIRECTORY, Host, tools};
use crate::decompress::decompress;
use crate::error::{Error, Result};
use crate::kernel::{Kernel, image, install::is_kernel, newest};
use crate::packages;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// Depends on the current hypervisor and its tools.
const XEN: &str = "xen-system-amd64";
/// What the first domain needs besides.
const PROGRAMS: &[&str] = &["busybox-static", "xenstore-utils", "libgcc-s1"];
/// Packages that depend on a current kernel that can be the first domain's: Debian's, then Ubuntu's. The kernels for
/// virtual machines cannot.
const KERNELS: &[&str] = &["linux-image-amd64", "linux-image-generic"];
/// More packages than there are.
const MOST: usize = 64;

/// Fetches Xen and what its first domain is made of into the user's cache, where [`locate`](super::locate) finds them; some
/// 90 MiB come over the network, and as many are kept.
///
/// # Errors
/// [`Error::XenNotFetched`] where there is no apt, or when it fails, with its words; [`Error::NoModule`] when the kernel
/// cannot be the first domain's; [`Error::Io`].
pub fn install() -> Result<Host> {
    let fetched = packages::fetch(wanted()?, failed)?;
    let made = fetched.work.path().join(DIRECTORY);
    std::fs::create_dir(&made).map_err(Error::io("create", &made))?;
    make(&fetched.root, &made)?;
    let place = fetched.cache.join(DIRECTORY);
    if place.exists() {
        let old = fetched.work.path().join("old");
        std::fs::rename(&place, old).map_err(Error::io("replace", &place))?;
    }
    std::fs::rename(&made, &place).map_err(Error::io("create", &place))?;
    super::locate()
}

/// The packages: the hypervisor, its tools, the libraries of both, and a kernel.
fn wanted() -> Result<BTreeSet<String>> {
    let is_xen = |name: &str| name.starts_with("xen-hypervisor-") || name.starts_with("xen-utils-");
    let mut first =
        packages::dependencies(XEN, is_xen).ok_or_else(|| failed(packages::explain_unknown(XEN)))?;
    first.extend(PROGRAMS.iter().map(|name| (*name).to_string()));
    let is_library = |name: &str| name.starts_with("lib") || name.starts_with("zlib");
    let mut wanted = packages::closure(&first, is_library, MOST);
    let kernel = KERNELS.iter().find_map(|name| packages::dependencies(name, is_kernel));
    let kernel = kernel.ok_or_else(|| failed(packages::explain_unknown("linux-image")))?;
    wanted.extend(packages::closure(&kernel, is_kernel, MOST));
    Ok(wanted)
}

/// Makes what is kept out of what was unpacked.
fn make(root: &Path, into: &Path) -> Result<()> {
    let host = Host::in_directory(into);
    let packed = tools::hypervisor(root).ok_or_else(|| failed("the packages hold no hypervisor"))?;
    let image = std::fs::read(&packed).map_err(Error::io("read", &packed))?;
    let image = match decompress(&image) {
        Some(Ok(elf)) => elf,
        _ => return Err(failed("the hypervisor's image cannot be decompressed")),
    };
    std::fs::write(&host.hypervisor, image).map_err(Error::io("write", &host.hypervisor))?;
    let mut unusable = Vec::new();
    let kernel = newest(root, &mut unusable)
        .ok_or_else(|| failed(format!("the packages hold no kernel ({})", unusable.join("; "))))?;
    let elf = image::elf(&kernel.image)?
        .ok_or_else(|| failed(format!("Linux {} cannot be a domain's", kernel.version)))?;
    std::fs::write(&host.kernel, elf).map_err(Error::io("write", &host.kernel))?;
    write_tools(&host.tools, root, &kernel)
}

fn write_tools(path: &Path, root: &Path, kernel: &Kernel) -> Result<()> {
    let modules = kernel.modules()?.closure(tools::MODULES)?;
    let file = File::create(path).map_err(Error::io("create", path))?;
    tools::write(BufWriter::new(file), root, &modules).map_err(failed)
}

fn failed(reason: impl Into<String>) -> Error {
    Error::XenNotFetched { reason: reason.into() }
}
