//! qcow2 images that QEMU writes, read back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use image::{DirectoryGate, Gate, Image, OpenOptions, Passphrase};
use std::path::Path;
use std::sync::Arc;
use support::{disk, failure, file, open, qemu_img};

/// `bytes` as a qcow2 image made with further `arguments` of `qemu-img convert`.
fn qcow2(directory: &Path, name: &str, arguments: &[&str], bytes: &[u8]) -> std::path::PathBuf {
    file(directory, "disk.raw", bytes);
    qemu_img(directory, &[&["convert", "-f", "raw", "-O", "qcow2"], arguments, &["disk.raw", name]].concat());
    directory.join(name)
}

#[test]
fn every_variant_reads_as_what_was_written() {
    let bytes = disk((21 << 18) + 5 * 512);
    for arguments in [
        &[][..],
        &["-o", "compat=0.10"],
        &["-o", "cluster_size=512"],
        &["-o", "cluster_size=2M"],
        &["-o", "extended_l2=on,cluster_size=128k"],
        &["-o", "lazy_refcounts=on,refcount_bits=64"],
        &["-o", "preallocation=metadata"],
        &["-c"],
        &["-c", "-o", "cluster_size=4k"],
        &["-c", "-o", "compression_type=zstd"],
        &["-c", "-o", "compression_type=zstd,cluster_size=2M"],
    ] {
        let directory = tempfile::tempdir().unwrap();
        let image = open(&qcow2(directory.path(), "disk.qcow2", arguments, &bytes)).unwrap();
        assert_eq!(image.info().format, "qcow2", "{arguments:?}");
        block::conformance::read(&image, &bytes);
    }
}

