//! The copy engine: any disk to both formats, checked by QEMU, and what happens when it cannot go well.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use block::{BlockRead, BlockWrite, Extent, MemoryDisk};
use image::{CopyOptions, Error, NewImage, NoProgress, Progress};
use proptest::prelude::*;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use support::{disk, qemu_img};

const FORMATS: [fn() -> NewImage; 2] = [NewImage::raw, NewImage::qcow2];

fn copy(source: Arc<dyn BlockRead>, target: &Path, new: &NewImage) -> image::CopyReport {
    image::copy(source, target, new, &CopyOptions::default(), &NoProgress).unwrap()
}

/// Copies `bytes` to a `new` image and holds the copy against them, by QEMU and by ourselves.
fn round_trip(bytes: &[u8], new: &NewImage) {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("copy.img");
    let report = copy(Arc::new(MemoryDisk::from_bytes(bytes.to_vec())), &target, new);
    assert_eq!(report.blake3, Some(blake3::hash(bytes)));
    assert_eq!(report.virtual_size, bytes.len() as u64);
    assert_eq!(report.data_bytes + report.zero_bytes, report.virtual_size);
    if new.format.name == "qcow2" {
        qemu_img(directory.path(), &["check", "-q", "-f", "qcow2", "copy.img"]);
    }
    // QEMU counts in sectors.
    if bytes.len().is_multiple_of(512) {
        support::file(directory.path(), "expected.raw", bytes);
        qemu_img(
            directory.path(),
            &["compare", "-F", new.format.name, "-f", "raw", "expected.raw", "copy.img"],
        );
    }
    let mut expected = bytes.to_vec();
    if new.format.name == "qcow2" {
        expected.resize(bytes.len().next_multiple_of(512), 0);
    }
    block::conformance::read(&support::open(&target).unwrap(), &expected);
    assert_eq!(
        directory.path().read_dir().unwrap().filter(|entry| is_partial(entry.as_ref().unwrap())).count(),
        0
    );
}

fn is_partial(entry: &std::fs::DirEntry) -> bool {
    entry.file_name().to_str().unwrap().contains(".partial-")
}

#[test]
fn disks_of_every_sort_of_size_arrive() {
    for size in [512, 65_536, (1 << 20) - 512, 1 << 20, (1 << 20) + 512, (7 << 20) + 99 * 512, 1000, 32 << 20]
    {
        for format in FORMATS {
            round_trip(&disk(size), &format());
        }
    }
    for format in FORMATS {
        round_trip(&[], &format());
        round_trip(&vec![0; 5 << 20], &format());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_disk_arrives(
        size in 1_u64..6 << 20,
        writes in prop::collection::vec((any::<u64>(), 1_u64..300_000, any::<u8>()), 0..12),
        qcow2 in any::<bool>(),
    ) {
        let source = MemoryDisk::new(size);
        for (place, length, byte) in writes {
            let start = place % size;
            let length = length.min(size - start);
            source.write_at(&vec![byte; length as usize], start).unwrap();
        }
        round_trip(&source.to_bytes(), &if qcow2 { NewImage::qcow2() } else { NewImage::raw() });
    }
}

#[test]
fn a_large_qcow2_with_many_tables_is_sound() {
    let directory = tempfile::tempdir().unwrap();
    let source = MemoryDisk::new(3 << 40);
    for place in [0, 511 << 20, (1 << 30) - 1, (2 << 40) + 77, (3 << 40) - 1] {
        source.write_at(&[0x42], place).unwrap();
    }
    let target = directory.path().join("large.qcow2");
    let options = CopyOptions { digest: false, ..CopyOptions::default() };
    image::copy(Arc::new(source.clone()), &target, &NewImage::qcow2(), &options, &NoProgress).unwrap();
    qemu_img(directory.path(), &["check", "-q", "large.qcow2"]);
    let copy = support::open(&target).unwrap();
    for place in [0, 511 << 20, (1 << 30) - 1, (2 << 40) + 77, (3 << 40) - 1] {
        let mut byte = [0];
        copy.read_at(&mut byte, place).unwrap();
        assert_eq!(byte, [0x42], "{place}");
    }
}

#[test]
fn the_copy_is_the_same_whatever_the_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    let source: Arc<dyn BlockRead> = Arc::new(MemoryDisk::from_bytes(disk(20 << 20)));
    let with = |threads: usize| {
        let target = directory.path().join(format!("{threads}.qcow2"));
        let options = CopyOptions { threads, ..CopyOptions::default() };
        image::copy(Arc::clone(&source), &target, &NewImage::qcow2(), &options, &NoProgress).unwrap();
        std::fs::read(target).unwrap()
    };
    let alone = with(1);
    assert!(with(2) == alone && with(7) == alone);
    assert_eq!(image::digest(&source, 3).unwrap(), blake3::hash(&disk(20 << 20)));
}

