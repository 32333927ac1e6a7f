//! A machine with a snapshot: its `.vmx` names the last delta, and the disk is the whole chain.

use crate::make::{contents, read, write};
use dialect::Package;
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
