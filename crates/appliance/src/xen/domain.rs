//! A guest as a domain of Xen: [`Domain`], and the machine for it.

use super::Host;
use crate::cpio::Archive;
use crate::error::{Error, Result};
use machine::MacAddress;
use qemu::{Accelerator, Backend, Boot, Module, Nic, Port, PortDevice, PortEnd, Vm};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

const INIT: &[u8] = include_bytes!("init.sh");
const BLOCK: &[u8] = include_bytes!("block.sh");
const VIF: &[u8] = include_bytes!("vif.sh");

/// The machine's port with the domain's console.
pub const CONSOLE: &str = "console";
/// The machine's port with what Xen and its first domain say.
pub const HOST: &str = "host";
/// What stands on [`HOST`] once the domain runs.
pub const STARTED: &str = "domain started";

/// The first domain's memory in MiB: the guest's kernel and initramfs lie in it, once packed and once unpacked.
const FIRST_MEMORY: u64 = 512;
/// What Xen takes for itself, in MiB.
const XEN_MEMORY: u64 = 192;
/// Quiet, since every line goes byte by byte through a serial port; a fault ends the machine. See the module
/// [`boot`](crate::boot) for the rest.
const FIRST_COMMAND_LINE: &str = "console=hvc0 quiet panic=-1 oops=panic rdinit=/init mitigations=off \
    cryptomgr.notests random.trust_cpu=on audit=0 selinux=0 apparmor=0";
/// QEMU's translator does not keep a domain's floating-point registers where Xen restores them lazily or by XSAVE: programs
/// of both domains then crash at random. So they are always restored, and without XSAVE there; and without AVX, which needs
/// it: a paravirtual domain's programs see the processor's own CPUID, and cksum(1) believes it without a further look.
const TRANSLATOR_LACKS: &[&str] = &["xsave", "avx"];
const XEN_COMMAND_LINE: &str =
    "console=com1 com1=115200 loglvl=warning dom0_max_vcpus=1 spec-ctrl=eager-fpu bootscrub=0";

/// A guest that is to be a domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    /// Its memory in MiB.
    pub memory_mib: u64,
    /// Its virtual processors.
    pub cpus: u32,
    /// Its kernel.
    pub kernel: Backend,
    /// Its initial RAM file system.
    pub initramfs: Option<Backend>,
    /// Its kernel's command line.
    pub command_line: String,
    /// Its disks.
    pub disks: Vec<DomainDisk>,
    /// Its network cards.
    pub cards: Vec<Card>,
}

/// A disk of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainDisk {
    /// Its name, as xen-vbd-interface(7) has it and Linux too: `xvda`.
    pub name: String,
    /// Where its contents are.
    pub backend: Backend,
    /// Whether the domain may only read it.
    pub read_only: bool,
}

/// A network card of a domain, in a network of its own that leads nowhere but has a DHCP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its hardware address; Xen makes one up when there is none.
    pub mac: Option<MacAddress>,
}

impl Host {
    /// The machine in which Xen makes this domain. What is written for it goes into `directory`, and has to stay there
    /// while it runs. [`CONSOLE`] and [`HOST`] are recorded.
    ///
    /// # Errors
    /// [`Error::Io`] when that cannot be written.
    pub fn machine(&self, domain: &Domain, accelerator: Accelerator, directory: &Path) -> Result<Vm> {
        let initramfs = directory.join("xen.initramfs");
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&initramfs)?;
            std::io::copy(&mut File::open(&self.tools)?, &mut file)?;
            let mut file = BufWriter::new(file);
            archive(&mut file, domain)?;
            file.flush()
        };
        write().map_err(Error::io("write", &initramfs))?;
        let mut vm = Vm::new("pc", accelerator);
        vm.cpus = 2;
        vm.memory_mib = domain.memory_mib + FIRST_MEMORY + XEN_MEMORY;
        if accelerator == Accelerator::Tcg {
            vm.withheld = TRANSLATOR_LACKS.iter().map(|feature| (*feature).to_string()).collect();
        }
        let module = |file: &Path, command_line: &str| Module {
            file: file.to_path_buf(),
            command_line: command_line.to_string(),
        };
        vm.boot = Boot::Multiboot {
            image: self.hypervisor.clone(),
            command_line: format!("{XEN_COMMAND_LINE} dom0_mem={FIRST_MEMORY}M,max:{FIRST_MEMORY}M"),
            modules: vec![module(&self.kernel, FIRST_COMMAND_LINE), module(&initramfs, "")],
        };
        let boot_files = [("kernel", Some(&domain.kernel)), ("initramfs", domain.initramfs.as_ref())];
        for (name, backend) in boot_files {
            vm.disks.extend(backend.map(|backend| disk(name, backend, true)));
        }
        vm.disks.extend(domain.disks.iter().map(|it| disk(&it.name, &it.backend, it.read_only)));
        vm.nics = domain.cards.iter().map(|_| Nic { device: "virtio-net-pci".into(), mac: None }).collect();
        vm.ports = vec![
            Port::console(HOST),
            Port {
                name: CONSOLE.into(),
                device: PortDevice::Virtio { name: CONSOLE.into() },
                end: PortEnd::Record,
            },
        ];
        Ok(vm)
    }
}

fn disk(name: &str, backend: &Backend, read_only: bool) -> qemu::Disk {
    let mut disk = qemu::Disk::new("virtio-blk-pci", backend.clone());
    disk.serial = Some(name.to_string());
    disk.read_only = read_only;
    disk
}

