//! The guest's packages hold the guest's disk, as foreign readers see it.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use lab::Package;
use std::fs::File;
use std::path::Path;
use std::process::Command;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn assert_same_content(raw: &Path, vmdk: &str) {
    run(Command::new("qemu-img").args(["compare", "-f", "raw", "-F", "vmdk"]).arg(raw).arg(vmdk));
}

#[test]
fn the_vmx_stands_beside_the_guests_disk() {
    let files = lab::guest(&lab::DEBIAN12_BIOS).unwrap();
    assert_same_content(&files.path(Package::Raw), files.disk(Package::Vmx).unwrap().to_str().unwrap());
    let text = std::fs::read_to_string(files.path(Package::Vmx)).unwrap();
    assert!(text.contains("scsi0:0.fileName = \"debian12.vmdk\"\n"), "{text}");
}

#[test]
fn the_ova_holds_the_guests_disk_with_its_digest() {
    let files = lab::guest(&lab::DEBIAN12_BIOS).unwrap();
    let unpacked = tempfile::tempdir().unwrap();
    tar::Archive::new(File::open(files.path(Package::Ova)).unwrap()).unpack(unpacked.path()).unwrap();
    assert_same_content(
        &files.path(Package::Raw),
        unpacked.path().join("debian12-disk1.vmdk").to_str().unwrap(),
    );

    let manifest = std::fs::read_to_string(unpacked.path().join("debian12.mf")).unwrap();
    std::fs::write(
        unpacked.path().join("bsd-style"),
        manifest.replace("SHA256(", "SHA256 (").replace(")= ", ") = "),
    )
    .unwrap();
    let checked = run(Command::new("sha256sum")
        .args(["--strict", "--check", "bsd-style"])
        .current_dir(unpacked.path()));
    assert_eq!(checked, "debian12.ovf: OK\ndebian12-disk1.vmdk: OK\n");
    run(Command::new("xmllint").arg("--noout").arg(unpacked.path().join("debian12.ovf")));
}

#[test]
fn the_partitions_hold_what_fstab_says() {
    let recipe = &lab::DEBIAN12_BIOS;
    let files = lab::guest(recipe).unwrap();
    let uuid_at = |mib: u32| {
        let offset = (u64::from(mib) * lab::MIB).to_string();
        run(Command::new("/sbin/blkid")
            .args(["-p", "-o", "value", "-s", "UUID", "-O", &offset])
            .arg(files.path(Package::Raw)))
    };
    assert_eq!(uuid_at(recipe.root_start_mib()).trim(), recipe.root_uuid());
    assert_eq!(uuid_at(recipe.swap_start_mib()).trim(), recipe.swap_uuid());
}
