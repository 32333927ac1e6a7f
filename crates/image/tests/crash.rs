//! The power is cut at every write while an image is changed in place: the disk is then the old or the new one, and no
//! check finds damage. And while one is being made: nothing stands under its name before it is whole.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use block::{BlockRead, Extent, MemoryDisk};
use image::{Check, CopyOptions, Error, FORMATS, Gate, GateError, GateReason, Image, NewImage, NoProgress};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::crash::Recording;

const MIB: u64 = 1 << 20;
/// The size of the disk in every image, in bytes.
const SIZE: u64 = 6 * MIB;
/// Where it has data; all else is zeroes, the end too, so that there is something to cut off.
const DATA: [Range<u64>; 3] = [0..70_000, 2 * MIB + 4096..3 * MIB, 4 * MIB..4 * MIB + 512];
/// How many choices of what is lost are tried for every write.
const SEEDS: u64 = 2;

/// An image of a format, as the bytes of its one file.
struct Sample {
    /// Format and subformat.
    name: String,
    bytes: Vec<u8>,
}

fn content() -> Vec<u8> {
    let mut bytes = vec![0; SIZE as usize];
    for range in DATA {
        let noise = block::conformance::sample((range.end - range.start) as usize, range.start + 1);
        bytes[range.start as usize..range.end as usize].copy_from_slice(&noise);
    }
    bytes
}

/// An image of the same disk in every format and subformat that lies in one file.
fn samples() -> Vec<Sample> {
    let directory = tempfile::tempdir().unwrap();
    let mut samples = Vec::new();
    for format in FORMATS.iter().copied().filter(|format| format.is_writable()) {
        let none: &[&str] = &[""];
        for subformat in if format.subformats.is_empty() { none } else { format.subformats } {
            let name = format!("{} {subformat}", format.name).trim_end().to_owned();
            let own = directory.path().join(name.replace(' ', "-"));
            std::fs::create_dir(&own).unwrap();
            let path = own.join("disk");
            let subformat = (!subformat.is_empty()).then(|| (*subformat).to_owned());
            let new = NewImage { subformat, ..NewImage::new(format) };
            let source = Arc::new(MemoryDisk::from_bytes(content()));
            let options = CopyOptions { sync: false, ..CopyOptions::default() };
            image::copy(source, &path, &new, &options, &NoProgress)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            if own.read_dir().unwrap().count() == 1 {
                samples.push(Sample { name, bytes: std::fs::read(&path).unwrap() });
            }
        }
    }
    samples
}

/// A gate to one file in memory.
struct Alone(Arc<MemoryDisk>);

impl Gate for Alone {
    fn open(&self, name: &str) -> Result<Arc<dyn BlockRead>, GateError> {
        match name {
            "disk" => Ok(self.0.clone()),
            other => Err(GateError::new(other, GateReason::Missing { root: PathBuf::new() })),
        }
    }

