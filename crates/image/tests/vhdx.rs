//! VHDX images: those of others read, and ours read by others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
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
