//! What is written for KVM: valid to libvirt, runnable by QEMU, and harmless whatever a name holds.

#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

mod adapt;
mod dissect;
mod every;
mod hostile;
mod libvirt;
mod openstack;
mod powershell;
mod proxmox;
mod script;
mod vmware;

use dialect::{DiskFile, RenderOptions};
use machine::Machine;
use profile::Profile;
use std::path::Path;

/// A machine of VMware's with a bit of everything.
pub const VMX: &str = r#".encoding = "UTF-8"
config.version = "8"
virtualHW.version = "19"
displayName = "Web & <Mail> (prod)"
annotation = "first|0Asecond"
guestOS = "debian12-64"
firmware = "efi"
uefi.secureBoot.enabled = "TRUE"
nvram = "web.nvram"
uuid.bios = "56 4d 6c 27 96 ea 12 07-6f 0b b1 1d 81 46 9b 0b"
numvcpus = "4"
cpuid.coresPerSocket = "2"
memsize = "2048"
scsi0.present = "TRUE"
scsi0.virtualDev = "pvscsi"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "web.vmdk"
scsi0:1.present = "TRUE"
scsi0:1.fileName = "data.vmdk"
scsi0:1.mode = "independent-persistent"
nvme0.present = "TRUE"
nvme0:0.present = "TRUE"
nvme0:0.fileName = "fast.vmdk"
sata0.present = "TRUE"
sata0:0.present = "TRUE"
sata0:0.deviceType = "cdrom-image"
sata0:0.fileName = "/vmfs/volumes/iso/debian.iso"
sata0:0.startConnected = "FALSE"
floppy0.present = "TRUE"
floppy0.fileType = "file"
floppy0.fileName = "boot.flp"
ethernet0.present = "TRUE"
ethernet0.virtualDev = "vmxnet3"
ethernet0.networkName = "DMZ"
ethernet0.addressType = "static"
ethernet0.address = "00:50:56:01:02:03"
ethernet1.present = "TRUE"
ethernet1.virtualDev = "e1000"
ethernet1.networkName = "VM Network"
ethernet1.startConnected = "FALSE"
serial0.present = "TRUE"
serial0.fileType = "network"
serial0.fileName = "telnet://:4001"
vtpm.present = "TRUE"
sound.present = "TRUE"
"#;

/// The target.
pub fn kvm() -> &'static Profile {
    profile::find("kvm").unwrap()
}

/// The machine of [`VMX`], on KVM's hardware.
pub fn adapted() -> Machine {
    let parsed = dialect::vmx::parse(VMX.as_bytes()).unwrap();
    let adapted = dialect::adapt(&parsed.machine, kvm());
    assert_eq!(adapted.objections, []);
    adapted.machine
}

/// The disks of a machine as files in a directory.
pub fn options(machine: &Machine, directory: &Path) -> RenderOptions {
    let disks = machine.disks.iter().map(|disk| DiskFile {
        id: disk.id.clone(),
        path: directory.join(format!("{}.qcow2", disk.id)),
        format: "qcow2".to_owned(),
        ..DiskFile::default()
    });
    RenderOptions { disks: disks.collect(), ..RenderOptions::default() }
}

/// Names that mean harm to a shell, to XML, to QEMU, to libvirt or to a file system.
pub fn hostile_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "plain",
        "a'b\"c",
        "$(touch PWNED)",
        "`touch PWNED`",
        "'; touch PWNED; '",
        "a\ntouch PWNED\n",
        "a\r\nb\tc",
        "]]><domain>&amp;<!--",
        "../../../etc/passwd",
        "/absolute",
        "-machine none",
        "--help",
        "comma,comma,,driver=evil",
        "😀 ünïcödé 虚拟机",
        "\u{202e}txt.exe",
        "\u{0}\u{1}\u{b}\u{7f}\u{fffe}",
        "%s%n${HOME}\\",
        "!history #comment *glob?",
        ".",
        "..",
        "",
        "   ",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("x".repeat(4096));
    names.push("😀".repeat(1024));
    names
}
