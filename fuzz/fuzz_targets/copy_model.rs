//! Copies of any disk in both formats, against a plain vector of bytes.
#![no_main]

use block::{BlockWrite, MemoryDisk, conformance};
use image::{CopyOptions, DirectoryGate, Gate, NewImage, NoProgress};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

const LARGEST: u64 = 3 << 20;

#[derive(Arbitrary, Debug)]
struct Input {
    size: u32,
    /// Place, length and byte, in units of a byte, a sector, a page or a cluster.
    writes: Vec<(u32, u32, u8, u8)>,
    qcow2: bool,
    threads: u8,
}

fuzz_target!(|input: Input| {
    let size = u64::from(input.size) % (LARGEST + 1);
    let source = MemoryDisk::new(size);
    for (place, length, byte, unit) in &input.writes {
        let unit = [1, 512, 4096, 65_536][usize::from(unit % 4)];
        let start = u64::from(*place) % (size + 1) / unit * unit;
        let length = u64::from(*length) % (size - start + 1) / unit * unit;
        source.write_at(&vec![*byte; length as usize], start).expect("it fits");
    }
    let mut expected = source.to_bytes();
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let path = directory.path().join("copy");
    let format = if input.qcow2 { NewImage::qcow2() } else { NewImage::raw() };
    let options = CopyOptions { threads: usize::from(input.threads % 5), ..CopyOptions::default() };
    let report =
        image::copy(Arc::new(source), &path, &format, &options, &NoProgress).expect("it can be copied");
    assert_eq!(report.blake3, Some(blake3::hash(&expected)));
    if input.qcow2 {
        expected.resize(expected.len().next_multiple_of(512), 0);
        let (gate, name) = DirectoryGate::for_file(&path).expect("it is there");
        let gate: Arc<dyn Gate> = Arc::new(gate);
        conformance::read(&image::open(&gate, &name).expect("it is sound"), &expected);
    } else {
        // Whatever stands in a raw disk, it may look like an image.
        assert!(std::fs::read(&path).expect("it is there") == expected);
    }
});
