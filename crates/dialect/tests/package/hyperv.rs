//! An export of Hyper-V's as a directory: the configuration beside the disks, which it names by paths of Windows.

use crate::make::{contents, gzip, read, tar, write};
use block::MemoryDisk;
use dialect::Package;
use image::{CopyOptions, DirectoryGate, Gate, NewImage, NewParent, NoProgress, copy};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SIZE: usize = 4 << 20;

/// A configuration of generation 1 with one disk.
fn configuration(disk: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<configuration>
  <_83f8638b-8dca-4152-9eda-2ca8b33039b4_>
    <VDEVVersion type="integer">1280</VDEVVersion>
    <controller0><drive0>
      <pathname type="string">{disk}</pathname><type type="string">VHD</type>
    </drive0></controller0>
  </_83f8638b-8dca-4152-9eda-2ca8b33039b4_>
  <properties><name type="string">web</name><subtype type="integer">0</subtype></properties>
  <settings>
    <memory><bank><size type="integer">1024</size></bank></memory>
    <processors><count type="integer">2</count></processors>
  </settings>
</configuration>
"#
    )
}

fn vhdx(path: &Path, bytes: &[u8], parent: Option<NewParent>) {
    let new = NewImage { parent, ..NewImage::new(image::by_name("vhdx").unwrap()) };
    let source = Arc::new(MemoryDisk::from_bytes(bytes.to_vec()));
    copy(source, path, &new, &CopyOptions::default(), &NoProgress).unwrap();
}

/// An export with a base and, on it, two differencing disks, which know their parents by `parent`'s paths.
fn export(directory: &Path, parent: impl Fn(&str) -> String) -> (PathBuf, Vec<u8>) {
    let disks = directory.join("Virtual Hard Disks");
    let machines = directory.join("Virtual Machines");
    std::fs::create_dir_all(&disks).unwrap();
    std::fs::create_dir_all(&machines).unwrap();
    let mut bytes = contents(SIZE);
    vhdx(&disks.join("web.vhdx"), &bytes, None);
    let mut below = disks.join("web.vhdx");
    for (name, fill) in [("web_1.avhdx", 1), ("web_2.avhdx", 2)] {
        let gate: Arc<dyn Gate> = Arc::new(DirectoryGate::new(&disks).unwrap());
        let image = image::open(&gate, below.file_name().unwrap().to_str().unwrap()).unwrap();
        let path = disks.join(name);
        let known = NewParent::new(&path, &below, image.info()).unwrap();
        // The chain is readable while it is made; the last step gives every disk its parent's foreign path.
        bytes[fill * 4096..][..4096].fill(fill as u8);
        vhdx(&path, &bytes, Some(NewParent { name: parent(&known.name), ..known }));
        below = path;
    }
    let text = configuration(r"C:\Hyper-V\web\Virtual Hard Disks\web_2.avhdx");
    write(&machines, "EC04F346-DB96-4700-AF5B-77B3C56C38BD.xml", text);
    (directory.to_path_buf(), bytes)
}

#[test]
fn differencing_disks_are_found_inside_the_export() {
    for parent in [
        |name: &str| name.to_owned(),
        |name: &str| format!("../Disks of another host/{name}"),
        |name: &str| format!(r"D:\Disks of another host\{name}"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (export, bytes) = export(directory.path(), parent);
        let package = Package::open(&export).unwrap();
        assert_eq!((package.kind, package.machine.name.as_str()), ("hyperv-xml", "web"));
        let image = package.open_disk(&package.machine.disks[0]).unwrap();
        assert_eq!(image.info().layers.len(), 3, "{}", parent("x"));
        assert!(read(&image) == bytes, "the contents differ");
        let location = package.disk_location(&package.machine.disks[0]);
        assert!(location.ends_with("Virtual Hard Disks/web_2.avhdx"), "{location}");
    }
}

#[test]
fn a_vagrant_box_is_an_export_in_an_archive() {
    let directory = tempfile::tempdir().unwrap();
    let (export, bytes) = export(directory.path(), |name| format!(r"D:\Elsewhere\{name}"));
    let mut members = vec![("metadata.json".to_owned(), br#"{"provider": "hyperv"}"#.to_vec())];
    for part in ["Virtual Machines", "Virtual Hard Disks"] {
        for entry in std::fs::read_dir(export.join(part)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{part}/{}", entry.file_name().to_str().unwrap());
            members.push((name, std::fs::read(entry.path()).unwrap()));
        }
    }
    let members: Vec<(&str, &[u8])> =
        members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let path = write(directory.path(), "web.box", gzip(&tar(&members)));
    let package = Package::open(&path).unwrap();
    assert_eq!((package.kind, package.machine.name.as_str()), ("vagrant", "web"));
    let image = package.open_disk(&package.machine.disks[0]).unwrap();
    assert_eq!(image.info().layers.len(), 3);
    assert!(read(&image) == bytes, "the contents differ");
}

#[test]
fn a_saved_state_beside_the_configuration_is_no_second_one() {
    let directory = tempfile::tempdir().unwrap();
    let (export, _) = export(directory.path(), str::to_owned);
    // A .vmrs is the same kind of storage, and a .vmgs another.
    let mut state = vec![0; 0x3000];
    state[..4].copy_from_slice(&0x0128_2014_u32.to_le_bytes());
    write(&export.join("Virtual Machines"), "EC04F346-DB96-4700-AF5B-77B3C56C38BD.vmrs", state);
    assert_eq!(Package::open(&export).unwrap().kind, "hyperv-xml");
}
