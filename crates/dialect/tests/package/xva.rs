//! XVAs, as they are written here and as xapi writes them.

use crate::make::{append, contents, read, write};
use block::{BlockRead, MemoryDisk};
use dialect::package::{Package, write_xva};
use dialect::{DiskFile, RenderOptions};
use image::copy::NoProgress;
use machine::{Attachment, Bus, Disk, Machine, Nic, NicModel, differences};
use std::path::Path;
use std::sync::Arc;

const MIB: usize = 1 << 20;

/// A machine with disks of these contents, on XCP-ng's hardware, and what is written for it.
fn written(disks: &[Vec<u8>]) -> (Machine, String, Vec<u8>) {
    let disk = |(index, bytes): (usize, &Vec<u8>)| Disk {
        id: format!("disk{}", index + 1),
        attachment: Attachment { bus: Bus::Xen, controller: 0, unit: u32::try_from(index).unwrap() },
        source: Some("web.img".to_owned()),
        capacity: Some(bytes.len() as u64),
        ..Disk::default()
    };
    let machine = Machine {
        name: "Web <&> \"server\"".to_owned(),
        notes: Some("first\nsecond".to_owned()),
        memory: 2 << 30,
        disks: disks.iter().enumerate().map(disk).collect(),
        nics: vec![Nic {
            id: "nic1".to_owned(),
            model: NicModel::Xen,
            network: Some("DMZ".to_owned()),
            connected: true,
            ..Nic::default()
        }],
        ..Machine::default()
    };
    let profile = profile::find("xcp-ng").unwrap();
    let adapted = dialect::adapt(&machine, profile);
    assert_eq!(adapted.objections, []);
    let files = adapted.machine.disks.iter().map(|disk| DiskFile {
        id: disk.id.clone(),
        capacity: disk.capacity.unwrap(),
        ..DiskFile::default()
    });
    let options = RenderOptions { disks: files.collect(), ..RenderOptions::default() };
    let text = dialect::xva::render(&adapted.machine, profile, &options).unwrap().text;
    let sources: Vec<Arc<dyn BlockRead>> =
        disks.iter().map(|bytes| Arc::new(MemoryDisk::from_bytes(bytes.clone())) as _).collect();
    let mut archive = Vec::new();
    let report = write_xva(&mut archive, &text, &sources, &NoProgress).unwrap();
    assert_eq!(report.size, archive.len() as u64);
    (adapted.machine, text, archive)
}

fn open(directory: &Path, bytes: &[u8]) -> Result<Package, String> {
    Package::open(&write(directory, "web.xva", bytes)).map_err(|error| crate::make::chain(&error))
}

#[test]
fn what_is_written_is_read_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let mut holes = vec![0; 5 * MIB + 1536];
    holes[2 * MIB + 100..2 * MIB + 200].fill(7);
    // What a guest writes to its disk does not make another format of it.
    let mut hostile = vec![0; MIB / 2];
    hostile[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    let disks = [contents(3 * MIB + 512), holes, vec![0; 2 * MIB], hostile];
    let (machine, _, archive) = written(&disks);
    // Of the holes, only the first, the one with data and the last are there.
    assert!(archive.len() < (4 + 3 + 2 + 1) * MIB + 100_000, "{}", archive.len());
    let package = open(directory.path(), &archive).unwrap();
    assert_eq!(package.kind, "xva");
    let mut read_back = package.machine.clone();
    for (disk, was) in read_back.disks.iter_mut().zip(&machine.disks) {
        (disk.source, disk.format) = (was.source.clone(), was.format.clone());
    }
    let differ: Vec<_> = differences(&machine, &read_back).into_iter().map(|one| one.field).collect();
    assert_eq!(differ, ["video"]);
    for (disk, bytes) in package.machine.disks.iter().zip(&disks) {
        let image = package.open_disk(disk).unwrap();
        assert_eq!(image.info().format, "raw");
        assert!(read(&image) == *bytes, "{}", disk.id);
        block::conformance::read(&image, bytes);
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "something was unpacked");
}

#[test]
fn a_block_that_was_changed_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (_, _, archive) = written(&[contents(3 * MIB + 512)]);
    let package = open(directory.path(), &archive).unwrap();
    assert_eq!(package.verify(&NoProgress).unwrap(), []);
    assert!(!package.losses.iter().any(|loss| loss.why.contains("checksum")), "{:?}", package.losses);
    let mut changed = archive.clone();
    let third = archive.windows(20).position(|part| part == b"Ref:1000000/00000002").unwrap();
    changed[third + MIB / 2] ^= 1;
    let error = open(directory.path(), &changed).unwrap().verify(&NoProgress).unwrap_err();
    assert!(error.remedy().contains("fetch it again"), "{}", error.remedy());
    let error = crate::make::chain(&error);
    assert!(error.contains("Ref:1000000/00000002") && error.contains("checksum"), "{error}");
}

