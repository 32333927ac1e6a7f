//! Archives that are written here, read by tar(1), sha256sum(1), virt-v2v and ourselves.

use crate::make::{contents, read, stream_optimized, write};
use dialect::package::{Ova, OvaError, OvaFile, write_ova};
use dialect::{DiskFile, Package, RenderOptions};
use image::NoProgress;
use machine::{Disk, Machine};
use profile::Profile;
use std::path::{Path, PathBuf};
use std::process::Command;

const SIZE: usize = 3 << 20;

/// The machine of a package with two disks, on the profile's hardware.
fn machine(profile: &Profile) -> Machine {
    let text = "virtualHW.version = 20\ndisplayName = web\nmemsize = 2048\nnumvcpus = 4\ncpuid.coresPerSocket = 2\nguestOS = debian12-64\n\
                ethernet0.present = 1\nethernet0.virtualDev = vmxnet3\nethernet0.networkName = \"VM Network\"\n\
                ethernet0.address = 00:50:56:01:02:03\nethernet0.addressType = static\n";
    let mut machine = dialect::vmx::parse(text.as_bytes()).unwrap().machine;
    let disk = |id: &str, unit| {
        let attachment = machine::Attachment { unit, ..machine::Attachment::default() };
        Disk { id: id.to_owned(), attachment, capacity: Some(SIZE as u64), ..Disk::default() }
    };
    machine.disks = vec![disk("disk1", 0), disk("disk2", 1)];
    dialect::adapt(&machine, profile).machine
}

/// Writes a package of two disks; gives back its path.
fn package(directory: &Path, profile: &Profile, stem: &str) -> PathBuf {
    let raw = contents(SIZE);
    let names = [format!("{stem}-disk1.vmdk"), format!("{stem}-disk2.vmdk")];
    let paths = names.each_ref().map(|name| write(directory, name, stream_optimized(directory, &raw)));
    let machine = machine(profile);
    let disks = machine.disks.iter().zip(&names).zip(&paths).map(|((disk, name), path)| DiskFile {
        id: disk.id.clone(),
        path: name.into(),
        format: "vmdk".to_owned(),
        subformat: Some("streamOptimized".to_owned()),
        capacity: SIZE as u64,
        file_size: Some(std::fs::metadata(path).unwrap().len()),
        ..DiskFile::default()
    });
    let options = RenderOptions { disks: disks.collect(), ..RenderOptions::default() };
    let descriptor = dialect::ovf::render(&machine, profile, &options).unwrap().text;
    let files: Vec<OvaFile> = names.iter().zip(&paths).map(|(name, path)| OvaFile { name, path }).collect();
    let ova = Ova {
        descriptor_name: &format!("{stem}.ovf"),
        descriptor: &descriptor,
        files: &files,
        modified: 1_700_000_000,
    };
    let path = directory.join(format!("{stem}.ova"));
    let out = std::fs::File::create(&path).unwrap();
    let written = write_ova(out, &ova, &NoProgress).unwrap();
    assert_eq!(written.size, std::fs::metadata(&path).unwrap().len());
    path
}

fn run(program: &str, debian: &str, arguments: &[&str], directory: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed (Debian: {debian}): {error}"));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_written_package_is_opened_and_verified() {
    for profile in ["esxi", "workstation", "virtualbox"] {
        let directory = tempfile::tempdir().unwrap();
        let profile = profile::find(profile).unwrap();
        let path = package(directory.path(), profile, "web");
        let package = Package::open(&path).unwrap();
        assert_eq!((package.kind, package.machine.name.as_str()), ("ova", "web"));
        let digests = package.verify(&NoProgress).unwrap();
        let files: Vec<&str> = digests.iter().map(|one| one.file.as_str()).collect();
        assert_eq!(files, ["web.ovf", "web-disk1.vmdk", "web-disk2.vmdk"]);
        assert_eq!(package.machine.disks.len(), 2);
        for disk in &package.machine.disks {
            let image = package.open_disk(disk).unwrap();
            assert!(read(&image) == contents(SIZE));
            assert_eq!(package.compare_capacity(disk, &image), None);
        }
        let said: Vec<String> = package.losses.iter().map(ToString::to_string).collect();
        assert!(said.iter().all(|said| !said.contains("manifest") && !said.contains("file \"")), "{said:?}");
    }
}

