//! Every way in which qcow2 is written, read back by ourselves and by readers that others wrote.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use block::{BlockRead, BlockWrite, MemoryDisk};
use image::{Compression, CopyOptions, NewImage, NoProgress};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use support::{disk, file, open, qemu_img};

fn copy(source: Arc<dyn BlockRead>, target: &Path, new: &NewImage) -> image::CopyReport {
    image::copy(source, target, new, &CopyOptions::default(), &NoProgress).unwrap()
}

/// Runs a foreign `tool` in `directory`, and answers with what it wrote.
fn foreign(directory: &Path, tool: &str, package: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(tool)
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap_or_else(|error| panic!("{tool} (Debian package {package}): {error}"));
    assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What a variant is, and whether 7-Zip and libqcow know enough to read it.
struct Variant {
    new: NewImage,
    seven_zip: bool,
    libqcow: bool,
}

fn variants() -> Vec<Variant> {
    let variant = |new, seven_zip, libqcow| Variant { new, seven_zip, libqcow };
    let new = NewImage::qcow2;
    let clusters = |cluster_size| Some(cluster_size);
    let (zlib, zstd) = (Some(Compression::Zlib), Some(Compression::Zstd));
    vec![
        variant(new(), true, true),
        variant(NewImage { cluster_size: clusters(512), ..new() }, true, true),
        variant(NewImage { cluster_size: clusters(4096), ..new() }, true, true),
        variant(NewImage { cluster_size: clusters(1 << 20), ..new() }, true, true),
        variant(NewImage { cluster_size: clusters(2 << 20), ..new() }, true, true),
        variant(NewImage { preallocate: true, ..new() }, true, true),
        variant(NewImage { preallocate: true, cluster_size: clusters(4096), ..new() }, true, true),
        variant(NewImage { compression: zlib, ..new() }, true, true),
        variant(NewImage { compression: zlib, cluster_size: clusters(512), ..new() }, true, true),
        variant(NewImage { compression: zlib, cluster_size: clusters(1 << 20), ..new() }, true, true),
        variant(NewImage { compression: zstd, ..new() }, false, false),
        variant(NewImage { compression: zstd, cluster_size: clusters(4096), ..new() }, false, false),
        variant(NewImage { data_file: true, ..new() }, false, false),
        variant(NewImage { data_file: true, cluster_size: clusters(512), ..new() }, false, false),
        variant(NewImage { data_file: true, preallocate: true, ..new() }, false, false),
    ]
}

/// Copies `bytes` to `copy.qcow2` in a new directory, with QEMU's verdict on its structure and its content.
fn written(bytes: &[u8], new: &NewImage) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("copy.qcow2");
    let report = copy(Arc::new(MemoryDisk::from_bytes(bytes.to_vec())), &target, new);
    assert_eq!(report.blake3, Some(blake3::hash(bytes)));
    file(directory.path(), "expected.bin", bytes);
    qemu_img(directory.path(), &["check", "-q", "-f", "qcow2", "copy.qcow2"]);
    qemu_img(directory.path(), &["compare", "-f", "raw", "-F", "qcow2", "expected.bin", "copy.qcow2"]);
    directory
}

#[test]
fn every_variant_is_read_by_us_and_by_others() {
    let bytes = disk((5 << 20) + 5 * 512);
    for Variant { new, seven_zip, libqcow } in variants() {
        let directory = written(&bytes, &new);
        let image = open(&directory.path().join("copy.qcow2")).unwrap();
        block::conformance::read(&image, &bytes);
        let cluster = new.cluster_size.unwrap_or(65_536);
        assert_eq!(image.info().layers[0].cluster_size, Some(cluster));
        if seven_zip {
            let content = foreign(directory.path(), "7zz", "7zip", &["e", "-so", "-tqcow", "copy.qcow2"]);
            assert!(content == bytes, "7-Zip reads another disk: {new:?}");
        }
        if libqcow {
            let said = foreign(directory.path(), "qcowinfo", "libqcow-utils", &["copy.qcow2"]);
            let said = String::from_utf8(said).unwrap();
            assert!(said.contains(&format!("({} bytes)", bytes.len())), "{said}");
        }
        if new.data_file {
            assert_eq!(image.info().layers[0].files, ["copy.qcow2", "copy.raw"]);
            assert!(std::fs::read(directory.path().join("copy.raw")).unwrap() == bytes);
        }
    }
}

