//! VMDKs that we write: read back by ourselves, by QEMU, 7-Zip and libvmdk, in every subformat.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use block::{BlockRead, BlockWrite, ExtentKind, MemoryDisk};
use image::{
    Check, Compression, CopyOptions, DirectoryGate, Error, Gate, ImageLayer, NewImage, NewParent, NoProgress,
    OpenOptions,
};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use support::{disk, file, open, qemu_img};

const SUBFORMATS: [&str; 6] = [
    "monolithicSparse",
    "monolithicFlat",
    "twoGbMaxExtentSparse",
    "twoGbMaxExtentFlat",
    "streamOptimized",
    "vmfs",
];

fn new(subformat: &str) -> NewImage {
    NewImage { subformat: Some(subformat.to_owned()), ..NewImage::vmdk() }
}

/// Copies `source` to a new VMDK called `name`.
fn write(directory: &Path, name: &str, new: &NewImage, source: impl BlockRead + 'static) -> PathBuf {
    let target = directory.join(name);
    let options = CopyOptions { digest: false, ..CopyOptions::default() };
    image::copy(Arc::new(source), &target, new, &options, &NoProgress).unwrap();
    target
}

/// Runs a foreign tool; answers with what it printed.
fn run(directory: &Path, package: &str, tool: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(tool)
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap_or_else(|error| panic!("{tool} (Debian package {package}) runs: {error}"));
    assert!(output.status.success(), "{tool} {arguments:?}: {output:?}");
    output.stdout
}

#[test]
fn every_subformat_is_read_as_it_was_written() {
    for subformat in SUBFORMATS {
        for size in [512, 100 * 512, 65_536, (1 << 20) + 512, (3 << 20) + 7 * 512] {
            let directory = tempfile::tempdir().unwrap();
            let bytes = disk(size);
            let path =
                write(directory.path(), "disk.vmdk", &new(subformat), MemoryDisk::from_bytes(bytes.clone()));
            file(directory.path(), "disk.raw", &bytes);
            qemu_img(directory.path(), &["compare", "-f", "raw", "-F", "vmdk", "disk.raw", "disk.vmdk"]);
            let image = open(&path).unwrap();
            assert_eq!(image.info().subformat.as_deref(), Some(subformat));
            block::conformance::read(&image, &bytes);
        }
    }
}

/// Several grain tables: what 7-Zip reads, and what we read.
#[test]
fn seven_zip_reads_them() {
    let bytes = disk((33 << 20) + 7 * 512);
    for subformat in SUBFORMATS {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "disk.vmdk", &new(subformat), MemoryDisk::from_bytes(bytes.clone()));
        let read = run(directory.path(), "7zip", "7zz", &["e", "-so", "-tvmdk", "disk.vmdk"]);
        assert!(read == bytes, "{subformat}: {} bytes of {}", read.len(), bytes.len());
        let image = open(&directory.path().join("disk.vmdk")).unwrap();
        assert_eq!(image::digest(&image, 2).unwrap(), blake3::hash(&bytes), "{subformat}");
    }
}

#[test]
fn libvmdk_accepts_them() {
    for subformat in SUBFORMATS {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "disk.vmdk", &new(subformat), MemoryDisk::from_bytes(disk(5 << 20)));
        let info = run(directory.path(), "libvmdk-utils", "vmdkinfo", &["disk.vmdk"]);
        let info = String::from_utf8(info).unwrap();
        assert!(info.contains("5.0 MiB (5242880 bytes)"), "{subformat}: {info}");
    }
}

#[test]
fn sizes_that_are_not_whole_sectors_are_rounded_up_and_nothing_else_is() {
    for subformat in SUBFORMATS {
        let directory = tempfile::tempdir().unwrap();
        let bytes = vec![0x33; 100_001];
        let path =
            write(directory.path(), "disk.vmdk", &new(subformat), MemoryDisk::from_bytes(bytes.clone()));
        let mut expected = bytes;
        expected.resize(100_352, 0);
        block::conformance::read(&open(&path).unwrap(), &expected);

        let empty = write(directory.path(), "empty.vmdk", &new(subformat), MemoryDisk::new(0));
        assert_eq!(open(&empty).unwrap().size(), 0, "{subformat}");
    }
}

/// What another product writes into our image goes where its own rules say, and leaves it sound.
#[test]
fn qemu_writes_into_them() {
    for subformat in ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse"] {
        let directory = tempfile::tempdir().unwrap();
        let mut bytes = disk(70 << 20);
        bytes[30 << 20..66 << 20].fill(0);
        let path =
            write(directory.path(), "disk.vmdk", &new(subformat), MemoryDisk::from_bytes(bytes.clone()));
        for (start, length) in [(1_000_000, 100_000), (40 << 20, 65_536), (69 << 20, 1 << 20)] {
            let command = format!("write -P 0xa5 {start} {length}");
            run(directory.path(), "qemu-utils", "qemu-io", &["-f", "vmdk", "-c", &command, "disk.vmdk"]);
            bytes[start..start + length].fill(0xa5);
        }
        assert_eq!(image::digest(&open(&path).unwrap(), 2).unwrap(), blake3::hash(&bytes), "{subformat}");
        let check = check(&path);
        assert!(check.findings.is_empty(), "{subformat}: {check:?}");
    }
}