#[test]
fn others_read_a_written_package() {
    let directory = tempfile::tempdir().unwrap();
    // A name that no ustar header holds.
    for stem in ["web", &"n".repeat(120)] {
        let path = package(directory.path(), profile::find("esxi").unwrap(), stem);
        let path = path.to_str().unwrap();
        let members = run("tar", "tar", &["-tf", path], directory.path());
        let expected =
            [".ovf", ".mf", "-disk1.vmdk", "-disk2.vmdk"].map(|ending| format!("{stem}{ending}\n"));
        assert_eq!(members, expected.concat());
        let unpacked = directory.path().join("unpacked");
        std::fs::create_dir_all(&unpacked).unwrap();
        run("tar", "tar", &["-xf", path], &unpacked);
        let manifest = std::fs::read_to_string(unpacked.join(format!("{stem}.mf"))).unwrap();
        for member in [".ovf", "-disk1.vmdk", "-disk2.vmdk"].map(|ending| format!("{stem}{ending}")) {
            let sum = run("sha256sum", "coreutils", &[&member], &unpacked);
            let digest = sum.split(' ').next().unwrap();
            assert!(manifest.contains(&format!("SHA256({member})= {digest}\n")), "{manifest}");
        }
        assert_eq!(manifest.lines().count(), 3);
    }
}

#[test]
fn virt_v2v_reads_the_machine_of_a_written_package() {
    if Command::new("virt-v2v").arg("--version").output().is_err() {
        println!(
            "skipped: virt-v2v is not installed, and drags half a distribution in (`./dev bench convert` installs it)"
        );
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = package(directory.path(), profile::find("esxi").unwrap(), "web");
    let arguments = ["-i", "ova", path.to_str().unwrap(), "--print-source"];
    let said = run("virt-v2v", "virt-v2v", &arguments, directory.path());
    for fact in ["source name: web", "memory: 2147483648 (bytes)", "nr vCPUs: 4", "firmware: bios"] {
        assert!(said.contains(fact), "{fact:?} is not in {said}");
    }
    assert!(said.contains("\"VM Network\"") && said.contains("[vmxnet3]"), "{said}");
}

#[test]
fn the_same_package_has_the_same_bytes() {
    let profile = profile::find("virtualbox").unwrap();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = |directory: &Path| write(directory, "d.vmdk", contents(SIZE));
    let machine = Machine { disks: Vec::new(), ..machine(profile) };
    let descriptor = dialect::ovf::render(&machine, profile, &RenderOptions::default()).unwrap().text;
    let bytes = |directory: &Path| {
        let path = disk(directory);
        let files = [OvaFile { name: "d.vmdk", path: &path }];
        let ova = Ova { descriptor_name: "d.ovf", descriptor: &descriptor, files: &files, modified: 1 };
        let mut out = std::io::Cursor::new(Vec::new());
        write_ova(&mut out, &ova, &NoProgress).unwrap();
        out.into_inner()
    };
    assert!(bytes(first.path()) == bytes(second.path()));
}

#[test]
fn what_cannot_be_packed_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let here = write(directory.path(), "a", b"a");
    let gone = directory.path().join("gone");
    let attempt = |name: &str, path: &Path| {
        let files = [OvaFile { name, path }];
        let ova = Ova { descriptor_name: "d.ovf", descriptor: "<a/>", files: &files, modified: 1 };
        write_ova(std::io::Cursor::new(Vec::new()), &ova, &NoProgress).unwrap_err()
    };
    assert!(matches!(attempt("gone", &gone), OvaError::Read { .. }));
    for name in ["d.ovf", "d.mf", "../a", "", "a\nSHA256(d.ovf)= 0"] {
        assert!(matches!(attempt(name, &here), OvaError::Name { .. }), "{name}");
    }
}
