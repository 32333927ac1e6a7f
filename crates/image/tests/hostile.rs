//! Images that somebody has damaged, or made to do damage; each with what is said about it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use image::ErrorKind;
use std::path::{Path, PathBuf};
use support::{disk, failure, file, open, qemu_img};

/// A sparse VMDK of 4 MiB of data in `directory`.
fn sparse(directory: &Path) -> (PathBuf, Vec<u8>) {
    file(directory, "disk.raw", &block::conformance::sample(4 << 20, 5));
    qemu_img(directory, &["convert", "-f", "raw", "-O", "vmdk", "disk.raw", "disk.vmdk"]);
    let path = directory.join("disk.vmdk");
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

/// A stream-optimized VMDK of 4 MiB of compressible data in `directory`.
fn stream(directory: &Path) -> (PathBuf, Vec<u8>) {
    file(directory, "disk.raw", &disk(4 << 20));
    let arguments =
        ["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", "disk.raw", "disk.vmdk"];
    qemu_img(directory, &arguments);
    let path = directory.join("disk.vmdk");
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

fn word(bytes: &[u8], place: usize) -> usize {
    u32::from_le_bytes(bytes[place..place + 4].try_into().unwrap()) as usize
}

/// What is said about `image` with `bytes` at `place`.
fn changed(path: &Path, image: &[u8], place: usize, bytes: &[u8]) -> String {
    let mut image = image.to_vec();
    image[place..place + bytes.len()].copy_from_slice(bytes);
    std::fs::write(path, image).unwrap();
    let message = failure(path);
    assert!(message.contains("disk.vmdk"), "{message}");
    message
}

#[test]
fn headers_that_lie() {
    let directory = tempfile::tempdir().unwrap();
    let (path, image) = sparse(directory.path());
    for (place, bytes, reason) in [
        (4, &[9, 0, 0, 0][..], "version 9 of the sparse header is unknown"),
        (12, &(1_u64 << 60).to_le_bytes(), "a capacity of 1152921504606846976 sectors is absurd"),
        (12, &0_u64.to_le_bytes(), "a capacity of 0 sectors is absurd"),
        (12, &(1_u64 << 46).to_le_bytes(), "a grain directory of 1073741824 entries is absurd"),
        (12, &(1_u64 << 36).to_le_bytes(), "the grain directory of 1048576 entries at sector"),
        (20, &100_u64.to_le_bytes(), "a grain of 100 sectors is not a power of two"),
        (20, &(1_u64 << 40).to_le_bytes(), "a grain of 1099511627776 sectors"),
        (28, &(1_u64 << 50).to_le_bytes(), "absurd or lies outside the file"),
        (36, &(1_u64 << 50).to_le_bytes(), "absurd or lies outside the file"),
        (44, &0_u32.to_le_bytes(), "grain tables of 0 entries"),
        (56, &(1_u64 << 40).to_le_bytes(), "at sector 1099511627776 lies outside the file"),
        (73, b"\r\n\r\n", "transferred as text"),
        (8, &0x0001_0003_u32.to_le_bytes(), "compression 0 is unknown"),
    ] {
        let message = changed(&path, &image, place, bytes);
        assert!(message.contains(reason), "{place}: {message}");
    }
}

#[test]
fn tables_that_lead_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let (path, image) = sparse(directory.path());
    let grain_directory = word(&image, 56) * 512;
    let table = word(&image, grain_directory) * 512;
    let message = changed(&path, &image, grain_directory, &0x7fff_ffff_u32.to_le_bytes());
    assert!(
        message.contains("at byte 1099511627264: grain table 0 at sector 2147483647 lies outside the file"),
        "{message}"
    );
    let message = changed(&path, &image, table + 8, &0x7fff_ffff_u32.to_le_bytes());
    assert!(message.contains("grain 2 at sector 2147483647 lies outside the file"), "{message}");
}

#[test]
fn a_grain_table_that_serves_twice() {
    let directory = tempfile::tempdir().unwrap();
    qemu_img(directory.path(), &["create", "-f", "vmdk", "disk.vmdk", "100M"]);
    let path = directory.path().join("disk.vmdk");
    let image = std::fs::read(&path).unwrap();
    let grain_directory = word(&image, 56) * 512;
    let first = image[grain_directory..grain_directory + 4].to_vec();
    let message = changed(&path, &image, grain_directory + 4, &first);
    assert!(message.contains("two grain directory entries share the table at sector"), "{message}");
}

#[test]
fn truncation_anywhere() {
    let directory = tempfile::tempdir().unwrap();
    for (path, image) in [sparse(directory.path()), stream(directory.path())] {
        for length in [0, 3, 100, 511, 513, 2000, 11_000, 50_000, image.len() / 2, image.len() - 150_000] {
            std::fs::write(&path, &image[..length]).unwrap();
            if length > 3 {
                failure(&path);
            } else {
                // Nothing is left that would show what it was.
                assert_eq!(open(&path).unwrap().info().format, "raw");
            }
        }
    }
}

#[test]
fn compressed_grains_that_lie() {
    let directory = tempfile::tempdir().unwrap();
    let (path, image) = stream(directory.path());
    let grain_directory = word(&image, 56) * 512;
    let table = word(&image, grain_directory) * 512;
    let (number, marker) = (0..64)
        .map(|number| (number, word(&image, table + number * 4) * 512))
        .find(|(_, marker)| *marker > 0)
        .unwrap();
    for (place, bytes, reason) in [
        (marker, &[1][..], "says sector"),
        (marker + 8, &0x7fff_ffff_u32.to_le_bytes(), "of 2147483647 bytes is absurd"),
        (marker + 8, &3_u32.to_le_bytes(), "cannot be decompressed"),
        (marker + 14, &[0xff; 8], "cannot be decompressed"),
    ] {
        let message = changed(&path, &image, place, bytes);
        assert!(message.contains(reason) && message.contains(&format!("grain {number}")), "{message}");
    }
}

/// A descriptor of one extent in `directory`.
fn descriptor(directory: &Path, extent: &str) -> PathBuf {
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=00000001\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n{extent}\n"
    );
    file(directory, "disk.vmdk", text.as_bytes())
}

