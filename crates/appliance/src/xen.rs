//! A real Xen in a micro VM: [`locate`] finds the hypervisor and what its first domain is made of, [`install`] fetches
//! them, and [`Host::machine`] is the machine in which a guest is a domain.
//!
//! The machine has no disk of its own. Xen is started by the Multiboot Specification, with two modules: a Linux kernel
//! that can be the first domain, and an initial RAM file system with Xen's tools, the few kernel modules that they and
//! the backends need, and [an init](self) of one page that makes one domain of the guest's kernel, disks and cards and
//! passes its console on. The domain is paravirtual (PV): that needs no virtualization from the machine's processor, so
//! it is the same under KVM and under QEMU's translator.

mod domain;
mod install;
mod libraries;
mod tools;

pub use domain::{CONSOLE, Card, Domain, DomainDisk, HOST, STARTED, hypervisor_version};
pub use install::install;

use crate::decompress::decompress;
use crate::elf;
use crate::error::{Error, Result};
use crate::kernel::{cache, image};
use std::path::{Path, PathBuf};

/// Below the cache. The name changes when what is kept there does.
const DIRECTORY: &str = "xen-1";

/// Xen, and what its first domain is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The hypervisor, an ELF image.
    pub hypervisor: PathBuf,
    /// The first domain's kernel, an ELF image.
    pub kernel: PathBuf,
    /// A part of its initial RAM file system: programs, libraries, modules.
    pub tools: PathBuf,
}

impl Host {
    fn in_directory(directory: &Path) -> Self {
        let file = |name: &str| directory.join(name);
        Self { hypervisor: file("xen"), kernel: file("vmlinux"), tools: file("tools.cpio") }
    }

    fn is_whole(&self) -> bool {
        [&self.hypervisor, &self.kernel, &self.tools].iter().all(|file| file.is_file())
    }
}

/// Finds what [`install`] fetched.
///
/// # Errors
/// [`Error::NoXen`], which says how to come by it.
pub fn locate() -> Result<Host> {
    let host = cache::directory().map(|directory| Host::in_directory(&directory.join(DIRECTORY)));
    host.filter(Host::is_whole).ok_or(Error::NoXen)
}

/// A kernel's image in the form that Xen's domain builder reads soonest, its ELF image: decompressed here, which takes an
/// emulated processor as long as a boot. What is packed in a way that is not known here stays as it is.
pub fn startable(image: Vec<u8>) -> Vec<u8> {
    let unpacked = image::unpacked(&image).or_else(|| decompress(&image));
    match unpacked {
        Some(Ok(elf)) => elf,
        _ => image,
    }
}

/// Whether a kernel's image can be a paravirtual domain's, by the note in its ELF image; `None` when it is none.
pub fn is_paravirtual(image: &[u8]) -> Option<bool> {
    image.starts_with(b"\x7fELF").then(|| elf::has_xen_note(image, elf::PV_ENTRY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_says_whether_it_can_be_paravirtual() {
        assert_eq!(is_paravirtual(&elf::tests::elf_with_note(elf::PV_ENTRY)), Some(true));
        assert_eq!(is_paravirtual(&elf::tests::elf_with_note(elf::PHYS32_ENTRY)), Some(false));
        assert_eq!(is_paravirtual(b"MZ"), None);
    }

    #[test]
    fn a_kernel_is_decompressed_where_that_is_possible() {
        let packed = zstd::encode_all(&b"\x7fELF and more"[..], 1).unwrap();
        let bzimage = image::tests::bzimage("6.1.0", &packed);
        assert_eq!(startable(bzimage), b"\x7fELF and more");
        assert_eq!(startable(b"MZ".to_vec()), b"MZ");
    }

    #[test]
    fn half_a_host_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::in_directory(directory.path());
        std::fs::write(&host.hypervisor, b"").unwrap();
        std::fs::write(&host.kernel, b"").unwrap();
        assert!(!host.is_whole());
        std::fs::write(&host.tools, b"").unwrap();
        assert!(host.is_whole());
    }
}
