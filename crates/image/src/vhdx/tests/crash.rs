//! New sizes, and power cuts at any moment of getting one.

use super::storage::Memory;
use super::{Unit, checked, dynamic, fixed, image, opened};
use crate::create::NewImage;
use crate::vhdx::FORMAT;
use crate::vhdx::resize::resize;
use crate::vhdx::write::VhdxLayout;
use block::BlockRead;
use std::path::Path;

fn resized(image: &Memory, size: u64) -> crate::Result<()> {
    resize(image, Path::new("disk.vhdx"), size)
}

/// Whether the disk of `size` bytes has data at its beginning and before byte `old`, and zeroes behind.
fn assert_holds(image: &Memory, old: u64, size: u64) {
    let disk = opened(image);
    assert_eq!(disk.size(), size);
    let (mut first, mut last) = ([0; 4096], [0; 4096]);
    disk.read_at(&mut first, 0).unwrap();
    assert_eq!(first, [1; 4096]);
    if size >= old {
        disk.read_at(&mut last, old - 4096).unwrap();
        assert_eq!(last, [2; 4096]);
        let mut start = old;
        let mut piece = vec![1; 1 << 20];
        // The rest of the block in which the disk ended, the next ones, and the last ones.
        while start < size {
            let length = (size - start).min(piece.len() as u64) as usize;
            disk.read_at(&mut piece[..length], start).unwrap();
            assert!(block::is_zero(&piece[..length]), "{start}");
            start = if start < old + (2 << 20) { start + length as u64 } else { size.max(start) };
        }
    }
}

/// Cuts the power at every change of getting from one size to another. The disk's data ends at byte `data`.
fn survives(image: &Memory, data: u64, new: u64) {
    let old = opened(image).size();
    for changes in 0.. {
        let failing = image.failing_after(changes);
        let done = resized(&failing, new);
        for seed in 0..4 {
            let left = failing.crashed(seed);
            let size = opened(&left).size();
            assert!([old, new].contains(&size), "{changes} {seed}: {size}");
            assert!(done.is_err() || size == new, "{changes} {seed}");
            assert_holds(&left, data, size);
            assert_eq!(checked(&left).damages, 0, "{changes} {seed}: {:?}", checked(&left));
            // Who tries again gets there.
            resized(&left, new).unwrap();
            assert_holds(&left, data, new);
        }
        if done.is_ok() {
            assert!(checked(&failing).is_clean(), "{:?}", checked(&failing));
            return;
        }
    }
}

#[test]
fn a_dynamic_disk_grows_into_its_table() {
    survives(&dynamic(5 << 20), 5 << 20, 9 << 20);
    // What lay behind its end in its last block does not come to light.
    let size = (5 << 20) + 8192;
    let image = dynamic(size);
    image.put(&[0xee; 4096], image.length() - 4096);
    survives(&image, size, 64 << 30);
}

#[test]
fn a_dynamic_disk_gets_a_larger_table() {
    let size = 100 << 30;
    let image = dynamic(size);
    assert_eq!(opened(&image).info().layers[0].cluster_size, Some(1 << 20));
    survives(&image, size, 300 << 30);
}

#[test]
fn a_fixed_disk_grows() {
    survives(&fixed((2 << 20) + 8192), (2 << 20) + 8192, (5 << 20) + 512);
}

#[test]
fn a_dynamic_disk_shrinks_where_nothing_is_lost() {
    let layout = VhdxLayout::new(20 << 20, "disk.vhdx", &NewImage::new(&FORMAT)).unwrap();
    let image = image(layout, [(0, Unit::Data(1)), ((9 << 20) - 4096, Unit::Data(2))]);
    for refused in [1 << 20, (9 << 20) - 4096, (9 << 20) - 512, (8 << 20) + 4096] {
        let error = resized(&image, refused).unwrap_err();
        assert!(error.to_string().contains("has data behind byte"), "{error}");
    }
    survives(&image, 9 << 20, 9 << 20);
    assert_eq!(opened(&image).size(), 20 << 20);
    assert_eq!(checked(&image).damages, 0);
    resized(&image, 9 << 20).unwrap();
    assert_holds(&image, 9 << 20, 9 << 20);
    resized(&image, 30 << 20).unwrap();
    assert_holds(&image, 9 << 20, 30 << 20);
    assert!(checked(&image).is_clean());
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let image = dynamic(5 << 20);
    for size in [(5 << 20) + 1, (64 << 40) + 512, u64::MAX] {
        let error = resized(&image, size).unwrap_err();
        assert!(error.to_string().contains("at most 64 TiB, in whole sectors of 512 bytes"), "{error}");
    }
    let error = resized(&fixed(5 << 20), 4 << 20).unwrap_err();
    assert!(error.to_string().contains("only a dynamic disk"), "{error}");
}