/// The part of the initial RAM file system that is this guest's: init, the scripts that libxl calls, and the domain.
fn archive(to: impl Write, domain: &Domain) -> std::io::Result<u64> {
    let mut archive = Archive::new(to);
    for directory in ["etc", "etc/xen", "etc/xen/scripts"] {
        archive.directory(directory)?;
    }
    archive.file("init", 0o755, INIT)?;
    archive.file("etc/xen/xl.conf", 0o644, b"")?;
    archive.file("etc/xen/scripts/block", 0o755, BLOCK)?;
    archive.file("etc/xen/scripts/vif-bridge", 0o755, VIF)?;
    archive.file("domain.cfg", 0o644, configuration(domain).as_bytes())?;
    archive.finish()
}

/// The domain as xl.cfg(5) describes one.
fn configuration(domain: &Domain) -> String {
    let disk = |disk: &DomainDisk| {
        let access = if disk.read_only { "r" } else { "w" };
        quoted(&format!("phy:/dev/guest/{0},{0},{access}", disk.name))
    };
    let card = |(index, card): (usize, &Card)| {
        let mac = card.mac.map(|mac| format!(",mac={mac}")).unwrap_or_default();
        quoted(&format!("bridge=xenbr{index}{mac}"))
    };
    let disks: Vec<String> = domain.disks.iter().map(disk).collect();
    let cards: Vec<String> = domain.cards.iter().enumerate().map(card).collect();
    let initramfs = if domain.initramfs.is_some() { "ramdisk = \"/run/initramfs\"\n" } else { "" };
    format!(
        "name = \"guest\"\ntype = \"pv\"\nmemory = {}\nvcpus = {}\nkernel = \"/run/kernel\"\n{initramfs}\
         extra = {}\ndisk = [ {} ]\nvif = [ {} ]\n\
         on_poweroff = \"destroy\"\non_reboot = \"destroy\"\non_crash = \"destroy\"\n",
        domain.memory_mib,
        domain.cpus,
        quoted(&domain.command_line),
        disks.join(", "),
        cards.join(", "),
    )
}

/// A string of xl.cfg(5): what is no printable ASCII could end it, or the line.
fn quoted(text: &str) -> String {
    let safe = text.chars().filter(|c| c.is_ascii() && !c.is_ascii_control());
    let escaped: String =
        safe.flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c])).collect();
    format!("\"{escaped}\"")
}

/// The hypervisor's version as it states it on [`HOST`]: `4.17.7`.
pub fn hypervisor_version(host: &str) -> Option<&str> {
    let (_, rest) = host.split_once("Xen version ")?;
    let version = rest.split_whitespace().next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
    (version.len() < 40 && version.chars().all(plain)).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain() -> Domain {
        let backend = |name: &str| Backend::nbd("/run/nbd.sock", name);
        let disk = |name: &str| DomainDisk { name: name.into(), backend: backend(name), read_only: false };
        Domain {
            memory_mib: 512,
            cpus: 1,
            kernel: backend("kernel"),
            initramfs: Some(backend("initramfs")),
            command_line: "root=/dev/xvda1 ro dyndbg=\"file a.c\"\n\" ]".into(),
            disks: vec![disk("xvda"), DomainDisk { read_only: true, ..disk("xvdc") }],
            cards: vec![Card { mac: "00:16:3e:01:02:03".parse().ok() }, Card { mac: None }],
        }
    }

    #[test]
    fn a_domain_is_written_down_and_nothing_in_it_ends_a_string() {
        let text = configuration(&domain());
        assert!(text.contains(r#"extra = "root=/dev/xvda1 ro dyndbg=\"file a.c\"\" ]""#), "{text}");
        assert!(
            text.contains(r#"disk = [ "phy:/dev/guest/xvda,xvda,w", "phy:/dev/guest/xvdc,xvdc,r" ]"#),
            "{text}"
        );
        assert!(
            text.contains(r#"vif = [ "bridge=xenbr0,mac=00:16:3e:01:02:03", "bridge=xenbr1" ]"#),
            "{text}"
        );
        assert!(quoted("a\\b\u{e9}") == r#""a\\b""#);
    }

    #[test]
    fn the_machine_has_the_boot_files_then_the_disks() {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::in_directory(directory.path());
        std::fs::write(&host.tools, b"tools").unwrap();
        let vm = host.machine(&domain(), Accelerator::Tcg, directory.path()).unwrap();
        let serials: Vec<_> = vm.disks.iter().filter_map(|disk| disk.serial.as_deref()).collect();
        assert_eq!(serials, ["kernel", "initramfs", "xvda", "xvdc"]);
        assert_eq!((vm.nics.len(), vm.withheld.len()), (2, 2));
        let Boot::Multiboot { modules, .. } = &vm.boot else { panic!() };
        let initramfs = std::fs::read(&modules[1].file).unwrap();
        assert!(initramfs.starts_with(b"tools"));
        assert!(host.machine(&domain(), Accelerator::Kvm, directory.path()).unwrap().withheld.is_empty());
    }

    #[test]
    fn the_hypervisor_states_its_version() {
        let host = "(XEN) Xen version 4.17.7 (Debian 4.17.7+13-g2445b30a44-0+deb12u1) (x@y) debug=n\n";
        assert_eq!(hypervisor_version(host), Some("4.17.7"));
        assert_eq!(hypervisor_version("Linux version 6.1"), None);
    }
}
