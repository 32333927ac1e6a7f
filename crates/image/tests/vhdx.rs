//! VHDX images: those of others read, and ours read by others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use block::{BlockRead, BlockWrite, MemoryDisk};
use image::{CopyOptions, NewImage, NoProgress};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use support::{disk, failure, file, open, qemu_img};

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
        (12 << 20, new("dynamic", Some(2 << 20), false)),
        ((5 << 20) + 512, new("fixed", None, false)),
        ((5 << 20) + 512, new("fixed", Some(4 << 20), true)),
        ((9 << 20) + 4096, new("fixed", Some(64 << 20), false)),
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

fn qemu_io(directory: &Path, image: &str, commands: &[&str]) {
    let commands = commands.iter().flat_map(|command| ["-c", command]);
    let output = Command::new("qemu-io")
        .args(["-f", "vhdx"])
        .args(commands)
        .arg(image)
        .current_dir(directory)
        .output()
        .expect("qemu-io runs (Debian package qemu-utils)");
    assert!(output.status.success(), "{output:?}");
}

/// Puts `bytes` at `place`, and gives a structure of `length` bytes at `structure` its checksum again.
fn patch(image: &mut [u8], place: usize, bytes: &[u8], structure: Option<(usize, usize)>) {
    image[place..place + bytes.len()].copy_from_slice(bytes);
    if let Some((start, length)) = structure {
        image[start + 4..start + 8].fill(0);
        let crc = crc32c::crc32c(&image[start..start + length]);
        image[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }
}

fn word(bytes: &[u8], place: usize) -> u64 {
    u64::from_le_bytes(bytes[place..place + 8].try_into().unwrap())
}

const HEADERS: [usize; 2] = [64 << 10, 128 << 10];
const REGIONS: [usize; 2] = [192 << 10, 256 << 10];

/// Where the region whose identifier begins with `id` is, by the first region table.
fn region(image: &[u8], id: u32) -> usize {
    let entries = (0..2).map(|number| REGIONS[0] + 16 + number * 32);
    let entry = entries.into_iter().find(|entry| image[*entry..].starts_with(&id.to_le_bytes())).unwrap();
    word(image, entry + 16) as usize
}

const BAT: u32 = 0x2dc2_7766;
const METADATA: u32 = 0x8b7c_a206;

#[test]
fn a_log_that_qemu_left_is_replayed_as_qemu_replays_it() {
    let directory = tempfile::tempdir().unwrap();
    qemu_img(directory.path(), &["create", "-q", "-f", "vhdx", "-o", "block_size=1M", "disk.vhdx", "10M"]);
    qemu_io(directory.path(), "disk.vhdx", &["write -P 7 0 64k", "write -P 8 3M 1M", "flush"]);
    let path = directory.path().join("disk.vhdx");
    let mut image = std::fs::read(&path).unwrap();
    // QEMU's log holds what its table became last. The table is as if that had never arrived, and the headers as if
    // QEMU had been killed before it did.
    let bat = region(&image, BAT);
    patch(&mut image, bat, &[0; 4096], None);
    let log = word(&image, HEADERS[0] + 72) as usize;
    let entries =
        (0..256).map(|sector| log + sector * 4096).filter(|entry| image[*entry..].starts_with(b"loge"));
    let newest = entries.max_by_key(|entry| word(&image, *entry + 16)).unwrap();
    let guid = image[newest + 32..newest + 48].to_vec();
    for header in HEADERS {
        patch(&mut image, header + 48, &guid, Some((header, 4096)));
    }
    std::fs::write(&path, &image).unwrap();

    let disk = open(&path).unwrap();
    assert_eq!(disk.info().layers[0].facts["log"], "1 entries to be replayed");
    let mut ours = vec![0; 10 << 20];
    disk.read_at(&mut ours, 0).unwrap();
    assert!(std::fs::read(&path).unwrap() == image, "the source is never written");
    assert!(ours[..65_536].iter().all(|byte| *byte == 7) && ours[3 << 20] == 8);

    file(directory.path(), "copy.vhdx", &image);
    let repaired = image::repair(&path).unwrap();
    assert!(repaired.is_clean() && repaired.findings[0].what.contains("entries of the log"), "{repaired:?}");
    qemu_img(directory.path(), &["check", "-q", "-f", "vhdx", "disk.vhdx"]);
    qemu_img(directory.path(), &["check", "-q", "-r", "all", "-f", "vhdx", "copy.vhdx"]);
    file(directory.path(), "ours.raw", &ours);
    for theirs in ["copy.vhdx", "disk.vhdx"] {
        qemu_img(directory.path(), &["compare", "-q", "-f", "raw", "-F", "vhdx", "ours.raw", theirs]);
    }
}

#[test]
fn a_new_size_is_one_for_others_too() {
    for (new, sizes) in [
        (new("dynamic", None, false), [20 << 20, 9 << 20]),
        (new("dynamic", None, false), [300 << 30, 9 << 20]),
        (new("fixed", None, false), [20 << 20, 20 << 20]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut bytes = disk(5 << 20);
        let path = directory.path().join("disk.vhdx");
        copy(&bytes, &path, &new);
        for size in sizes {
            image::resize(&path, size).unwrap();
            bytes.resize(20 << 20, 0);
            file(directory.path(), "disk.raw", &bytes[..(size as usize).min(bytes.len())]);
            qemu_img(directory.path(), &["check", "-q", "-f", "vhdx", "disk.vhdx"]);
            // QEMU takes minutes to compare hundreds of GiB of nothing.
            if size <= bytes.len() as u64 {
                let arguments = ["compare", "-q", "-f", "raw", "-F", "vhdx", "disk.raw", "disk.vhdx"];
                qemu_img(directory.path(), &arguments);
            }
            assert!(check(&path).is_clean(), "{:?}", check(&path));
        }
    }
}

fn check(path: &Path) -> image::Check {
    let (gate, name) = image::DirectoryGate::for_file(path).unwrap();
    let gate: Arc<dyn image::Gate> = Arc::new(gate);
    image::check(&gate, &name, &image::OpenOptions::default()).unwrap()
}

#[test]
fn what_others_write_is_clean() {
    for arguments in [&[][..], &["-o", "subformat=fixed"]] {
        let directory = tempfile::tempdir().unwrap();
        let path = qemu_vhdx(directory.path(), arguments, &disk(9 << 20));
        assert_eq!(check(&path).damages, 0, "{:?}", check(&path));
    }
}

#[test]
fn images_that_lie_are_refused_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.vhdx");
    copy(&disk(5 << 20), &path, &new("dynamic", None, false));
    let good = std::fs::read(&path).unwrap();
    let (bat, metadata) = (region(&good, BAT), region(&good, METADATA));
    let item = |number: usize| metadata + 32 + number * 32;
    let items = metadata + (64 << 10);
    // A change to the second header, the newer one, or to a region table needs a new checksum.
    let (header, regions) = (Some((HEADERS[1], 4096)), Some((REGIONS[0], 64 << 10)));
    for (place, bytes, structure, reason) in [
        (HEADERS[1] + 66, &[9, 0][..], header, "version 9 is unknown"),
        (HEADERS[1] + 48, &[1; 18], header, "version 257 of the log is unknown"),
        (HEADERS[1] + 48, &[1], header, "no complete sequence of entries"),
        (REGIONS[0] + 16, &[1], regions, "the required region"),
        (
            REGIONS[0] + 16 + 32,
            &good[REGIONS[0] + 16..REGIONS[0] + 32],
            regions,
            "exactly one block allocation table",
        ),
        (REGIONS[0] + 32, &[0xff; 8], regions, "makes no sense or lies outside the file"),
        (REGIONS[0] + 32, &(1_u64 << 40).to_le_bytes(), regions, "lies outside the file"),
        (metadata, b"nothing", None, "the metadata table makes no sense"),
        (metadata + 10, &[0xff, 0xff], None, "the metadata table makes no sense"),
        (item(4), &[1], None, "the required metadata item"),
        (item(1) + 24, &[0], None, "no error"),
        (item(1), &good[item(0)..item(0) + 16], None, "the virtual disk size is missing"),
        (item(1) + 16, &[0; 4], None, "the virtual disk size makes no sense"),
        (item(1) + 20, &[9], None, "the virtual disk size makes no sense"),
        (items, &3_000_000_u32.to_le_bytes(), None, "a block size of 3000000 bytes"),
        (items + 4, &[2], None, "the parent locator is missing"),
        (items + 16, &1_u64.to_le_bytes(), None, "a disk of 1 bytes makes no sense"),
        (items + 16, &(65_u64 << 40).to_le_bytes(), None, "a disk of 71468255805440 bytes"),
        (items + 16, &(1_u64 << 40).to_le_bytes(), None, "holds 131072 entries, and 1048831 are needed"),
        (items + 48, &1024_u32.to_le_bytes(), None, "a logical sector size of 1024 bytes"),
        (bat + 8, &5_u64.to_le_bytes(), None, "block 1 has state 5"),
        (bat + 8, &7_u64.to_le_bytes(), None, "block 1 has state 7"),
        (bat + 8, &6_u64.to_le_bytes(), None, "block 1 lies outside the file or inside its headers"),
        (bat + 8, &(u64::MAX << 3 | 6).to_le_bytes(), None, "block 1 lies outside the file"),
    ] {
        let mut image = good.clone();
        patch(&mut image, place, bytes, structure);
        std::fs::write(&path, image).unwrap();
        if reason == "no error" {
            open(&path).unwrap();
            continue;
        }
        let message = failure(&path);
        assert!(message.contains(reason), "{place} {reason}: {message}");
        assert!(message.contains("disk.vhdx"), "{message}");
    }
    for (places, reason) in [
        (HEADERS, "neither copy of the header is valid"),
        (REGIONS, "neither copy of the region table is valid"),
    ] {
        let mut image = good.clone();
        places.into_iter().for_each(|place| image[place + 100] ^= 1);
        std::fs::write(&path, image).unwrap();
        assert!(failure(&path).contains(reason));
    }
    for length in [100, 65_536, 200_000, 300_000, 1 << 20, 2 << 20, (3 << 20) + 4096, good.len() - (1 << 20)]
    {
        std::fs::write(&path, &good[..length]).unwrap();
        failure(&path);
    }
}

/// Opens, checks and reads whatever `bytes` are: nothing of it panics, and a disk reads the same in pieces as in one.
fn exercise(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    let (gate, name) = image::DirectoryGate::for_file(path).unwrap();
    let gate: Arc<dyn image::Gate> = Arc::new(gate);
    let _ = image::check(&gate, &name, &image::OpenOptions::default());
    let Ok(disk) = image::open(&gate, &name) else { return };
    let size = disk.size();
    if size > 8 << 20 {
        for offset in [0, size / 2, size - 65_536] {
            let _ = disk.read_at(&mut [0; 65_536], offset);
            let _ = disk.extents(offset..offset + 65_536);
        }
        return;
    }
    let mut whole = vec![0; size as usize];
    if disk.read_at(&mut whole, 0).is_err() {
        return;
    }
    for (number, expected) in whole.chunks(100_000).enumerate() {
        let mut piece = vec![0; expected.len()];
        disk.read_at(&mut piece, number as u64 * 100_000).unwrap();
        assert!(piece == expected);
    }
    for extent in disk.extents(0..size).unwrap().into_iter().filter(|extent| !extent.is_data()) {
        assert!(block::is_zero(&whole[extent.range.start as usize..extent.range.end as usize]));
    }
}

#[test]
fn anything_over_a_sound_image_is_read_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.vhdx");
    copy(&disk(3 << 20), &path, &new("dynamic", None, false));
    let good = std::fs::read(&path).unwrap();
    let (bat, metadata) = (region(&good, BAT), region(&good, METADATA));
    // What leads to everything else; what has a checksum gets it again.
    let parts = [
        (HEADERS[1], 96, Some((HEADERS[1], 4096))),
        (REGIONS[0], 96, Some((REGIONS[0], 64 << 10))),
        (metadata, 256, None),
        (metadata + (64 << 10), 128, None),
        (bat, 32, None),
    ];
    let mut random = block::conformance::Random::new(20);
    for _ in 0..100 {
        let mut image = good.clone();
        for _ in 0..1 + random.below(3) {
            let (start, length, structure) = parts[random.below(parts.len() as u64) as usize];
            let place = start + random.below(length) as usize;
            let bytes = [random.number(), random.below(8), 1 << random.below(64)][random.below(3) as usize];
            let count = 1 + random.below(8) as usize;
            patch(&mut image, place, &bytes.to_le_bytes()[..count], structure);
        }
        if random.below(4) == 0 {
            image.truncate(random.below(image.len() as u64) as usize);
        }
        exercise(&path, &image);
    }
}

