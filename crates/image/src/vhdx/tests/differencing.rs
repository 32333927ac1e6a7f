//! Differencing disks, against a plain model.

use super::storage::Memory;
use super::{Shelf, Unit, checked_in, dynamic, image};
use crate::create::{NewImage, NewParent};
use crate::error::ErrorKind;
use crate::open::open;
use crate::vhdx::FORMAT;
use crate::vhdx::write::VhdxLayout;
use block::conformance::{self, Random};
use block::{BlockRead, ExtentKind};
use std::sync::Arc;

/// A new child of `parent.vhdx`.
fn child(parent: &Memory, block: u64) -> NewImage {
    let id = super::opened(parent).info().layers[0].content_id.clone();
    let parent = NewParent {
        name: "parent.vhdx".to_owned(),
        absolute: "/somewhere/parent.vhdx".to_owned(),
        format: "vhdx",
        content_id: id,
        virtual_size: 0,
        modified: 0,
    };
    NewImage { parent: Some(parent), cluster_size: Some(block), ..NewImage::new(&FORMAT) }
}

fn shelf(parent: &Memory, child: &Memory) -> Shelf {
    let mut shelf = Shelf::default();
    shelf.put("parent.vhdx", &parent.disk(), parent.length());
    shelf.put("child.vhdx", &child.disk(), child.length());
    shelf
}

/// Units in runs of many lengths, some of them whole blocks.
fn units(random: &mut Random, count: u64) -> Vec<Unit> {
    let mut units = Vec::new();
    while (units.len() as u64) < count {
        let length = [1, 2, 7, 256, 600][random.below(5) as usize];
        let unit =
            [Unit::Absent, Unit::Zero, Unit::Data(1 + random.below(250) as u8)][random.below(3) as usize];
        units.extend((0..length).map(|_| unit));
    }
    units.truncate(count as usize);
    units
}

#[test]
fn a_child_is_its_own_sectors_over_its_parents() {
    let mut random = Random::new(11);
    for (block, sector, size) in [
        (1 << 20, 512, 9 << 20),
        (2 << 20, 512, (9 << 20) + 8192),
        (1 << 20, 4096, (9 << 20) + 8192),
        (8 << 20, 4096, 17 << 20),
    ] {
        let plain = NewImage::new(&FORMAT);
        let below = units(&mut random, 5 << 8);
        let places = (0..).step_by(4096);
        let layout = VhdxLayout::with_sector(5 << 20, "parent.vhdx", &plain, sector).unwrap();
        let parent = image(layout, places.clone().zip(below.iter().copied()));
        let above = units(&mut random, size / 4096);
        let layout = VhdxLayout::with_sector(size, "child.vhdx", &child(&parent, block), sector).unwrap();
        let made = image(layout, places.zip(above.iter().copied()));

        let mut expected = vec![0; size as usize];
        for (index, piece) in expected.chunks_mut(4096).enumerate() {
            match (above[index], below.get(index).copied()) {
                (Unit::Data(byte), _) | (Unit::Absent, Some(Unit::Data(byte))) => piece.fill(byte),
                _ => {}
            }
        }
        let gate: Arc<dyn crate::Gate> = Arc::new(shelf(&parent, &made));
        let disk = open(&gate, "child.vhdx").unwrap();
        assert_eq!(disk.info().subformat.as_deref(), Some("differencing"));
        conformance::read(&disk, &expected);
        for extent in disk.layers()[0].own.extents(0..size).unwrap() {
            let units = &above[(extent.range.start / 4096) as usize..(extent.range.end / 4096) as usize];
            let absent = matches!(extent.kind, ExtentKind::Absent);
            assert!(units.iter().all(|unit| (*unit == Unit::Absent) == absent), "{extent:?}");
        }
        assert_eq!(checked_in(&gate, "child.vhdx").damages, 0);
    }
}

#[test]
fn chunks_have_their_own_sector_bitmaps() {
    let parent = dynamic(9 << 30);
    let chunk = 4 << 30;
    let units = [
        (4096, Unit::Data(3)),
        (chunk - 4096, Unit::Zero),
        (chunk, Unit::Data(4)),
        (chunk + (64 << 20), Unit::Zero),
        (2 * chunk, Unit::Data(5)),
        ((9 << 30) - 4096, Unit::Zero),
    ];
    let layout = VhdxLayout::new(9 << 30, "child.vhdx", &child(&parent, 32 << 20)).unwrap();
    let made = image(layout, units);
    let gate: Arc<dyn crate::Gate> = Arc::new(shelf(&parent, &made));
    let disk = open(&gate, "child.vhdx").unwrap();
    let byte = |offset| {
        let mut byte = [9];
        disk.read_at(&mut byte, offset).unwrap();
        byte[0]
    };
    assert_eq!((byte(0), byte(4096), byte(8192)), (1, 3, 0));
    assert_eq!((byte(chunk), byte(2 * chunk), byte((9 << 30) - 4096)), (4, 5, 0));
    assert_eq!(checked_in(&gate, "child.vhdx").damages, 0);
    // Six blocks of 32 MiB, and three sector bitmap blocks.
    assert!(made.length() < 6 * (32 << 20) + (8 << 20), "{}", made.length());
}

#[test]
fn a_parent_that_changed_or_is_elsewhere_is_noticed() {
    let (parent, other) = (dynamic(5 << 20), dynamic(5 << 20));
    let layout = VhdxLayout::new(5 << 20, "child.vhdx", &child(&parent, 1 << 20)).unwrap();
    let made = image(layout, []);
    let gate: Arc<dyn crate::Gate> = Arc::new(shelf(&other, &made));
    assert_eq!(open(&gate, "child.vhdx").unwrap_err().kind(), ErrorKind::ParentChanged);
    let gate = super::gate(&made);
    assert_eq!(open(&gate, "disk.vhdx").unwrap_err().kind(), ErrorKind::Missing);
}
