//! Proxmox' archives, read in place.

use crate::make::{chain, contents, read, write};
use crate::vma_write::{self, put, seal};
use block::BlockRead;
use dialect::Package;
use dialect::package::Error;
use machine::Firmware;
use std::path::Path;

const CONF: &str = "#of a web server\n#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:\nbios: ovmf\nboot: order=scsi0\ncores: 2\n\
    efidisk0: local-lvm:vm-100-disk-0,efitype=4m,size=4M\nmemory: 1024\nname: web\nnet0: virtio=BC:24:11:2C:69:EC,bridge=vmbr0\n\
    scsi0: local-lvm:vm-100-disk-1,size=3M\nscsi1: local-lvm:vm-100-disk-2,backup=0,size=1G\nscsihw: virtio-scsi-pci\n\
    virtio2: /dev/sdx,size=1M\n";

fn archive(devices: &[(&str, &[u8])]) -> Vec<u8> {
    vma_write::archive(CONF, devices)
}

/// A disk with a hole, of a size that is no whole number of clusters.
fn disk() -> Vec<u8> {
    let mut bytes = contents(9 << 20);
    bytes.truncate((9 << 20) - 3 * 512);
    bytes[(2 << 20)..(3 << 20)].fill(0);
    bytes
}

fn open(directory: &Path, bytes: &[u8]) -> Result<Package, Error> {
    Package::open(&write(directory, "vzdump-qemu-100.vma", bytes))
}

#[test]
fn an_archive_is_read_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let (bytes, variables, small) = (disk(), vec![3; 540_672], vec![9; 512]);
    let devices: [(&str, &[u8]); 4] = [
        ("drive-efidisk0", &variables),
        ("drive-scsi0", &bytes),
        ("drive-virtio2", &small),
        ("vmstate", &small),
    ];
    let package = open(directory.path(), &archive(&devices)).unwrap();
    let machine = &package.machine;
    assert_eq!((package.kind, machine.name.as_str()), ("vma", "web"));
    assert_eq!(machine.notes.as_deref(), Some("of a web server"));
    assert_eq!((machine.cpu.count(), machine.memory), (2, 1 << 30));
    let sources: Vec<_> = machine.disks.iter().map(|disk| disk.source.as_deref().unwrap()).collect();
    assert_eq!(sources, ["drive-scsi0", "local-lvm:vm-100-disk-2", "drive-virtio2"]);
    let image = package.open_disk(&machine.disks[0]).unwrap();
    assert!(read(&image) == bytes, "the contents differ");
    block::conformance::read(package.open_file("drive-scsi0").unwrap().as_ref(), &bytes);
    assert!(read(&package.open_disk(&machine.disks[2]).unwrap()) == small);
    let Firmware::Uefi(uefi) = &machine.firmware else { panic!("{:?}", machine.firmware) };
    let nvram = package.open_file(uefi.nvram.as_deref().unwrap()).unwrap();
    assert!(read(nvram.as_ref()) == variables);
    let said: Vec<_> = package.losses.iter().map(|loss| loss.what.as_str()).collect();
    assert!(said.contains(&"scsi1") && said.contains(&"vmstate"), "{said:?}");
    assert!(package.open_disk(&machine.disks[1]).is_err());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "something was unpacked");
}

#[test]
fn zeroes_are_known_without_reading() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = disk();
    let package = open(directory.path(), &archive(&[("drive-scsi0", &bytes)])).unwrap();
    let device = package.open_file("drive-scsi0").unwrap();
    let hole = (2 << 20)..(3 << 20);
    let extents = device.extents(hole.clone()).unwrap();
    assert_eq!((extents.len(), extents[0].range.clone()), (1, hole));
}

#[test]
fn what_is_damaged_or_compressed_is_refused_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = disk();
    let whole = archive(&[("drive-scsi0", &bytes)]);
    let refused = |bytes: &[u8], expected: &str| {
        let error = open(directory.path(), bytes).unwrap_err();
        assert!(chain(&error).contains(expected), "{}", chain(&error));
        assert!(!error.remedy().is_empty());
    };
    refused(&whole[..whole.len() - 1], "reaches past the archive's end");
    refused(&whole[..2000], "the header at byte 0 makes no sense");
    let first = u32::from_be_bytes(whole[56..60].try_into().unwrap()) as usize;
    refused(&whole[..first], "cut off");
    let with = |change: fn(&mut [u8], usize)| {
        let mut bytes = whole.clone();
        change(&mut bytes, first);
        bytes
    };
    refused(&with(|bytes, _| bytes[100] ^= 1), "MD5 sum");
    refused(&with(|bytes, first| bytes[first + 60] ^= 1), "MD5 sum");
    refused(&with(|bytes, _| bytes[7] = 2), "version 2");
    // Every cluster is there, and the first twice, in place of the second.
    refused(
        &with(|bytes, first| {
            let entry: [u8; 8] = bytes[first + 40..first + 48].try_into().unwrap();
            put(bytes, first + 48, &entry);
            seal(&mut bytes[first..first + 512], 24);
        }),
        "twice",
    );
    for (name, magic, command) in [
        ("a.vma.zst", &b"\x28\xb5\x2f\xfd"[..], "zstd -d"),
        ("a.vma.gz", &b"\x1f\x8b\x08"[..], "gunzip"),
        ("a.vma.lzo", &b"\x89LZO\0\r\n\x1a\n"[..], "lzop -d"),
    ] {
        let path = write(directory.path(), name, [magic, &[0; 64]].concat());
        let error = Package::open(&path).unwrap_err();
        assert!(error.remedy().contains(command), "{error}");
    }
}
