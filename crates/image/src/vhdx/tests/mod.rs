//! What can only be tested from inside: images as a layout makes them, dirty logs, and power cuts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;
mod differencing;
mod dirty;
mod storage;

use super::FORMAT;
use super::write::VhdxLayout;
use crate::check::{Check, check};
use crate::copy::{Files, Layout};
use crate::create::NewImage;
use crate::gate::{Gate, GateError, GateReason};
use crate::open::{Image, OpenOptions, open};
use block::{BlockRead, MemoryDisk, Window};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use storage::Memory;

/// A gate to files in memory.
#[derive(Default)]
struct Shelf(BTreeMap<String, Arc<dyn BlockRead>>);

impl Shelf {
    /// Puts an image of `length` bytes there.
    fn put(&mut self, name: &str, disk: &MemoryDisk, length: u64) {
        let disk: Arc<dyn BlockRead> = Arc::new(disk.clone());
        self.0.insert(name.to_owned(), Arc::new(Window::new(disk, 0..length).unwrap()));
    }
}

impl Gate for Shelf {
    fn open(&self, name: &str) -> Result<Arc<dyn BlockRead>, GateError> {
        let missing = || GateError::new(name, GateReason::Missing { root: PathBuf::from("nowhere") });
        self.0.get(name).cloned().ok_or_else(missing)
    }

    fn describe(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
}

fn gate(image: &Memory) -> Arc<dyn Gate> {
    let mut shelf = Shelf::default();
    shelf.put("disk.vhdx", &image.disk(), image.length());
    Arc::new(shelf)
}

fn opened(image: &Memory) -> Image {
    open(&gate(image), "disk.vhdx").unwrap()
}

fn checked(image: &Memory) -> Check {
    checked_in(&gate(image), "disk.vhdx")
}

fn checked_in(gate: &Arc<dyn Gate>, name: &str) -> Check {
    check(gate, name, &OpenOptions::default()).unwrap()
}

/// What is to become a unit of a new image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Absent,
    Zero,
    Data(u8),
}

/// An image that has these units of 4,096 bytes at these places of its disk.
fn image(mut layout: VhdxLayout, units: impl IntoIterator<Item = (u64, Unit)>) -> Memory {
    let files = Memory::default();
    for (start, unit) in units {
        let range = start..start + 4096;
        match unit {
            Unit::Absent => {}
            Unit::Zero => layout.zero(&files, range).unwrap(),
            Unit::Data(byte) => {
                let place = layout.place(&files, range).unwrap();
                files.write(&[byte; 4096], place).unwrap();
            }
        }
    }
    layout.finish(&files).unwrap();
    files
}

/// A dynamic disk of `size` bytes in blocks of 1 MiB with data at its beginning and its end.
fn dynamic(size: u64) -> Memory {
    let layout = VhdxLayout::new(size, "disk.vhdx", &NewImage::new(&FORMAT)).unwrap();
    image(layout, [(0, Unit::Data(1)), (size - 4096, Unit::Data(2))])
}

/// A fixed disk of `size` bytes in blocks of 1 MiB with data at its beginning and its end.
fn fixed(size: u64) -> Memory {
    let new = NewImage { subformat: Some("fixed".to_owned()), ..NewImage::new(&FORMAT) };
    let layout = VhdxLayout::new(size, "disk.vhdx", &new).unwrap();
    image(layout, [(0, Unit::Data(1)), (size - 4096, Unit::Data(2))])
}

#[test]
fn what_is_written_is_clean() {
    for image in [dynamic(5 << 20), dynamic(300 << 30), fixed((5 << 20) + 4096)] {
        assert_eq!(checked(&image), Check::default());
    }
}

#[test]
fn sectors_of_4096_bytes() {
    for subformat in ["dynamic", "fixed"] {
        let new = NewImage { subformat: Some(subformat.to_owned()), ..NewImage::new(&FORMAT) };
        let layout = VhdxLayout::with_sector((3 << 20) + 4096, "disk.vhdx", &new, 4096).unwrap();
        let image = image(layout, [(4096, Unit::Data(1)), (3 << 20, Unit::Data(2))]);
        let mut expected = vec![0; (3 << 20) + 4096];
        expected[4096..8192].fill(1);
        expected[3 << 20..].fill(2);
        let disk = opened(&image);
        assert_eq!(disk.info().layers[0].facts["logical sector size"], "4096");
        block::conformance::read(&disk, &expected);
    }
}

#[test]
fn damage_is_found() {
    // The table's entries of blocks 0 and 4, and what else can be wrong with them.
    let table = 3 << 20;
    for (place, bytes, what) in [
        (64 << 10, 0_u64, "this copy of the header is damaged"),
        (256 << 10, 0, "this copy of the region table is damaged"),
        (table, 4, "block 0 has state 4, which is reserved"),
        (table, 4 << 20 | 7, "block 0 is partially present in a disk without a parent"),
        (table, 6, "block 0 lies outside the file or inside its headers"),
        (table, 1 << 40 | 6, "block 0 lies outside the file or inside its headers"),
        (table, 2 << 20 | 6, "block 0 overlaps the metadata region"),
        (table, 5 << 20 | 6, "block 4 overlaps block 0"),
        (table + 32, 0, "1048576 bytes are used by nothing"),
    ] {
        let image = dynamic(5 << 20);
        // MemoryDisk tells data from holes by 64 KiB: the whole block is to be data.
        image.put(&vec![7; 1 << 20], 5 << 20);
        image.put(&bytes.to_le_bytes(), place);
        let check = checked(&image);
        let found: Vec<_> = check.findings.iter().map(|finding| finding.what.as_str()).collect();
        assert!(found.contains(&what), "{what}: {found:?}");
    }
}
