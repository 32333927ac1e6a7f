//! VHDX images: those of others read, and ours read by others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use block::{BlockRead, BlockWrite, MemoryDisk};
use image::{CopyOptions, NewImage, NoProgress};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use support::{disk, file, open, qemu_img};

/// `bytes` as a VHDX made with further `arguments` of `qemu-img convert`.
fn qemu_vhdx(directory: &Path, arguments: &[&str], bytes: &[u8]) -> PathBuf {
    file(directory, "disk.raw", bytes);
    qemu_img(
        directory,
        &[&["convert", "-f", "raw", "-O", "vhdx"], arguments, &["disk.raw", "disk.vhdx"]].concat(),
    );
    directory.join("disk.vhdx")
}

#[test]
fn what_qemu_writes_reads_as_what_was_written() {
    let bytes = disk((21 << 18) + 5 * 512);
    for arguments in [
        &[][..],
        &["-o", "subformat=fixed"],
        &["-o", "block_size=1M"],
        &["-o", "block_size=256M"],
        &["-o", "block_state_zero=off"],
        &["-o", "log_size=3M"],
    ] {
        let directory = tempfile::tempdir().unwrap();
        let image = open(&qemu_vhdx(directory.path(), arguments, &bytes)).unwrap();
        let info = &image.info().layers[0];
        let kind = if arguments.contains(&"subformat=fixed") { "fixed" } else { "dynamic" };
        assert_eq!((info.format, info.subformat.as_deref()), ("vhdx", Some(kind)), "{arguments:?}");
        block::conformance::read(&image, &bytes);
    }
}

/// A new VHDX with these properties.
fn new(subformat: &str, block_size: Option<u64>, preallocate: bool) -> NewImage {
    let format = image::by_name("vhdx").unwrap();
    let subformat = Some(subformat.to_owned());
    NewImage { subformat, cluster_size: block_size, preallocate, ..NewImage::new(format) }
}

fn copy(bytes: &[u8], target: &Path, new: &NewImage) {
    let source = Arc::new(MemoryDisk::from_bytes(bytes.to_vec()));
    image::copy(source, target, new, &CopyOptions::default(), &NoProgress).unwrap();
}

/// What 7-Zip reads of the image `name` in `directory`.
fn seven_zip(directory: &Path, name: &str) -> Vec<u8> {
    let output = Command::new("7zz")
        .args(["x", "-so", "-tvhdx", name])
        .current_dir(directory)
        .output()
        .expect("7zz runs (./dev test installs it: Debian package 7zip)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn what_we_write_reads_as_what_was_written_by_others_too() {
    for (size, new) in [
        (512, new("dynamic", None, false)),
        ((5 << 20) + 512, new("dynamic", None, false)),
        ((5 << 20) + 512, new("dynamic", Some(32 << 20), false)),
        (40 << 20, new("dynamic", Some(2 << 20), false)),
        ((5 << 20) + 512, new("fixed", None, false)),
        ((5 << 20) + 512, new("fixed", Some(4 << 20), true)),
        ((40 << 20) + 4096, new("fixed", Some(256 << 20), false)),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let bytes = disk(size);
        let path = directory.path().join("disk.vhdx");
        copy(&bytes, &path, &new);
        file(directory.path(), "disk.raw", &bytes);
        qemu_img(directory.path(), &["check", "-q", "-f", "vhdx", "disk.vhdx"]);
        qemu_img(directory.path(), &["compare", "-q", "-F", "vhdx", "-f", "raw", "disk.raw", "disk.vhdx"]);
        // 7-Zip opens no disk, whoever made it, that is not whole in sectors of 4,096 bytes.
        if size.is_multiple_of(4096) {
            assert!(seven_zip(directory.path(), "disk.vhdx") == bytes, "7-Zip, {new:?}");
        }
        let image = open(&path).unwrap();
        assert_eq!(image.info().subformat, new.subformat);
        assert_eq!(
            image.info().layers[0].facts["creator"],
            format!("Anyvisor {}", env!("CARGO_PKG_VERSION"))
        );
        block::conformance::read(&image, &bytes);
    }
}

#[test]
fn a_disk_of_64_tib_is_quick_and_small() {
    let directory = tempfile::tempdir().unwrap();
    let source = MemoryDisk::new(64 << 40);
    for offset in [0, 32 << 40, (64 << 40) - 10] {
        source.write_at(b"data there", offset).unwrap();
    }
    for subformat in ["dynamic", "fixed"] {
        let path = directory.path().join(format!("{subformat}.vhdx"));
        let options = CopyOptions { digest: false, ..CopyOptions::default() };
        // The file of a fixed disk is longer than some filesystems can have files.
        if subformat == "fixed" && std::fs::File::create(&path).unwrap().set_len(65 << 40).is_err() {
            continue;
        }
        let options = CopyOptions { overwrite: true, ..options };
        let target = new(subformat, None, false);
        let report = image::copy(Arc::new(source.clone()), &path, &target, &options, &NoProgress).unwrap();
        assert!(report.file_bytes < 20 << 20, "{report:?}");
        let image = open(&path).unwrap();
        assert_eq!(image.info().layers[0].cluster_size, Some(32 << 20));
        let mut tail = [0; 10];
        image.read_at(&mut tail, (64 << 40) - 10).unwrap();
        assert_eq!(&tail, b"data there");
    }
    let source = Arc::new(MemoryDisk::new((64 << 40) + 512));
    let error = image::copy(
        source,
        &directory.path().join("more.vhdx"),
        &new("dynamic", None, false),
        &CopyOptions::default(),
        &NoProgress,
    );
    assert!(matches!(error, Err(image::Error::TooLarge { .. })));
}
