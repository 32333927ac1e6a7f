//! Any operations on an overlay, against a plain vector of bytes.
#![no_main]

use block::{BlockRead, BlockWrite, MemoryDisk, Overlay, OverlayOptions, conformance};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use std::ops::Range;
use std::sync::Arc;

/// Large enough for several blocks of 64 KiB and an odd end.
const SIZE: u64 = 300_001;

#[derive(Arbitrary, Debug)]
enum Operation {
    Write(Place, u8),
    Zero(Place),
    Discard(Place),
    Read(Place),
    Extents(Place),
}

/// A range in units of a byte, a sector, a grain or a block, so that boundaries are met often.
#[derive(Arbitrary, Debug)]
struct Place {
    start: u32,
    length: u32,
    unit: u8,
}

impl Place {
    fn range(&self) -> Range<u64> {
        let unit = [1, 512, 4096, 65_536][usize::from(self.unit % 4)];
        let start = u64::from(self.start) % (SIZE + 1) / unit * unit;
        let length = u64::from(self.length) % (SIZE - start + 1) / unit * unit;
        start..start + length
    }
}

fuzz_target!(|input: (u8, Vec<Operation>)| {
    let (memory_blocks, operations) = input;
    let mut model = conformance::sample(SIZE as usize, 1);
    let options = OverlayOptions {
        memory_limit: u64::from(memory_blocks % 8) << 16,
        spill_directory: std::env::temp_dir(),
    };
    let disk = Overlay::new(Arc::new(MemoryDisk::from_bytes(model.clone())), options);
    for operation in operations.iter().take(100) {
        match operation {
            Operation::Write(place, byte) => {
                let range = place.range();
                let bytes = &mut model[range.start as usize..range.end as usize];
                bytes.fill(*byte);
                disk.write_at(bytes, range.start).unwrap();
            }
            Operation::Zero(place) | Operation::Discard(place) => {
                let range = place.range();
                model[range.start as usize..range.end as usize].fill(0);
                disk.zero(range).unwrap();
            }
            Operation::Read(place) => {
                let range = place.range();
                let mut buf = vec![0xA5; (range.end - range.start) as usize];
                disk.read_at(&mut buf, range.start).unwrap();
                assert!(buf == model[range.start as usize..range.end as usize]);
            }
            Operation::Extents(place) => conformance::check_extents(&disk, &model, place.range()),
        }
    }
    let mut buf = vec![0xA5; SIZE as usize];
    disk.read_at(&mut buf, 0).unwrap();
    assert!(buf == model);
    conformance::check_extents(&disk, &model, 0..SIZE);
});