#[test]
fn another_reader_sees_the_members_that_xapi_wants() {
    let (_, text, archive) = written(&[vec![1; MIB], contents(2 * MIB + 512)]);
    let mut tar = tar::Archive::new(archive.as_slice());
    let mut names: Vec<(String, String)> = Vec::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        match name.strip_suffix(".checksum") {
            Some(block) => {
                let (last, digest): &(String, String) = names.last().unwrap();
                assert_eq!((last.as_str(), digest.as_bytes()), (block, bytes.as_slice()));
            }
            None => {
                use sha1::Digest;
                let digest = sha1::Sha1::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                names.push((name.clone(), digest));
            }
        }
        assert!(name != "ova.xml" || bytes == text.as_bytes());
    }
    let names: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "ova.xml",
            "Ref:1000000/00000000",
            "Ref:1000001/00000000",
            "Ref:1000001/00000001",
            "Ref:1000001/00000002"
        ]
    );
    // Python's reader of XML-RPC, which is not ours.
    let program = "import sys, xmlrpc.client\n\
                   text = sys.stdin.buffer.read().split(b'?>', 1)[1]\n\
                   text = b'<params><param>' + text + b'</param></params>'\n\
                   (value,), _ = xmlrpc.client.loads(text)\n\
                   vm = [one['snapshot'] for one in value['objects'] if one['class'] == 'VM'][0]\n\
                   assert vm['name_label'] == 'Web <&> \"server\"', vm['name_label']\n\
                   assert vm['name_description'] == 'first\\nsecond' and not vm['is_a_template']\n\
                   known = {one['id'] for one in value['objects']}\n\
                   for one in value['objects']:\n\
                   \x20   for field, text in one['snapshot'].items():\n\
                   \x20       for name in text if isinstance(text, list) else [text]:\n\
                   \x20           assert not str(name).startswith('Ref:') or name in known, (field, name)\n";
    let mut child = std::process::Command::new("python3")
        .args(["-c", program])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("python3 is needed (Debian: python3)");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// An archive of these members after the description.
fn archive(description: &str, members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    append(&mut builder, "ova.xml", description.as_bytes());
    for (name, bytes) in members {
        append(&mut builder, &format!("Ref:1000000/{name}"), bytes);
        append(&mut builder, &format!("Ref:1000000/{name}.xxhash"), b"0123456789ABCDEF");
    }
    builder.into_inner().unwrap()
}

#[test]
fn archives_of_xapi_are_read_and_damaged_ones_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (_, text, _) = written(&[vec![0; 4 * MIB]]);
    let (one, two) = (vec![1; MIB], vec![2; MIB]);
    // A block of no length says only that the exporter is alive; those behind it are numbered on.
    let alive =
        archive(&text, &[("00000000", &one), ("00000001", b""), ("00000003", &one), ("00000004", &two)]);
    let package = open(directory.path(), &alive).unwrap();
    let disk = read(&package.open_disk(&package.machine.disks[0]).unwrap());
    let bytes: Vec<u8> = (0..4).map(|block| disk[block * MIB]).collect();
    assert_eq!(bytes, [1, 0, 1, 2]);
    // Those checksums are made up.
    let error = crate::make::chain(&package.verify(&NoProgress).unwrap_err());
    assert!(error.contains("Ref:1000000/00000000") && error.contains("0123456789abcdef"), "{error}");
    for (members, why) in [
        (vec![("00000000", &one), ("00000002", &one)], "blocks up to byte 3145728 of 4194304"),
        (vec![("00000001", &one), ("00000000", &one)], "comes after one with a higher number"),
        (vec![("00000000", &one), ("00000009", &one)], "of a disk of 4194304 bytes"),
        (vec![("00000000", &one), ("18446744073709551615", &one)], "of a disk of 4194304 bytes"),
        (vec![], "blocks up to byte 0"),
    ] {
        let members: Vec<(&str, &[u8])> =
            members.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        let error = open(directory.path(), &archive(&text, &members)).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    let cut = &alive[..alive.len() - 2 * MIB];
    assert!(open(directory.path(), cut).unwrap_err().contains("cut off"));
    assert!(open(directory.path(), &archive("<value/>", &[])).unwrap_err().contains("virtual machine"));
}