fn qemu_io(directory: &Path, image: &str, commands: &[&str]) {
    let commands = commands.iter().flat_map(|command| ["-c", command]);
    let output = std::process::Command::new("qemu-io")
        .args(["-f", "qcow2"])
        .args(commands)
        .arg(image)
        .current_dir(directory)
        .output()
        .expect("qemu-io runs (Debian package qemu-utils)");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_chain_over_images_of_other_sizes_and_formats() {
    for options in ["cluster_size=64k", "cluster_size=64k,extended_l2=on"] {
        let directory = tempfile::tempdir().unwrap();
        let base = disk(3 << 20);
        file(directory.path(), "base.raw", &base);
        let create = |name: &str, parent: &str, format: &str, size: &str| {
            let arguments = ["create", "-f", "qcow2", "-o", options, "-b", parent, "-F", format, name, size];
            qemu_img(directory.path(), &arguments);
        };
        create("middle.qcow2", "base.raw", "raw", "5M");
        create("top.qcow2", "middle.qcow2", "qcow2", "4M");
        // Written, zeroed and discarded; nothing of it at cluster boundaries.
        qemu_io(
            directory.path(),
            "middle.qcow2",
            &["write -P 1 1000448 70144", "write -P 2 3146240 512", "write -z 2M 64k"],
        );
        qemu_io(
            directory.path(),
            "top.qcow2",
            &["write -P 3 1024000 512", "write -z 100352 200704", "discard 1M 64k"],
        );
        qemu_img(directory.path(), &["convert", "-O", "raw", "top.qcow2", "expected.raw"]);
        let expected = std::fs::read(directory.path().join("expected.raw")).unwrap();
        let image = open(&directory.path().join("top.qcow2")).unwrap();
        assert_eq!(
            image.info().layers.iter().map(|layer| layer.format).collect::<Vec<_>>(),
            ["qcow2", "qcow2", "raw"]
        );
        block::conformance::read(&image, &expected);
    }
}

#[test]
fn an_image_of_few_written_bytes_needs_no_more_of_its_file() {
    let directory = tempfile::tempdir().unwrap();
    qemu_img(directory.path(), &["create", "-f", "qcow2", "small.qcow2", "1M"]);
    qemu_io(directory.path(), "small.qcow2", &["write -P 7 1024 512"]);
    let mut expected = vec![0; 1 << 20];
    expected[1024..1536].fill(7);
    block::conformance::read(&open(&directory.path().join("small.qcow2")).unwrap(), &expected);
}

fn open_with(path: &Path, options: &OpenOptions) -> image::Result<Image> {
    let (gate, name) = DirectoryGate::for_file(path).unwrap();
    let gate: Arc<dyn Gate> = Arc::new(gate);
    image::open_with(&gate, &name, options)
}

#[test]
fn internal_snapshots_are_listed_and_opened() {
    for arguments in [&[][..], &["-c"], &["-o", "compat=0.10"], &["-o", "extended_l2=on"]] {
        let directory = tempfile::tempdir().unwrap();
        let before = disk(2 << 20);
        let path = qcow2(directory.path(), "disk.qcow2", arguments, &before);
        qemu_img(directory.path(), &["snapshot", "-c", "before", "disk.qcow2"]);
        qemu_io(directory.path(), "disk.qcow2", &["write -P 9 65536 65536"]);
        // Its name is the other one's identifier.
        qemu_img(directory.path(), &["snapshot", "-c", "1", "disk.qcow2"]);
        let mut after = before.clone();
        after[65_536..131_072].fill(9);
        let image = open(&path).unwrap();
        block::conformance::read(&image, &after);
        let snapshots = &image.info().layers[0].snapshots;
        let named: Vec<_> = snapshots.iter().map(|one| (one.id.as_str(), one.name.as_str())).collect();
        assert_eq!(named, [("1", "before"), ("2", "1")]);
        assert_eq!((snapshots[0].virtual_size, snapshots[0].state_bytes), (2 << 20, 0));
        assert!(snapshots[0].seconds > 1_600_000_000);
        for (wanted, expected) in [("1", &before), ("before", &before), ("2", &after)] {
            let options = OpenOptions { snapshot: Some(wanted.to_owned()), ..OpenOptions::default() };
            block::conformance::read(&open_with(&path, &options).unwrap(), expected);
        }
        let options = OpenOptions { snapshot: Some("3".to_owned()), ..OpenOptions::default() };
        let error = open_with(&path, &options).unwrap_err();
        assert!(error.to_string().ends_with("there is no internal snapshot \"3\""), "{error}");
        assert!(error.remedy().is_some());
    }
}

#[test]
fn a_snapshot_keeps_the_size_that_the_disk_had() {
    let directory = tempfile::tempdir().unwrap();
    let path = qcow2(directory.path(), "disk.qcow2", &[], &disk(1 << 20));
    qemu_img(directory.path(), &["snapshot", "-c", "small", "disk.qcow2"]);
    qemu_img(directory.path(), &["resize", "-q", "disk.qcow2", "2G"]);
    let options = OpenOptions { snapshot: Some("small".to_owned()), ..OpenOptions::default() };
    block::conformance::read(&open_with(&path, &options).unwrap(), &disk(1 << 20));
    assert_eq!(block::BlockRead::size(&open(&path).unwrap()), 2 << 30);
}

#[test]
fn data_in_a_file_of_its_own() {
    let bytes = disk((3 << 20) + 512);
    for arguments in ["data_file=guest.data", "data_file=guest.data,data_file_raw=on"] {
        let directory = tempfile::tempdir().unwrap();
        let path = qcow2(directory.path(), "disk.qcow2", &["-o", arguments], &bytes);
        let image = open(&path).unwrap();
        block::conformance::read(&image, &bytes);
        let layer = &image.info().layers[0];
        assert_eq!(layer.files, ["disk.qcow2", "guest.data"]);
        assert_eq!(layer.facts.get("data_file").map(String::as_str), Some("guest.data"));
        assert_eq!(layer.facts.contains_key("data_file_raw"), arguments.contains("raw=on"));
        std::fs::remove_file(directory.path().join("guest.data")).unwrap();
        let error = open(&path).unwrap_err();
        assert_eq!(error.kind(), image::ErrorKind::Missing);
        std::os::unix::fs::symlink("/etc/passwd", directory.path().join("guest.data")).unwrap();
        assert_eq!(open(&path).unwrap_err().kind(), image::ErrorKind::Refused);
    }
}

/// What QEMU needs to write an image that `passphrase` unlocks.
fn luks(directory: &Path, name: &str, options: &str, passphrase: &str, bytes: &[u8]) -> std::path::PathBuf {
    file(directory, "disk.raw", bytes);
    let secret = format!("secret,id=key,data={passphrase}");
    let options = format!("encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10,{options}");
    let arguments =
        ["convert", "--object", &secret, "-f", "raw", "-O", "qcow2", "-o", &options, "disk.raw", name];
    qemu_img(directory, &arguments);
    directory.join(name)
}

#[test]
fn encrypted_images_are_read_with_their_passphrase() {
    let bytes = disk((300 << 10) + 512);
    for options in [
        "cluster_size=64k",
        "cluster_size=512,encrypt.cipher-alg=aes-128,encrypt.hash-alg=sha1",
        "extended_l2=on,encrypt.hash-alg=sha512,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256",
        "data_file=guest.data,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=plain64,encrypt.cipher-alg=aes-128",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = luks(directory.path(), "disk.qcow2", options, "correct horse", &bytes);
        let with = |passphrase: &str| OpenOptions {
            passphrase: Some(Passphrase::new(passphrase)),
            ..OpenOptions::default()
        };
        let image = open_with(&path, &with("correct horse")).unwrap();
        assert_eq!(image.info().layers[0].facts.get("encryption").map(String::as_str), Some("luks"));
        block::conformance::read(&image, &bytes);
        let error = open_with(&path, &with("battery staple")).unwrap_err();
        assert!(error.to_string().ends_with("the passphrase unlocks none of the image's keys"), "{error}");
        let error = open(&path).unwrap_err();
        assert!(error.to_string().ends_with("no passphrase was given"), "{error}");
        assert_eq!(error.remedy(), Some("give the passphrase that unlocks it"));
    }
}

#[test]
fn luks_headers_that_lie() {
    let directory = tempfile::tempdir().unwrap();
    let path = luks(directory.path(), "disk.qcow2", "cluster_size=64k", "key", &disk(1 << 20));
    let good = std::fs::read(&path).unwrap();
    let start = good.windows(6).position(|bytes| bytes == b"LUKS\xba\xbe").unwrap();
    let options = OpenOptions { passphrase: Some(Passphrase::new("key")), ..OpenOptions::default() };
    assert!(open_with(&path, &options).is_ok());
    for (place, bytes, reason) in [
        (0, &b"SKUL"[..], "is not of LUKS version 1"),
        (7, &[2], "is not of LUKS version 1"),
        (8, b"serpent", "the encryption \"serpent-xts-plain64\" is not supported"),
        (72, b"whirlpool", "the encryption \"whirlpool\" is not supported"),
        (108, &[0, 1, 0, 0], "a key of an unknown length"),
        (108, &[0, 0, 0, 40], "aes-xts-plain64 with a key of 40 bytes"),
        (164, &[0xff; 4], "an absurd number of iterations"),
        (212, &[0xff; 4], "an absurd number of iterations"),
        (248, &[0xff; 4], "has key material outside of it"),
        (252, &[0xff; 4], "an absurd number of stripes"),
        (208, &[0; 4], "unlocks none of the image's keys"),
    ] {
        let mut image = good.clone();
        image[start + place..start + place + bytes.len()].copy_from_slice(bytes);
        std::fs::write(&path, image).unwrap();
        let error = open_with(&path, &options).unwrap_err();
        assert!(error.to_string().contains(reason), "{reason}: {error}");
    }
}

#[test]
fn what_an_image_says_of_itself() {
    let directory = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str]| {
        let path = qcow2(directory.path(), "disk.qcow2", arguments, &disk(1 << 20));
        let facts = open(&path).unwrap().info().layers[0].facts.clone();
        facts.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(said(&[]), "compatibility=1.1 compression=zlib refcount_bits=16");
    assert_eq!(said(&["-o", "compat=0.10"]), "compatibility=0.10 compression=zlib refcount_bits=16");
    assert_eq!(
        said(&["-o", "compression_type=zstd,lazy_refcounts=on,refcount_bits=64,extended_l2=on"]),
        "compatibility=1.1 compression=zstd extended_l2=yes lazy_refcounts=yes refcount_bits=64"
    );
    let path = qcow2(directory.path(), "disk.qcow2", &["-o", "lazy_refcounts=on"], &disk(1 << 20));
    let mut image = std::fs::read(&path).unwrap();
    image[79] |= 1;
    std::fs::write(&path, image).unwrap();
    let image = open(&path).unwrap();
    assert_eq!(image.info().layers[0].facts.get("dirty").map(String::as_str), Some("yes"));
    block::conformance::read(&image, &disk(1 << 20));
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = qcow2(directory.path(), "disk.qcow2", &[], &disk(1 << 20));
    let good = std::fs::read(&path).unwrap();
    let with = |place: usize, bytes: &[u8]| {
        let mut image = good.clone();
        image[place..place + bytes.len()].copy_from_slice(bytes);
        std::fs::write(&path, image).unwrap();
        failure(&path)
    };
    for (place, bytes, reason) in [
        (4, &[0, 0, 0, 9][..], "version 9 is unknown"),
        (20, &[0, 0, 0, 40], "a cluster of 2^40 bytes"),
        (24, &[0x7f; 8], "a size of 9187201950435737471 bytes is absurd"),
        (32, &[0, 0, 0, 1], "the image is encrypted (AES)"),
        (32, &[0, 0, 0, 2], "the LUKS header is not where it should be"),
        (36, &[0, 0, 0, 0], "an L1 table of 0 entries"),
        (36, &[0x7f, 0, 0, 0], "an L1 table of 2130706432 entries"),
        (40, &[0, 0x7f, 0, 0, 0, 0, 0, 0], "lies outside the file"),
        (79, &[2], "marked as corrupt"),
        (79, &[4], "external data file, which the image does not name"),
        (72, &[0x80], "incompatible features 0x8000000000000000 are unknown"),
        (100, &[0, 0, 0, 7], "the header of 7 bytes makes no sense"),
    ] {
        let message = with(place, bytes);
        assert!(message.contains(reason), "{message}");
        assert!(message.contains("disk.qcow2"), "{message}");
    }
    // The L1 table's first entry, and the first L2 table's first.
    let l1 = usize::try_from(u64::from_be_bytes(good[40..48].try_into().unwrap())).unwrap();
    let message = with(l1, &(1_u64 << 50 | 1 << 63).to_be_bytes());
    assert!(message.contains("L2 table 0 lies outside the file"), "{message}");
    let l2 = (u64::from_be_bytes(good[l1..l1 + 8].try_into().unwrap()) & 0x00ff_ffff_ffff_fe00) as usize;
    let message = with(l2 + 16, &(1_u64 << 50 | 1 << 63).to_be_bytes());
    assert!(message.contains("cluster 2 lies outside the file"), "{message}");
    std::fs::write(&path, &good[..good.len() - 200_000]).unwrap();
    assert!(failure(&path).contains("lies outside the file"));
}