#[test]
fn extents_that_are_not_the_disks() {
    let root = tempfile::tempdir().unwrap();
    file(root.path(), "secret", &[7; 4096]);
    let directory = root.path().join("vm");
    std::fs::create_dir(&directory).unwrap();
    file(&directory, "short.bin", &[7; 1024]);
    std::os::unix::fs::symlink("../secret", directory.join("link")).unwrap();
    for (extent, reason) in [
        ("RW 8 FLAT \"../secret\" 0", "cannot open \"../secret\": it leads out of"),
        ("RW 8 FLAT \"/etc/passwd\" 0", "cannot open \"/etc/passwd\": it is an absolute name outside of"),
        ("RW 8 FLAT \"link\" 0", "cannot open \"link\": it leads out of"),
        ("RW 8 FLAT \"gone.bin\" 0", "cannot open \"gone.bin\": there is no such file in"),
        ("RW 8 FLAT \"nbd:host\" 0", "it names a protocol (nbd)"),
        ("RW 8 FLAT \"/dev/sda\" 0", "an absolute name outside of"),
        ("RW 8 FLAT \"short.bin\" 0", "extent \"short.bin\" ends at byte 1024, and byte 4096 is needed"),
        ("RW 2 FLAT \"short.bin\" 1", "extent \"short.bin\" ends at byte 1024, and byte 1536 is needed"),
        ("RW 2 FLAT \"short.bin\" 36028797018963968", "ends at byte 1024"),
        (
            "RW 1152921504606846976 FLAT \"short.bin\" 0",
            "a capacity of 1152921504606846976 sectors is absurd",
        ),
        ("RW 8 SPARSE \"short.bin\"", "short.bin at byte 0: the file ends inside the sparse header"),
        ("RW 8 FLAT", "the descriptor has no file for an extent"),
        ("NOACCESS 8 FLAT \"short.bin\" 0", "marked as not accessible"),
        ("RW 8 VMFSRDM \"short.bin\"", "an extent of type VMFSRDM (a raw device mapping"),
        ("RW 8 SESPARSE \"short.bin\"", "the file ends inside the sparse header"),
        ("RW eight FLAT \"short.bin\"", "line 6 of the descriptor is no extent with a number of sectors"),
        ("", "the descriptor has no extents"),
        ("encryptionKeys=\"vmware:key/list\"\nRW 2 FLAT \"short.bin\" 0", "the disk is encrypted"),
    ] {
        let message = failure(&descriptor(&directory, extent));
        assert!(message.contains(reason), "{extent}: {message}");
    }
    let error = open(&descriptor(&directory, "RW 8 FLAT \"../secret\" 0")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.remedy().unwrap().contains("put the file"));
}

