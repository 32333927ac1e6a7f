//! Descriptions that name block devices: refused, until the user allows exactly that.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{anyvisor, convert, text, write_raw};
use tempfile::TempDir;

/// A domain, an `xl.cfg` and a `qemu-server` configuration whose disk is a device.
fn descriptions(directory: &Path, device: &str, volume: &str) -> Vec<PathBuf> {
    let domain = format!(
        "<domain type='kvm'><name>a</name><memory>65536</memory><os><type>hvm</type></os><devices>\
         <disk type='block'><source dev='{device}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
    );
    let xl = format!("name = 'b'\nmemory = 64\nkernel = ''\ntype = 'hvm'\ndisk = ['phy:{device},xvda,w']\n");
    let proxmox = format!("name: c\nmemory: 64\nscsi0: local-lvm:{volume},size=1M\n");
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    vec![write("a.xml", domain), write("b.cfg", xl), write("100.conf", proxmox)]
}

/// The disk that a description leads to, converted to a raw image.
fn converted(description: &Path, more: &[&str]) -> Vec<u8> {
    let output = TempDir::new().unwrap();
    let more = [&["--disks-only", "--disk-format", "raw"], more].concat();
    let ran = convert(description, &output.path().join("out"), &more);
    assert_eq!(ran.code, Some(0), "{}: {}", description.display(), ran.stderr);
    let files = fs::read_dir(output.path().join("out")).unwrap().map(|entry| entry.unwrap().path());
    let image = files.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "raw"));
    fs::read(image.unwrap()).unwrap()
}

#[test]
fn a_device_is_read_when_it_is_allowed() {
    let directory = TempDir::new().unwrap();
    let volume = directory.path().join("anyvisor-test-web");
    write_raw(&volume, 1);
    for description in
        descriptions(directory.path(), "/dev/anyvisor-test/anyvisor-test-web", "anyvisor-test-web")
    {
        fs::rename(&volume, directory.path().join("away")).unwrap();
        let refused = anyvisor(&["inspect", text(&description)]);
        assert_eq!(refused.code, Some(3), "{}", refused.stderr);
        assert!(refused.stderr.contains("block device"), "{}", refused.stderr);
        assert!(
            refused.stderr.contains("→ allow it") && refused.stderr.contains("--allow-device"),
            "{}",
            refused.stderr
        );
        fs::rename(directory.path().join("away"), &volume).unwrap();
        // A file stands in for the device; it lies beside none of the descriptions' own names.
        let elsewhere = TempDir::new().unwrap();
        let moved = elsewhere.path().join(description.file_name().unwrap());
        fs::rename(&description, &moved).unwrap();
        assert!(converted(&moved, &["--allow-device", text(&volume)]) == fs::read(&volume).unwrap());
        let other = anyvisor(&["inspect", text(&moved), "--allow-device", "/dev/null"]);
        assert_eq!(other.code, Some(3), "{}", other.stderr);
    }
}

#[test]
fn a_directory_that_is_not_below_dev_is_none_of_devices() {
    let directory = TempDir::new().unwrap();
    let description = descriptions(directory.path(), "/dev/sda", "sda").remove(0);
    let ran = anyvisor(&["inspect", text(&description), "--allow-device", text(directory.path())]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stderr.contains("leads out of /dev"), "{}", ran.stderr);
}

/// A loop device over a file, while it lives.
struct Loop(String);

impl Loop {
    fn over(file: &Path) -> Option<Self> {
        let made =
            Command::new("losetup").args(["--find", "--show", "--read-only"]).arg(file).output().ok()?;
        made.status.success().then(|| Self(String::from_utf8_lossy(&made.stdout).trim().to_owned()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

#[test]
fn a_real_device_is_read_by_its_path_or_its_directory() {
    let directory = TempDir::new().unwrap();
    let disk = directory.path().join("disk.raw");
    write_raw(&disk, 1);
    let Some(device) = Loop::over(&disk) else {
        println!("skipped: no loop device can be made here");
        return;
    };
    let description = descriptions(directory.path(), &device.0, "none").remove(0);
    let refused = anyvisor(&["inspect", text(&description)]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    for allowed in [device.0.as_str(), "/dev"] {
        assert!(
            converted(&description, &["--allow-device", allowed]) == fs::read(&disk).unwrap(),
            "{allowed}"
        );
    }
}
