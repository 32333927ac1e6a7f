//! The layout by itself, with files in memory: what no copy of a whole disk asks for.

use super::*;
use crate::create::{Compression, NewParent};
use crate::{DirectoryGate, Gate, open};
use block::conformance::Random;
use block::{BlockRead, ExtentKind};
use std::cell::RefCell;
use std::sync::Arc;

/// Files in memory.
struct Memory(RefCell<Vec<Vec<u8>>>);

impl Files for Memory {
    fn write(&self, data: &[u8], place: Place) -> io::Result<()> {
        let mut files = self.0.borrow_mut();
        let (start, file) = (place.offset as usize, &mut files[place.file]);
        if file.len() < start + data.len() {
            file.resize(start + data.len(), 0);
        }
        file[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn set_len(&self, file: usize, length: u64) -> io::Result<()> {
        self.0.borrow_mut()[file].resize(length as usize, 0);
        Ok(())
    }

    fn allocate(&self, file: usize, range: Range<u64>) -> io::Result<()> {
        let length = (self.0.borrow()[file].len() as u64).max(range.end);
        self.set_len(file, length)
    }
}

/// What a unit of a delta is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Absent,
    Zero,
    Data,
}

fn delta(new: &NewImage, size: u64, seed: u64) -> (Vec<Vec<u8>>, Vec<u8>, Vec<Unit>) {
    let mut layout = Qcow2Layout::new(size, "delta.qcow2", new).unwrap();
    let files = Memory(RefCell::new(vec![Vec::new(); layout.files().len()]));
    let (unit, mut random) = (layout.unit(), Random::new(seed));
    let mut packer = layout.packers().map(|packers| packers());
    let mut bytes = vec![0; size as usize];
    let mut units = Vec::new();
    let mut start = 0;
    while start < size {
        let end = (start + unit).min(size);
        let kind = [Unit::Absent, Unit::Zero, Unit::Data][random.below(3) as usize];
        units.push(kind);
        match kind {
            Unit::Absent => {}
            Unit::Zero => layout.zero(&files, start..end).unwrap(),
            Unit::Data => {
                let data = &mut bytes[start as usize..end as usize];
                match random.below(2) {
                    0 => random.fill(data),
                    _ => data.fill(random.below(255) as u8 + 1),
                }
                let mut packed = Vec::new();
                let shorter =
                    packer.as_mut().is_some_and(|packer| packer.pack(start, data, &mut packed).unwrap());
                if shorter {
                    let place = layout.place_packed(&files, start..end, packed.len() as u64).unwrap();
                    files.write(&packed, place).unwrap();
                } else {
                    let place = layout.place(&files, start..end).unwrap();
                    files.write(data, place).unwrap();
                }
            }
        }
        start = end;
    }
    layout.finish(&files).unwrap();
    (files.0.into_inner(), bytes, units)
}

fn parent(size: u64) -> NewParent {
    NewParent {
        name: "base.raw".to_owned(),
        absolute: "/base.raw".to_owned(),
        format: "raw",
        content_id: None,
        virtual_size: size,
        modified: 0,
    }
}

#[test]
fn a_delta_says_of_each_cluster_whether_it_is_its_own() {
    for (seed, compression) in [(1, None), (2, Some(Compression::Zlib)), (3, Some(Compression::Zstd))] {
        for cluster_size in [512, 4096, 65_536, 1 << 20] {
            let directory = tempfile::tempdir().unwrap();
            let size = 70 * cluster_size.min(16_384) + 512;
            let base = block::conformance::sample(size as usize, seed);
            std::fs::write(directory.path().join("base.raw"), &base).unwrap();
            let new = NewImage {
                compression,
                cluster_size: Some(cluster_size),
                parent: Some(parent(size)),
                ..NewImage::qcow2()
            };
            let (files, bytes, units) = delta(&new, size, seed);
            let path = directory.path().join("delta.qcow2");
            std::fs::write(&path, &files[0]).unwrap();
            let (gate, name) = DirectoryGate::for_file(&path).unwrap();
            let gate: Arc<dyn Gate> = Arc::new(gate);
            let image = open(&gate, &name).unwrap();
            assert_eq!(image.info().layers[1].format, "raw");
            let mut expected = base;
            for (index, unit) in units.iter().enumerate() {
                let start = index as u64 * cluster_size;
                let end = (start + cluster_size).min(size);
                let range = start as usize..end as usize;
                match unit {
                    Unit::Absent => {}
                    Unit::Zero => expected[range].fill(0),
                    Unit::Data => expected[range.clone()].copy_from_slice(&bytes[range]),
                }
                let extents = image.layers()[0].own.extents(start..end).unwrap();
                let right = |kind: &ExtentKind| match unit {
                    Unit::Absent => matches!(kind, ExtentKind::Absent),
                    Unit::Zero => matches!(kind, ExtentKind::Zero),
                    Unit::Data => matches!(kind, ExtentKind::Data(_)),
                };
                assert!(extents.iter().all(|extent| right(&extent.kind)), "{unit:?} {extents:?}");
            }
            block::conformance::read(&image, &expected);
        }
    }
}

#[test]
fn zeroes_behind_the_parents_end_take_no_tables() {
    let new = NewImage { parent: Some(parent(100_000)), ..NewImage::qcow2() };
    let mut layout = Qcow2Layout::new(1 << 50, "x", &new).unwrap();
    let files = Memory(RefCell::new(vec![Vec::new()]));
    layout.zero(&files, 0..1 << 49).unwrap();
    layout.finish(&files).unwrap();
    let table = layout.l1[0] & OFFSET;
    let entries: Vec<u8> = files.0.borrow()[0][table as usize..][..24].to_vec();
    assert_eq!(entries, [[0, 0, 0, 0, 0, 0, 0, 1].repeat(2), vec![0; 8]].concat());
    assert!(layout.l1[1..].iter().all(|entry| *entry == 0));
}

#[test]
fn runs_of_part_of_a_cluster_share_it() {
    let new = NewImage { cluster_size: Some(2 << 20), ..NewImage::qcow2() };
    let mut layout = Qcow2Layout::new(8 << 20, "x", &new).unwrap();
    let files = Memory(RefCell::new(vec![Vec::new()]));
    let mut place = |start: u64| layout.place(&files, start << 20..(start + 1) << 20).unwrap().offset;
    let (second, third, fourth, last) = (place(1), place(2), place(3), place(7));
    assert_eq!(second % (2 << 20), 1 << 20);
    assert_eq!((third, fourth), (second + (1 << 20), second + (2 << 20)));
    assert_eq!(last, fourth + (2 << 20));
}
