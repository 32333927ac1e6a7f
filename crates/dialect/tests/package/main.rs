//! Packages: OVA, OVF, VMX and lone disks, whole and hostile.

#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

#[path = "../corpus/mod.rs"]
mod corpus;
mod hostile;
mod hyperv;
mod make;
mod manifest;
mod ova_write;
mod several;
mod snapshots;
mod vagrant;
mod vma;
mod vma_write;
mod xva;

use block::BlockRead;
use dialect::Package;
use dialect::package::Error;
use image::NoProgress;
use machine::{Bus, Firmware, MacAddress, NicModel, ScsiModel};
use make::{chain, contents, descriptor, gzip, read, stream_optimized, tar, write};

const SIZE: usize = 3 << 20;

#[test]
fn an_ova_is_read_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let raw = contents(SIZE);
    let vmdk = stream_optimized(directory.path(), &raw);
    let ovf = descriptor("web-disk1.vmdk", &format!("ovf:size=\"{}\"", vmdk.len()), SIZE as u64);
    let ova = tar(&[("web.ovf", ovf.as_bytes()), ("web-disk1.vmdk", &vmdk)]);
    let path = write(directory.path(), "web.ova", &ova);

    let package = Package::open(&path).unwrap();
    assert_eq!((package.kind, package.machine.name.as_str()), ("ova", "web"));
    assert_eq!((package.machine.cpu.sockets, package.machine.cpu.cores_per_socket), (2, 2));
    assert_eq!(package.machine.memory, 2 << 30);
    let disk = &package.machine.disks[0];
    assert_eq!(disk.attachment.bus, Bus::Scsi(ScsiModel::Pvscsi));
    let image = package.open_disk(disk).unwrap();
    assert_eq!(package.compare_capacity(disk, &image), None);
    assert!(read(&image) == raw, "the disk's contents differ");
    assert!(package.disk_location(disk).ends_with("web.ova/web-disk1.vmdk"));
    assert_eq!(package.machine.nics[0].model, NicModel::Vmxnet3);
    // Only the missing manifest is to be said.
    assert!(package.losses.iter().all(|loss| loss.what == "web.mf"), "{:?}", package.losses);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "something was unpacked");
    assert!(std::fs::read(&path).unwrap() == ova, "the source was written");
}

#[test]
fn compressed_and_chunked_disks_are_put_together() {
    let directory = tempfile::tempdir().unwrap();
    let raw = contents(SIZE);
    let vmdk = stream_optimized(directory.path(), &raw);
    let zipped = gzip(&vmdk);
    for (stored, attributes) in [
        (&zipped, "ovf:compression=\"gzip\""),
        (&vmdk, "ovf:chunkSize=\"100000\""),
        (&zipped, "ovf:compression=\"gzip\" ovf:chunkSize=\"100000\""),
    ] {
        let ovf =
            descriptor("disk%201.vmdk", &format!("{attributes} ovf:size=\"{}\"", stored.len()), SIZE as u64);
        let chunks: Vec<(String, &[u8])> = if attributes.contains("chunkSize") {
            let name = |index| format!("disk 1.vmdk.{index:09}");
            stored.chunks(100_000).enumerate().map(|(index, chunk)| (name(index), chunk)).collect()
        } else {
            vec![("disk 1.vmdk".to_owned(), stored.as_slice())]
        };
        assert!(chunks.len() == 1 || chunks.len() > 3);

        let mut members: Vec<(&str, &[u8])> = vec![("sub/web.ovf", ovf.as_bytes())];
        let names: Vec<String> = chunks.iter().map(|(name, _)| format!("sub/{name}")).collect();
        members.extend(names.iter().zip(&chunks).map(|(name, (_, bytes))| (name.as_str(), *bytes)));
        let ova = write(directory.path(), "web.ova", tar(&members));
        let beside = directory.path().join("beside");
        std::fs::create_dir_all(&beside).unwrap();
        for (name, bytes) in &chunks {
            write(&beside, name, bytes);
        }
        for path in [ova, write(&beside, "web.ovf", &ovf)] {
            let package = Package::open(&path).unwrap();
            let image = package.open_disk(&package.machine.disks[0]).unwrap();
            assert!(read(&image) == raw, "the contents of {} with {attributes} differ", path.display());
        }
        std::fs::remove_dir_all(beside).unwrap();
    }
}