    fn describe(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
}

fn open(bytes: Vec<u8>) -> (Image, Check) {
    let gate: Arc<dyn Gate> = Arc::new(Alone(Arc::new(MemoryDisk::from_bytes(bytes))));
    let check = image::check(&gate, "disk", &Default::default()).unwrap();
    let opened = image::open(&gate, "disk");
    let image = opened.unwrap_or_else(|error| panic!("{}; {check:?}", support::chain(&error)));
    (image, check)
}

/// Whether the image is of a disk that holds the sample's content as far as it goes, and zeroes behind that.
fn assert_content(image: &Image, what: &str) {
    let content = content();
    let kept = image.size().min(SIZE);
    let mut bytes = vec![1; kept as usize];
    image.read_at(&mut bytes, 0).unwrap();
    assert!(bytes == content[..kept as usize], "{what}: the content changed");
    let behind = image.extents(kept..image.size()).unwrap();
    for extent in behind.iter().filter(|extent| extent.is_data()) {
        let mut bytes = vec![1; extent.len() as usize];
        image.read_at(&mut bytes, extent.range.start).unwrap();
        assert!(block::is_zero(&bytes), "{what}: what was added is not zero");
    }
}

/// Resizes the sample to `size`, with the power cut everywhere; answers whether the format can.
fn resize_with_cuts(sample: &Sample, size: u64) -> bool {
    let path = Path::new("disk");
    let recording = Recording::new(&sample.bytes);
    let (old, _) = open(sample.bytes.clone());
    match image::resize_in(&recording, path, size) {
        Err(Error::InPlace { .. }) => return false,
        other => {
            other.unwrap_or_else(|error| panic!("{} to {size}: {}", sample.name, support::chain(&error)))
        }
    }
    let what = format!("{} from {} to {size}", sample.name, old.size());
    assert!(recording.is_flushed(), "{what}: not durable at the end");
    let (new, check) = open(recording.bytes());
    assert!(check.is_clean(), "{what}: {check:?}");
    assert_content(&new, &what);
    assert!(new.size() >= size && new.size() - size < MIB, "{what}: {}", new.size());
    recording.cuts(SEEDS, |number, bytes| {
        let what = format!("{what}, cut at change {number}");
        let again = Recording::new(&bytes);
        let (image, check) = open(bytes);
        assert_eq!(check.damages, 0, "{what}: {check:?}");
        assert!([old.size(), new.size()].contains(&image.size()), "{what}: {}", image.size());
        assert_content(&image, &what);
        // Whatever is left can be given the new size as before.
        let resized = image::resize_in(&again, path, size);
        resized.unwrap_or_else(|error| panic!("{what}, again: {}", support::chain(&error)));
        let (image, check) = open(again.bytes());
        assert!(check.damages == 0 && image.size() == new.size(), "{what}, again: {check:?}");
    });
    true
}

#[test]
fn a_resize_leaves_the_old_or_the_new_disk() {
    let mut resized = Vec::new();
    for sample in samples() {
        // A fixed image grows by what its disk does: only the others grow much, so that their tables have to move.
        let sparse = !["raw", "fixed", "flat"].iter().any(|word| sample.name.to_lowercase().contains(word));
        let sizes: &[u64] = if sparse { &[9 * MIB, 20 << 30, 5 * MIB] } else { &[9 * MIB, 5 * MIB] };
        let done = sizes.iter().filter(|size| resize_with_cuts(&sample, **size)).count();
        println!("{}: {done} of {} sizes", sample.name, sizes.len());
        if done > 0 {
            resized.push(sample.name);
        }
    }
    for format in ["vmdk", "qcow2", "vhdx", "vdi", "vhd", "raw"] {
        assert!(resized.iter().any(|name| name.split(' ').next() == Some(format)), "{format}: {resized:?}");
    }
}

/// Damages that a repair may know what to do about.
fn damages(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let end = bytes.len();
    let zeroed = |range: Range<usize>| {
        let mut bytes = bytes.to_vec();
        bytes[range].fill(0);
        bytes
    };
    vec![
        ("with a tail of zeroes", [bytes, &[0; 200_000]].concat()),
        ("with a tail of noise", [bytes, &block::conformance::sample(1 << 20, 3)].concat()),
        ("cut by a sector", bytes[..end - 512].to_vec()),
        ("without its first sector", zeroed(0..512)),
        ("without its last sector", zeroed(end - 512..end)),
        ("without its second 64 KiB", zeroed(64 << 10..128 << 10)),
    ]
}

/// Whether the image can be opened and reads as something else than its content: no repair brings that back.
fn is_lost(bytes: &[u8]) -> bool {
    let gate: Arc<dyn Gate> = Arc::new(Alone(Arc::new(MemoryDisk::from_bytes(bytes.to_vec()))));
    let Ok(image) = image::open(&gate, "disk") else { return false };
    let content = content();
    let mut bytes = vec![1; content.len()];
    image.size() < SIZE || image.read_at(&mut bytes, 0).is_err() || bytes != content
}

/// Repairs the image with the power cut everywhere; answers whether there was anything to repair.
fn repair_with_cuts(what: &str, bytes: &[u8]) -> bool {
    let path = Path::new("disk");
    let recording = Recording::new(bytes);
    if is_lost(bytes) {
        return false;
    }
    let Ok(repair) = image::repair_in(&recording, path) else { return false };
    if repair.repaired == 0 {
        return false;
    }
    assert!(recording.is_flushed(), "{what}: not durable at the end");
    let (image, check) = open(recording.bytes());
    if check.damages > 0 {
        return false;
    }
    assert_content(&image, what);
    recording.cuts(SEEDS, |number, bytes| {
        let what = format!("{what}, cut at change {number}");
        let again = Recording::new(&bytes);
        let repaired = image::repair_in(&again, path);
        repaired.unwrap_or_else(|error| panic!("{what}, again: {}", support::chain(&error)));
        let (image, check) = open(again.bytes());
        assert_eq!(check.damages, 0, "{what}, again: {check:?}");
        assert_content(&image, &what);
    });
    true
}

#[test]
fn a_repair_that_is_cut_can_be_repeated() {
    for sample in samples() {
        for (damage, bytes) in damages(&sample.bytes) {
            let what = format!("{} {damage}", sample.name);
            if repair_with_cuts(&what, &bytes) {
                println!("{what}: repaired");
            }
        }
    }
}

/// A disk that looks at the target's directory whenever it is read, and fails after so many reads.
struct Watching {
    disk: MemoryDisk,
    target: PathBuf,
    left: AtomicUsize,
}

impl BlockRead for Watching {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        assert!(!self.target.exists(), "something stands there before the copy has ended");
        let more = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        more.map_err(|_| block::Error::backend(std::io::Error::other("the source is gone")))?;
        self.disk.read_at(buf, offset)
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        self.disk.extents(range)
    }
}

#[test]
fn a_copy_that_fails_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for format in FORMATS.iter().copied().filter(|format| format.is_writable()) {
        for subformat in format.subformats.iter().map(|name| Some((*name).to_owned())).chain([None]) {
            let new = NewImage { subformat, ..NewImage::new(format) };
            for reads in 0.. {
                let target = directory.path().join("disk.image");
                let disk = MemoryDisk::from_bytes(content());
                let left = AtomicUsize::new(reads);
                let source = Arc::new(Watching { disk, target: target.clone(), left });
                let options = CopyOptions { threads: 2, sync: false, ..CopyOptions::default() };
                let copied = image::copy(source, &target, &new, &options, &NoProgress);
                if copied.is_ok() {
                    std::fs::read_dir(directory.path())
                        .unwrap()
                        .for_each(|entry| std::fs::remove_file(entry.unwrap().path()).unwrap());
                    break;
                }
                let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
                assert!(left.is_empty(), "{new:?} after {reads} reads: {left:?}");
            }
        }
    }
}