/// A disk of 64 TiB that says it is all zeroes but for a few bytes, and counts what is asked of it.
#[test]
fn a_nearly_empty_disk_of_64_tib_takes_no_time() {
    let directory = tempfile::tempdir().unwrap();
    let source = MemoryDisk::new(64 << 40);
    source.write_at(b"somewhere", 40 << 40).unwrap();
    let target = directory.path().join("huge.qcow2");
    let options = CopyOptions { digest: false, ..CopyOptions::default() };
    let report = image::copy(Arc::new(source), &target, &NewImage::qcow2(), &options, &NoProgress).unwrap();
    assert_eq!((report.data_bytes, report.blake3), (65_536, None));
    let mut bytes = [0; 9];
    support::open(&target).unwrap().read_at(&mut bytes, 40 << 40).unwrap();
    assert_eq!(&bytes, b"somewhere");
}

struct Counter {
    total: AtomicU64,
    done: AtomicU64,
}

impl Progress for Counter {
    fn start(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }
    fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[test]
fn progress_ends_at_the_size() {
    let directory = tempfile::tempdir().unwrap();
    let size = (9 << 20) + 3;
    let source = MemoryDisk::new(size);
    source.write_at(&[1; 5000], 4 << 20).unwrap();
    let counter = Counter { total: AtomicU64::new(0), done: AtomicU64::new(0) };
    let target = directory.path().join("copy.raw");
    image::copy(Arc::new(source), &target, &NewImage::raw(), &CopyOptions::default(), &counter).unwrap();
    assert_eq!((counter.total.into_inner(), counter.done.into_inner()), (size, size));
}

/// All data, as far as it says; cannot be read from `bad` on.
struct Failing {
    size: u64,
    bad: u64,
}

impl BlockRead for Failing {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        buf.fill(1);
        if offset + buf.len() as u64 > self.bad {
            return Err(block::Error::io(
                "read",
                "source",
                Some(self.bad),
                std::io::Error::other("a bad sector"),
            ));
        }
        Ok(())
    }
    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        Ok(vec![Extent::data(range)])
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_source_that_fails_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    for format in FORMATS {
        for threads in [1, 4] {
            let source = Failing { size: 50 << 20, bad: 20 << 20 };
            let options = CopyOptions { threads, ..CopyOptions::default() };
            let target = directory.path().join("copy.img");
            let error = image::copy(Arc::new(source), &target, &format(), &options, &NoProgress).unwrap_err();
            assert!(matches!(error, Error::Source { .. }), "{error}");
            assert!(support::chain(&error).ends_with("a bad sector"), "{}", support::chain(&error));
            assert_eq!(entries(directory.path()), [] as [PathBuf; 0]);
        }
    }
}

#[test]
fn too_little_space_is_said_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let source = Failing { size: 1 << 55, bad: 1 << 55 };
    let target = directory.path().join("copy.raw");
    let error =
        image::copy(Arc::new(source), &target, &NewImage::raw(), &CopyOptions::default(), &NoProgress)
            .unwrap_err();
    let Error::NoSpace { path, needed, available } = &error else { panic!("{error}") };
    assert_eq!((path, *needed), (&target, 1 << 55));
    assert!(*available < 1 << 55);
    assert_eq!(error.kind(), image::ErrorKind::NoSpace);
    assert!(error.remedy().is_some());
    assert_eq!(entries(directory.path()), [] as [PathBuf; 0]);
}

#[test]
fn what_exists_is_not_replaced_unless_told() {
    let directory = tempfile::tempdir().unwrap();
    let target = support::file(directory.path(), "copy.raw", b"mine");
    let source: Arc<dyn BlockRead> = Arc::new(MemoryDisk::from_bytes(vec![7; 512]));
    let mut options = CopyOptions::default();
    let again = |options: &CopyOptions| {
        image::copy(Arc::clone(&source), &target, &NewImage::raw(), options, &NoProgress)
    };
    assert!(matches!(again(&options), Err(Error::Exists { .. })));
    assert_eq!(std::fs::read(&target).unwrap(), b"mine");
    options.overwrite = true;
    again(&options).unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), vec![7; 512]);
}

#[test]
fn a_report_is_readable_json() {
    let directory = tempfile::tempdir().unwrap();
    let report = copy(Arc::new(MemoryDisk::new(512)), &directory.path().join("copy.raw"), &NewImage::raw());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["blake3"], blake3::hash(&[0; 512]).to_hex().as_str());
    assert_eq!(json["zero_bytes"], 512);
    assert!(json["duration"].is_f64());
}