#[test]
fn odd_and_empty_disks() {
    for size in [0, 512, 65_536, (1 << 20) + 512] {
        for Variant { new, .. } in variants() {
            let bytes = disk(size);
            let directory = written(&bytes, &new);
            block::conformance::read(&open(&directory.path().join("copy.qcow2")).unwrap(), &bytes);
            let directory = written(&vec![0; size], &new);
            let image = open(&directory.path().join("copy.qcow2")).unwrap();
            assert!(
                image.extents(0..size as u64).unwrap().iter().all(|extent| !extent.is_data())
                    || new.preallocate
            );
        }
    }
}

#[test]
fn preallocated_room_is_there() {
    let new = NewImage { preallocate: true, ..NewImage::qcow2() };
    let bytes = [vec![1; 100], vec![0; 8 << 20]].concat();
    let bytes = bytes[..8 << 20].to_vec();
    for new in [new.clone(), NewImage { data_file: true, ..new }] {
        let directory = tempfile::tempdir().unwrap();
        let report =
            copy(Arc::new(MemoryDisk::from_bytes(bytes.clone())), &directory.path().join("copy.qcow2"), &new);
        assert!(report.file_bytes >= 8 << 20, "{}", report.file_bytes);
        let map = qemu_img(directory.path(), &["map", "--output=json", "copy.qcow2"]);
        assert!(!map.contains("\"present\": false"), "{map}");
    }
}

#[test]
fn compressed_and_plain_clusters_take_turns() {
    let mut bytes = vec![0; 6 << 20];
    let mut random = block::conformance::Random::new(9);
    for (index, cluster) in bytes.chunks_mut(65_536).enumerate() {
        match index % 3 {
            0 => random.fill(cluster),
            1 => cluster.fill(index as u8),
            _ => random.fill(&mut cluster[..40_000]),
        }
    }
    for compression in [Compression::Zlib, Compression::Zstd] {
        let new = NewImage { compression: Some(compression), ..NewImage::qcow2() };
        let directory = written(&bytes, &new);
        block::conformance::read(&open(&directory.path().join("copy.qcow2")).unwrap(), &bytes);
        let map = qemu_img(directory.path(), &["map", "--output=json", "copy.qcow2"]);
        assert!(map.contains("\"compressed\": true") && map.contains("\"compressed\": false"), "{map}");
    }
}

#[test]
fn very_many_clusters_in_one_are_counted() {
    // 65,536 clusters of one byte each, repeated: compressed, hundreds lie in each cluster of the file.
    let mut bytes = vec![0; 64 << 20];
    bytes.chunks_mut(4096).enumerate().for_each(|(index, cluster)| cluster.fill(index as u8 | 1));
    for compression in [Compression::Zlib, Compression::Zstd] {
        let new = NewImage { compression: Some(compression), cluster_size: Some(4096), ..NewImage::qcow2() };
        written(&bytes, &new);
    }
}

#[test]
fn a_huge_disk_of_every_variant_takes_no_time() {
    let source = MemoryDisk::new(64 << 40);
    source.write_at(b"somewhere", 40 << 40).unwrap();
    let source: Arc<dyn BlockRead> = Arc::new(source);
    let (zlib, new) = (Some(Compression::Zlib), NewImage::qcow2);
    for new in
        [new(), NewImage { compression: zlib, ..new() }, NewImage { cluster_size: Some(2 << 20), ..new() }]
    {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("huge.qcow2");
        let options = CopyOptions { digest: false, ..CopyOptions::default() };
        image::copy(Arc::clone(&source), &target, &new, &options, &NoProgress).unwrap();
        qemu_img(directory.path(), &["check", "-q", "huge.qcow2"]);
        let mut bytes = [0; 9];
        open(&target).unwrap().read_at(&mut bytes, 40 << 40).unwrap();
        assert_eq!(&bytes, b"somewhere");
    }
}