#[test]
fn a_split_disk_of_several_extents() {
    let source = MemoryDisk::new((5 << 30) + 512);
    for place in [0, (2047 << 20) - 3, (4 << 30) + 77, (5 << 30) + 511] {
        source.write_at(&[0x42; 1], place).unwrap();
    }
    source.write_at(&[7; 1000], (2047 << 20) - 500).unwrap();
    for (subformat, second) in
        [("twoGbMaxExtentSparse", "disk-s002.vmdk"), ("twoGbMaxExtentFlat", "disk-f002.vmdk")]
    {
        let directory = tempfile::tempdir().unwrap();
        let path = write(directory.path(), "disk.vmdk", &new(subformat), source.clone());
        let image = open(&path).unwrap();
        assert_eq!(image.info().layers[0].files[2], second);
        assert_eq!(image.info().layers[0].files.len(), 4);
        for place in [0, (2047 << 20) - 500, (4 << 30) + 77 - 512, (5 << 30) - 488] {
            let (mut found, mut expected) = (vec![0; 1000], vec![0; 1000]);
            image.read_at(&mut found, place).unwrap();
            source.read_at(&mut expected, place).unwrap();
            assert_eq!(found, expected, "{subformat} at {place}");
        }
        let raw = directory.path().join("disk.raw");
        let options = CopyOptions { digest: false, ..CopyOptions::default() };
        image::copy(Arc::new(source.clone()), &raw, &NewImage::raw(), &options, &NoProgress).unwrap();
        qemu_img(directory.path(), &["compare", "-f", "raw", "-F", "vmdk", "disk.raw", "disk.vmdk"]);
    }
}

#[test]
fn grains_lie_where_a_filesystem_can_share_them() {
    let directory = tempfile::tempdir().unwrap();
    for subformat in ["monolithicSparse", "twoGbMaxExtentSparse", "monolithicFlat"] {
        let name = format!("{subformat}.vmdk");
        let path = write(directory.path(), &name, &new(subformat), MemoryDisk::from_bytes(vec![1; 3 << 20]));
        let image = open(&path).unwrap();
        for extent in image.extents(0..image.size()).unwrap() {
            let ExtentKind::Data(Some(location)) = &extent.kind else { panic!("{subformat}: {extent:?}") };
            assert!(location.offset.is_multiple_of(4096) && extent.range.start.is_multiple_of(4096));
        }
    }
}