#[test]
fn a_chain_that_we_write_reads_as_what_was_written_by_7_zip_too() {
    let directory = tempfile::tempdir().unwrap();
    let qemu = |arguments: &[&str]| qemu_img(directory.path(), arguments);
    file(directory.path(), "base.raw", &disk(5 << 20));
    qemu(&["convert", "-f", "raw", "-O", "qcow2", "base.raw", "base.qcow2"]);
    qemu(&["create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2", "5M"]);
    let writes =
        ["write -P 3 65536 4096", "write -z 1M 1M", "write -P 4 3000000 100000", "write -z 4M 65536"];
    let commands = writes.iter().flat_map(|command| ["-c", command]);
    let output =
        Command::new("qemu-io").args(commands).arg(directory.path().join("top.qcow2")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    qemu(&["convert", "-O", "raw", "top.qcow2", "expected.raw"]);
    let expected = std::fs::read(directory.path().join("expected.raw")).unwrap();

    // 7-Zip reads no child that is longer than its parent, so that these are of one length.
    let chain = open(&directory.path().join("top.qcow2")).unwrap();
    let target = directory.path().join("new.vhdx");
    let new = new("dynamic", None, false);
    let made = image::convert_chain(&chain, &target, &new, &CopyOptions::default(), &NoProgress).unwrap();
    assert_eq!(made.len(), 2);
    let image = open(&target).unwrap();
    assert_eq!(image.info().layers.len(), 2);
    block::conformance::read(&image, &expected);
    assert!(check(&target).is_clean());
    assert!(seven_zip(directory.path(), "new.vhdx") == expected, "7-Zip");
}
