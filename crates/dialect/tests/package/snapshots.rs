//! A machine with a snapshot: its `.vmx` names the last delta, and the disk is the whole chain.

use crate::make::{contents, read, write};
use dialect::Package;
use dialect::package::OpenOptions;
use std::path::Path;
use std::process::Command;

const SIZE: usize = 2 << 20;

fn run(program: &str, arguments: &[&str], directory: &Path) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed (Debian: qemu-utils): {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A disk with two snapshots, of which the machine wrote a part each.
fn chain(directory: &Path) -> Vec<u8> {
    let mut raw = contents(SIZE);
    write(directory, "web.raw", &raw);
    run("qemu-img", &["convert", "-f", "raw", "-O", "vmdk", "web.raw", "web.vmdk"], directory);
    std::fs::remove_file(directory.join("web.raw")).unwrap();
    let deltas = [("web.vmdk", "web-000001.vmdk", 0x11), ("web-000001.vmdk", "web-000002.vmdk", 0x22)];
    for (index, (below, delta, byte)) in deltas.into_iter().enumerate() {
        run("qemu-img", &["create", "-q", "-f", "vmdk", "-b", below, "-F", "vmdk", delta], directory);
        let offset = (1 + index) << 19;
        let command = format!("write -q -P {byte} {offset} 65536");
        run("qemu-io", &["-f", "vmdk", "-c", &command, delta], directory);
        raw[offset..offset + 65536].fill(byte);
    }
    raw
}

#[test]
fn a_delta_opens_the_whole_chain() {
    let directory = tempfile::tempdir().unwrap();
    let raw = chain(directory.path());
    for disk in ["web-000002.vmdk", "/vmfs/volumes/ds1/web/web-000002.vmdk", "[ds1] web/web-000002.vmdk"] {
        let text = format!(
            "config.version = 8\nvirtualHW.version = 19\nmemsize = 64\nscsi0.present = 1\nscsi0.virtualDev = lsilogic\n\
             scsi0:0.present = 1\nscsi0:0.fileName = \"{disk}\"\n"
        );
        let package = Package::open(&write(directory.path(), "web.vmx", text)).unwrap();
        let image = package.open_disk(&package.machine.disks[0]).unwrap();
        assert!(read(&image) == raw, "{disk}");
    }
}

/// Rewrites the descriptor in a monolithicSparse VMDK, which has 20 sectors after the first.
fn describe(path: &Path, edit: impl Fn(&str) -> String) {
    let mut bytes = std::fs::read(path).unwrap();
    let room = &mut bytes[512..512 + 20 * 512];
    let text = String::from_utf8(room.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap();
    let edited = edit(&text);
    room.fill(0);
    room[..edited.len()].copy_from_slice(edited.as_bytes());
    std::fs::write(path, bytes).unwrap();
}

const BASE: &str = "11111111-1111-4111-8111-111111111111";
const DELTA: &str = "22222222-2222-4222-8222-222222222222";
const WRITTEN: &str = "33333333-3333-4333-8333-333333333333";

/// Makes VMware's chain one of VirtualBox': the delta in `Snapshots`, its parent known by its identifier alone.
fn as_virtualbox_has_it(directory: &Path) {
    std::fs::create_dir(directory.join("Snapshots")).unwrap();
    let delta = directory.join(format!("Snapshots/{{{DELTA}}}.vmdk"));
    std::fs::rename(directory.join("web-000001.vmdk"), &delta).unwrap();
    let with = |text: &str, own: &str, parent: &str, more: &str| {
        let lines = text.lines().filter(|line| !line.starts_with("parent"));
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        format!("{lines}parentCID=ffffffff\nddb.uuid.image=\"{own}\"\nddb.uuid.parent=\"{parent}\"\n{more}")
    };
    let nil = "00000000-0000-0000-0000-000000000000";
    let modified = format!("ddb.uuid.modification=\"{WRITTEN}\"\n");
    describe(&directory.join("web.vmdk"), |text| with(text, BASE, nil, &modified));
    describe(&delta, |text| with(text, DELTA, BASE, &format!("ddb.uuid.parentmodification=\"{WRITTEN}\"\n")));
}

/// The settings of a machine whose disk is the delta, with the base at `base`.
fn settings(base: &str, delta: &str) -> String {
    format!(
        "<VirtualBox xmlns=\"http://www.virtualbox.org/\" version=\"1.19-linux\"><Machine uuid=\"{{{WRITTEN}}}\" name=\"web\">\
         <MediaRegistry><HardDisks><HardDisk uuid=\"{{{BASE}}}\" location=\"{base}\" format=\"VMDK\" type=\"Normal\">\
         <HardDisk uuid=\"{{{DELTA}}}\" location=\"{delta}\" format=\"VMDK\"/></HardDisk></HardDisks></MediaRegistry>\
         <Hardware><CPU count=\"1\"/><Memory RAMSize=\"64\"/><StorageControllers><StorageController name=\"SATA\" type=\"AHCI\">\
         <AttachedDevice type=\"HardDisk\" port=\"0\" device=\"0\"><Image uuid=\"{{{DELTA}}}\"/></AttachedDevice>\
         </StorageController></StorageControllers></Hardware></Machine></VirtualBox>"
    )
}

#[test]
fn a_delta_of_virtualbox_finds_its_parent_by_its_identifier() {
    let directory = tempfile::tempdir().unwrap();
    let mut raw = chain(directory.path());
    // Only the first of the snapshots.
    let offset = 2 << 19;
    raw[offset..offset + 65536].copy_from_slice(&contents(SIZE)[offset..offset + 65536]);
    as_virtualbox_has_it(directory.path());
    let delta = format!("Snapshots/{{{DELTA}}}.vmdk");
    let open = |text: String, options: &OpenOptions| {
        let package = Package::open_with(&write(directory.path(), "web.vbox", text), options).unwrap();
        package.open_disk(&package.machine.disks[0])
    };
    let nothing = OpenOptions::default();
    for (base, delta) in [
        ("web.vmdk", delta.as_str()),
        ("/home/u/VMs/web/web.vmdk", &format!("/home/u/VMs/web/{delta}")),
        (r"C:\VMs\web\web.vmdk", &format!(r"C:\VMs\web\Snapshots\{{{DELTA}}}.vmdk")),
    ] {
        let image = open(settings(base, delta), &nothing).unwrap();
        assert_eq!(image.info().layers.len(), 2);
        assert!(read(&image) == raw, "{base}");
    }
    // The base elsewhere: where the registry says.
    let other = tempfile::tempdir().unwrap();
    std::fs::rename(directory.path().join("web.vmdk"), other.path().join("web.vmdk")).unwrap();
    let moved = || settings("/bases/web.vmdk", &delta);
    let missing = crate::make::chain(&open(moved(), &nothing).unwrap_err());
    assert!(missing.contains(BASE), "{missing}");
    let within = OpenOptions { within: vec![other.path().to_path_buf()], ..OpenOptions::default() };
    assert!(read(&open(moved(), &within).unwrap()) == raw);
    // One that was written since is not what the delta was made on.
    describe(&other.path().join("web.vmdk"), |text| text.replace(WRITTEN, DELTA));
    let changed = crate::make::chain(&open(moved(), &within).unwrap_err());
    assert!(changed.contains(WRITTEN), "{changed}");
}

#[test]
fn a_chain_with_a_gap_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    chain(directory.path());
    std::fs::remove_file(directory.path().join("web-000001.vmdk")).unwrap();
    let text = "config.version = 8\nmemsize = 64\nide0:0.present = 1\nide0:0.fileName = web-000002.vmdk\n";
    let package = Package::open(&write(directory.path(), "web.vmx", text)).unwrap();
    let error = package.open_disk(&package.machine.disks[0]).unwrap_err();
    assert!(crate::make::chain(&error).contains("web-000001.vmdk"), "{}", crate::make::chain(&error));
}