/// A layer, made by QEMU, that holds noise and zeroes over a disk that is the same as `base.vmdk`.
fn zeroed_layer(directory: &Path) -> ImageLayer {
    qemu_img(directory, &["convert", "-O", "qcow2", "base.vmdk", "base.qcow2"]);
    qemu_img(directory, &["create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "delta.qcow2"]);
    for command in ["write -z 1M 2M", "write -P 0x5a 2100000 70000", "write -z 6225920 65536"] {
        run(directory, "qemu-utils", "qemu-io", &["-c", command, "delta.qcow2"]);
    }
    open(&directory.join("delta.qcow2")).unwrap().layers()[0].clone()
}

fn check(path: &Path) -> Check {
    let (gate, name) = DirectoryGate::for_file(path).unwrap();
    let gate: Arc<dyn Gate> = Arc::new(gate);
    image::check(&gate, &name, &OpenOptions::default()).unwrap()
}

/// A delta over a sparse VMDK, in which some of what the parent holds reads as zeroes.
#[test]
fn a_delta_is_what_qemu_reads_over_its_parent() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = disk(6 << 20);
    let base = write(directory.path(), "base.vmdk", &NewImage::vmdk(), MemoryDisk::from_bytes(bytes));
    let base = open(&base).unwrap();
    let parent = |change: &dyn Fn(&mut NewParent)| {
        let mut parent = NewParent {
            name: "base.vmdk".to_owned(),
            absolute: directory.path().join("base.vmdk").to_str().unwrap().to_owned(),
            format: "vmdk",
            content_id: base.info().layers[0].content_id.clone(),
            virtual_size: base.size(),
            modified: 0,
        };
        change(&mut parent);
        NewImage { parent: Some(parent), ..NewImage::vmdk() }
    };
    let path = write(directory.path(), "delta.vmdk", &parent(&|_| ()), MemoryDisk::new(6 << 20));
    let delta = open(&path).unwrap();
    assert_eq!(delta.info().layers.len(), 2);
    assert_eq!(delta.info().layers[0].facts.get("adapter").map(String::as_str), Some("lsilogic"));
    let info = qemu_img(directory.path(), &["info", "--output=json", "delta.vmdk"]);
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["backing-filename"], "base.vmdk");
    qemu_img(directory.path(), &["check", "delta.vmdk"]);

    let kept = directory.path().join("kept.vmdk");
    let source = zeroed_layer(directory.path());
    let options = CopyOptions { digest: false, ..CopyOptions::default() };
    image::copy_layer(&source, &kept, &parent(&|_| ()), &options, &NoProgress).unwrap();
    let mut expected = vec![0; 6 << 20];
    source.whole.read_at(&mut expected, 0).unwrap();
    block::conformance::read(&open(&kept).unwrap(), &expected);
    file(directory.path(), "kept.raw", &expected);
    qemu_img(directory.path(), &["compare", "-f", "raw", "-F", "vmdk", "kept.raw", "kept.vmdk"]);
    assert!(check(&kept).findings.is_empty());

    type Change = &'static dyn Fn(&mut NewParent);
    let refused: [(Change, &str); 4] = [
        (&|parent| parent.format = "qcow2", "parent in another format"),
        (&|parent| parent.content_id = None, "parent without a content ID"),
        (&|parent| parent.virtual_size += 512, "parent of another size"),
        (&|parent| parent.name.push('"'), "quotation marks"),
    ];
    for (change, message) in refused {
        let target = directory.path().join("refused.vmdk");
        let source = Arc::new(MemoryDisk::new(6 << 20));
        let error =
            image::copy(source, &target, &parent(change), &CopyOptions::default(), &NoProgress).unwrap_err();
        assert!(matches!(error, Error::Option { .. }) && error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_nearly_empty_disk_of_64_tib_takes_no_time_and_no_room() {
    for subformat in ["monolithicSparse", "streamOptimized", "vmfs"] {
        let directory = tempfile::tempdir().unwrap();
        // ext4 has no file of 64 TiB.
        let size = if subformat == "vmfs" { 15 << 40 } else { 64 << 40 };
        let source = MemoryDisk::new(size);
        for place in [0, size / 8 * 5, size - 9] {
            source.write_at(b"somewhere", place).unwrap();
        }
        let path = write(directory.path(), "huge.vmdk", &new(subformat), source);
        let image = open(&path).unwrap();
        for place in [0, size / 8 * 5, size - 9] {
            let mut bytes = [0; 9];
            image.read_at(&mut bytes, place).unwrap();
            assert_eq!(&bytes, b"somewhere");
        }
        let data: u64 = image.extents(0..size).unwrap().iter().filter(|e| e.is_data()).map(|e| e.len()).sum();
        assert!(data <= 3 << 16, "{subformat}: {data}");
        // And QEMU finds it, too.
        let last = format!("read -P 0x65 {} 1", size - 1);
        run(directory.path(), "qemu-utils", "qemu-io", &["-r", "-f", "vmdk", "-c", &last, "huge.vmdk"]);
    }
}

#[test]
fn a_stream_is_small_and_leaves_out_zeroes() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = vec![0; 20 << 20];
    bytes[9 << 20..10 << 20].copy_from_slice(&block::conformance::sample(1 << 20, 9));
    let zlib = NewImage { compression: Some(Compression::Zlib), ..new("streamOptimized") };
    let path = write(directory.path(), "disk.vmdk", &zlib, MemoryDisk::from_bytes(bytes));
    assert_eq!(open(&path).unwrap().info().layers[0].facts["compression"], "zlib");
    let length = std::fs::metadata(&path).unwrap().len();
    assert!(length < (1 << 20) + (80 << 10), "{length}");
}

#[test]
fn room_is_reserved_where_that_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    for subformat in ["monolithicFlat", "vmfs", "twoGbMaxExtentFlat"] {
        let new = NewImage { preallocate: true, ..new(subformat) };
        let target = directory.path().join(format!("{subformat}.vmdk"));
        let source = Arc::new(MemoryDisk::new(8 << 20));
        let report = image::copy(source, &target, &new, &CopyOptions::default(), &NoProgress).unwrap();
        assert!(report.file_bytes >= 8 << 20, "{subformat}: {report:?}");
        assert!(!std::fs::read_to_string(&target).unwrap().contains("thinProvisioned"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_disk_arrives_in_any_subformat(
        size in 1_u64..5 << 20,
        writes in prop::collection::vec((any::<u64>(), 1_u64..300_000, any::<u8>()), 0..12),
        subformat in prop::sample::select(&SUBFORMATS),
    ) {
        let source = MemoryDisk::new(size);
        for (place, length, byte) in writes {
            let start = place % size;
            let length = length.min(size - start);
            source.write_at(&vec![byte; length as usize], start).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let path = write(directory.path(), "disk.vmdk", &new(subformat), source.clone());
        let mut expected = source.to_bytes();
        expected.resize(expected.len().next_multiple_of(512), 0);
        block::conformance::read(&open(&path).unwrap(), &expected);
    }
}