#[test]
fn an_extent_without_its_descriptor_is_no_disk() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["create", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "disk.vmdk", "1G"];
    qemu_img(directory.path(), &arguments);
    let error = open(&directory.path().join("disk-s001.vmdk")).unwrap_err();
    assert!(error.to_string().contains("one extent of a split disk"), "{error}");
    assert_eq!(error.remedy(), Some("open the small .vmdk that lists its extents"));
}

/// An empty qcow2 image called `name` whose backing file is `backing`.
fn backed(directory: &Path, name: &str, backing: &str) {
    qemu_img(directory, &["create", "-u", "-f", "qcow2", "-b", backing, "-F", "qcow2", name, "1M"]);
}

#[test]
fn chains_that_do_not_end() {
    let directory = tempfile::tempdir().unwrap();
    backed(directory.path(), "a.qcow2", "b.qcow2");
    backed(directory.path(), "b.qcow2", "./c.qcow2");
    backed(directory.path(), "c.qcow2", "a.qcow2");
    let path = directory.path().join("a.qcow2");
    assert_eq!(failure(&path), format!("the backing chain returns to {}", path.display()));

    qemu_img(directory.path(), &["create", "-f", "qcow2", "0.qcow2", "1M"]);
    for number in 1..=64 {
        backed(directory.path(), &format!("{number}.qcow2"), &format!("{}.qcow2", number - 1));
    }
    let deepest = open(&directory.path().join("63.qcow2")).unwrap();
    assert_eq!(deepest.info().layers.len(), 64);
    image::digest(&deepest, 1).unwrap();
    let message = failure(&directory.path().join("64.qcow2"));
    assert!(message.contains("0.qcow2 is more than 64 images deep"), "{message}");
}

#[test]
fn backing_files_that_must_not_be_reached() {
    let directory = tempfile::tempdir().unwrap();
    for (backing, reason) in [
        ("/etc/passwd", "cannot open \"/etc/passwd\": it is an absolute name outside of"),
        ("../up.qcow2", "cannot open \"../up.qcow2\": it leads out of"),
        ("nbd://localhost/x", "cannot open \"nbd://localhost/x\": it names a protocol (nbd)"),
        ("json:{\"driver\":\"null-co\"}", "it names a protocol (json)"),
        ("gone.qcow2", "there is no such file in"),
    ] {
        backed(directory.path(), "disk.qcow2", backing);
        let message = failure(&directory.path().join("disk.qcow2"));
        assert!(message.contains(reason), "{backing}: {message}");
    }
}

#[test]
fn a_backing_file_that_is_declared_raw_is_never_probed() {
    let directory = tempfile::tempdir().unwrap();
    // A guest has written a qcow2 header into its raw disk, to be shown a file of the host.
    backed(directory.path(), "guest.raw", "secret.qcow2");
    qemu_img(
        directory.path(),
        &["create", "-u", "-f", "qcow2", "-b", "guest.raw", "-F", "raw", "disk.qcow2", "64k"],
    );
    let image = open(&directory.path().join("disk.qcow2")).unwrap();
    assert_eq!(image.info().layers[1].format, "raw");
    let mut magic = [0; 4];
    block::BlockRead::read_at(&image, &mut magic, 0).unwrap();
    assert_eq!(&magic, b"QFI\xfb");
}