#[test]
fn what_is_declared_and_what_is_there_are_compared() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "a.img", vec![1; 4096]);
    let path = write(directory.path(), "a.ovf", descriptor("a.img", "ovf:size=\"5000\"", 8192));
    let package = Package::open(&path).unwrap();
    let disk = &package.machine.disks[0];
    let loss = package.compare_capacity(disk, &package.open_disk(disk).unwrap()).unwrap();
    assert!(loss.why.contains("declares 8192 bytes, the image has 4096"), "{loss}");
    assert!(package.losses.iter().any(|loss| loss.why.contains("says that it has 5000 bytes; it has 4096")));
    assert_eq!(package.facts.files[0].size, Some(4096));

    let path = write(directory.path(), "b.ovf", descriptor("gone.vmdk", "", 8192));
    let package = Package::open(&path).unwrap();
    assert!(package.losses.iter().any(|loss| loss.why.contains("it is not there")));
    let error = package.open_disk(&package.machine.disks[0]).unwrap_err();
    assert!(chain(&error).contains("gone.vmdk"), "{}", chain(&error));
}

#[test]
fn a_disk_without_an_image_is_empty() {
    let directory = tempfile::tempdir().unwrap();
    let text = descriptor("x", "", 1 << 20).replace("ovf:fileRef=\"file1\"", "");
    let package = Package::open(&write(directory.path(), "a.ovf", text)).unwrap();
    let image = package.open_disk(&package.machine.disks[0]).unwrap();
    assert_eq!(image.size(), 1 << 20);
    assert!(read(&image).iter().all(|&byte| byte == 0));
}

#[test]
fn a_vmx_is_read_with_its_disks() {
    let directory = tempfile::tempdir().unwrap();
    let raw = contents(SIZE);
    write(directory.path(), "web.vmdk", stream_optimized(directory.path(), &raw));
    let text = "config.version = \"8\"\nvirtualHW.version = \"19\"\nmemsize = \"1024\"\nfirmware = \"efi\"\n\
                scsi0.present = \"TRUE\"\nscsi0.virtualDev = \"pvscsi\"\nscsi0:0.present = \"TRUE\"\n\
                scsi0:0.fileName = \"web.vmdk\"\nethernet0.present = \"TRUE\"\nethernet0.virtualDev = \"vmxnet3\"\n\
                ethernet0.addressType = \"static\"\nethernet0.address = \"00:50:56:01:02:03\"\n";
    // Recognised by its contents, whatever it is called.
    for name in ["web.vmx", "web.txt"] {
        let package = Package::open(&write(directory.path(), name, text)).unwrap();
        assert_eq!((package.kind, package.machine.name.as_str()), ("vmx", "web"));
        assert!(matches!(package.machine.firmware, Firmware::Uefi(_)));
        assert_eq!(package.machine.nics[0].mac, Some(MacAddress([0, 0x50, 0x56, 1, 2, 3])));
        let image = package.open_disk(&package.machine.disks[0]).unwrap();
        assert!(read(&image) == raw);
        assert_eq!(package.verify(&NoProgress).unwrap(), []);
    }
    let encrypted = format!("{text}encryption.keySafe = \"vmware:key/list/(pair/(phrase/x))\"\n");
    let error = Package::open(&write(directory.path(), "e.vmx", encrypted)).unwrap_err();
    assert!(chain(&error).contains("is encrypted"), "{}", chain(&error));
    assert!(error.remedy().contains("remove the encryption"));
}

#[test]
fn a_lone_disk_becomes_a_machine() {
    let directory = tempfile::tempdir().unwrap();
    let raw = contents(SIZE);
    let path = write(directory.path(), "web.vmdk", stream_optimized(directory.path(), &raw));
    let package = Package::open(&path).unwrap();
    assert_eq!((package.kind, package.machine.name.as_str()), ("disk", "web"));
    assert!(read(&package.open_disk(&package.machine.disks[0]).unwrap()) == raw);
    assert_eq!(package.machine.firmware, Firmware::Bios);
    assert!(Package::open(&write(directory.path(), "r.raw", &raw)).is_ok());

    // A partition table with an EFI system partition.
    let mut gpt = vec![0; 1 << 20];
    gpt[512..520].copy_from_slice(b"EFI PART");
    gpt[1024..1040].copy_from_slice(&[
        0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
    ]);
    let package = Package::open(&write(directory.path(), "e.img", &gpt)).unwrap();
    assert!(matches!(package.machine.firmware, Firmware::Uefi(_)));
    gpt[1152..1168].copy_from_slice(b"Hah!IdontNeedEFI");
    let package = Package::open(&write(directory.path(), "b.img", &gpt)).unwrap();
    assert_eq!(package.machine.firmware, Firmware::Bios);
}

