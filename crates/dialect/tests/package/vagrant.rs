//! Vagrant boxes of every provider, plain and in a gzip stream.

use crate::make::{chain, contents, descriptor, gzip, read, stream_optimized, tar, write};
use dialect::Package;
use dialect::package::Error;
use std::path::Path;
use std::process::Command;

const SIZE: usize = 2 << 20;

fn metadata(provider: &str) -> String {
    format!("{{\"provider\": \"{provider}\", \"architecture\": \"amd64\"}}")
}

/// Opens a box of these files, as it is and in a gzip stream; its first disk must hold `raw`.
fn assert_reads(directory: &Path, members: &[(&str, &[u8])], raw: &[u8]) -> Package {
    let plain = tar(members);
    for (name, bytes) in [("web.box", gzip(&plain)), ("plain.box", plain.clone()), ("web", gzip(&plain))] {
        let path = write(directory, name, &bytes);
        let package = Package::open(&path).unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
        assert_eq!(package.kind, "vagrant");
        let image = package.open_disk(&package.machine.disks[0]).unwrap();
        assert!(read(&image) == raw, "{name}: the disk's contents differ");
        assert!(package.losses.iter().any(|loss| loss.what == "Vagrantfile"));
    }
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 3, "something was unpacked");
    Package::open(&directory.join("web.box")).unwrap()
}

fn qcow2(directory: &Path, raw: &[u8]) -> Vec<u8> {
    let (from, to) = (directory.join("made.raw"), directory.join("made.qcow2"));
    std::fs::write(&from, raw).unwrap();
    let status = Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .args([&from, &to])
        .status()
        .expect("qemu-img is needed (Debian: qemu-utils)");
    assert!(status.success());
    let image = std::fs::read(&to).unwrap();
    std::fs::remove_file(from).unwrap();
    std::fs::remove_file(to).unwrap();
    image
}

#[test]
fn a_box_for_virtualbox_is_its_ovf() {
    let directory = tempfile::tempdir().unwrap();
    let raw = contents(SIZE);
    let vmdk = stream_optimized(directory.path(), &raw);
    let ovf = descriptor("box-disk001.vmdk", "", SIZE as u64);
    let metadata = metadata("virtualbox");
    let members: [(&str, &[u8]); 4] = [
        ("./metadata.json", metadata.as_bytes()),
        ("./Vagrantfile", b"Vagrant.configure"),
        ("./box.ovf", ovf.as_bytes()),
        ("./box-disk001.vmdk", &vmdk),
    ];
    let package = assert_reads(directory.path(), &members, &raw);
    assert_eq!((package.machine.cpu.count(), package.machine.memory), (4, 2 << 30));
}

#[test]
fn a_box_for_libvirt_is_its_images() {
    let directory = tempfile::tempdir().unwrap();
    let raw = contents(SIZE);
    let image = qcow2(directory.path(), &raw);
    let metadata = metadata("libvirt");
    let members: [(&str, &[u8]); 2] = [("metadata.json", metadata.as_bytes()), ("box.img", &image)];
    let package = assert_reads(directory.path(), &members, &raw);
    assert_eq!((package.machine.name.as_str(), package.machine.disks.len()), ("web", 1));

    let directory = tempfile::tempdir().unwrap();
    let several = r#"{"provider": "libvirt", "format": "qcow2", "disks": [{"path": "disk1.qcow2"}, {"path": "disk2.qcow2"}]}"#;
    let second = qcow2(directory.path(), &raw[..SIZE / 2]);
    let members: [(&str, &[u8]); 3] =
        [("metadata.json", several.as_bytes()), ("disk1.qcow2", &image), ("disk2.qcow2", &second)];
    let package = assert_reads(directory.path(), &members, &raw);
    assert!(read(&package.open_disk(&package.machine.disks[1]).unwrap()) == raw[..SIZE / 2]);
    assert_ne!(package.machine.disks[0].attachment, package.machine.disks[1].attachment);
}

#[test]
fn a_box_for_vmware_is_its_vmx() {
    let directory = tempfile::tempdir().unwrap();
    let raw = contents(SIZE);
    let vmdk = stream_optimized(directory.path(), &raw);
    let vmx = "config.version = \"8\"\ndisplayName = \"db\"\nmemsize = \"512\"\nscsi0.present = \"TRUE\"\n\
               scsi0.virtualDev = \"lsilogic\"\nscsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"Disk.vmdk\"\n";
    let metadata = metadata("vmware_desktop");
    let members: [(&str, &[u8]); 3] = [
        ("metadata.json", metadata.as_bytes()),
        ("machine/box.vmx", vmx.as_bytes()),
        ("machine/disk.vmdk", &vmdk),
    ];
    let package = assert_reads(directory.path(), &members, &raw);
    assert_eq!(package.machine.name, "db");
    for outside in ["../machine/disk.vmdk", "/etc/passwd", "nbd://host/x", ""] {
        assert!(package.open_file(outside).is_err(), "{outside}");
    }
}

#[test]
fn a_box_that_cannot_be_read_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let refuse = |members: &[(&str, &[u8])]| {
        let error = Package::open(&write(directory.path(), "x.box", gzip(&tar(members)))).unwrap_err();
        assert!(!error.remedy().is_empty());
        error
    };
    let docker = metadata("docker");
    assert!(matches!(refuse(&[("metadata.json", docker.as_bytes())]), Error::Provider { .. }));
    let libvirt = metadata("libvirt");
    assert!(matches!(refuse(&[("metadata.json", libvirt.as_bytes())]), Error::BoxLacks { .. }));
    let vmware = metadata("vmware_desktop");
    assert!(matches!(refuse(&[("metadata.json", vmware.as_bytes())]), Error::BoxLacks { .. }));
    assert!(matches!(refuse(&[("metadata.json", b"{")]), Error::Metadata { .. }));
    assert!(matches!(refuse(&[("metadata.json", b"{}")]), Error::Metadata { .. }));
    let deep = "[".repeat(1000);
    assert!(matches!(refuse(&[("metadata.json", deep.as_bytes())]), Error::Metadata { .. }));
}