#[test]
fn a_disk_that_is_declared_raw_is_raw_whatever_its_guest_wrote() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "secret.raw", vec![7; 1 << 20]);
    let disk = directory.path().join("disk.img");
    let arguments = ["create", "-q", "-f", "qcow2", "-b", "secret.raw", "-F", "raw"];
    let made = std::process::Command::new("qemu-img").args(arguments).arg(&disk).output();
    assert!(
        made.unwrap_or_else(|error| panic!("qemu-img is needed (Debian: qemu-utils): {error}"))
            .status
            .success()
    );
    let domain = "<domain type='kvm'><name>a</name><memory>65536</memory><os><type>hvm</type></os><devices>\
        <disk type='file'><driver name='qemu' type='raw'/><source file='/images/disk.img'/><target dev='vda' bus='virtio'/></disk>\
        </devices></domain>";
    let package = Package::open(&write(directory.path(), "a.xml", domain)).unwrap();
    let image = package.open_disk(&package.machine.disks[0]).unwrap();
    assert_eq!((image.info().format, image.info().layers.len()), ("raw", 1));
    assert!(read(&image) == std::fs::read(&disk).unwrap());
    let another = "<disk type='file'><source file='/a'/><target dev='vdb' bus='virtio'/></disk>";
    let many = domain.replace("</devices>", &format!("{}</devices>", another.repeat(1024)));
    assert!(matches!(
        Package::open(&write(directory.path(), "b.xml", many)),
        Err(Error::TooManyDisks { disks: 1025, .. })
    ));
}

#[test]
fn other_things_are_refused_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let refuse = |name: &str, bytes: &[u8]| Package::open(&write(directory.path(), name, bytes)).unwrap_err();
    assert!(matches!(refuse("a.txt", b"hello"), Error::Unrecognised { .. }));
    assert!(matches!(refuse("empty.ova", b""), Error::NoDescriptor { .. }));
    assert!(matches!(refuse("a-flat.vmdk", &[7; 4096]), Error::Unrecognised { .. }));
    assert!(matches!(refuse("a.bochs", b"Bochs Virtual HD Image\0"), Error::UnsupportedImage { .. }));
    // A format that is read, cut short.
    assert!(chain(&refuse("a.vhdx", b"vhdxfile________")).contains("a.vhdx"));
    assert!(matches!(refuse("a.ova", &gzip(&tar(&[("a", b"")]))), Error::Compressed { .. }));
    assert!(matches!(refuse("b.ova", &[9; 4096]), Error::Tar { .. }));
    assert!(matches!(refuse("c.ova", &tar(&[("a", b"x")])), Error::NoDescriptor { members: 1, .. }));
    assert!(matches!(
        refuse("d.ova", &tar(&[("a.ovf", b""), ("b.ovf", b"")])),
        Error::SeveralDescriptors { .. }
    ));
    assert!(matches!(refuse("a.ovf", b"<html/>"), Error::Ovf { .. }));
    assert!(matches!(Package::open(directory.path()), Err(Error::Directory { .. })));
    let gone = Package::open(&directory.path().join("gone.ova")).unwrap_err();
    assert!(matches!(gone, Error::Path { .. }));
    let entity = b"<!DOCTYPE Envelope [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><Envelope>&a;</Envelope>";
    assert!(chain(&refuse("x.ovf", entity)).contains("DTD"), "{}", chain(&refuse("x.ovf", entity)));
}

#[test]
fn real_appliances_are_opened_and_verified() {
    let Some(members) = corpus::suite("virtualbox-appliances") else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut digests = 0;
    for member in members.iter().filter(|member| member.path.ends_with(".ova")) {
        let path = write(directory.path(), "a.ova", &member.bytes);
        let package =
            Package::open(&path).unwrap_or_else(|error| panic!("{}: {}", member.path, chain(&error)));
        let verified =
            package.verify(&NoProgress).unwrap_or_else(|error| panic!("{}: {}", member.path, chain(&error)));
        digests += verified.len();
        println!("{}: {} disks, {} digests right", member.path, package.machine.disks.len(), verified.len());
        for disk in &package.machine.disks {
            let image =
                package.open_disk(disk).unwrap_or_else(|error| panic!("{}: {}", member.path, chain(&error)));
            assert_eq!(package.compare_capacity(disk, &image), None, "{}", member.path);
        }
    }
    assert!(digests >= 11, "{digests} digests");
}
