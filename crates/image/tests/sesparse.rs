//! Space-efficient sparse deltas of ESXi. No tool here writes them: they are put together from the layout that QEMU's
//! reader documents, and QEMU reads them too.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use image::ErrorKind;
use std::path::{Path, PathBuf};
use support::{disk, failure, file, open, qemu_img};

const SECTOR: usize = 512;
const GRAIN: usize = 4096;
/// Bytes of the disk that a grain table covers.
const SPAN: usize = GRAIN * 4096;

/// Where the parts of the extent begin, in sectors.
const DIRECTORY: usize = 4;
const TABLES: usize = 8;
const GRAINS: usize = TABLES + 2 * 64;

/// What is in a grain.
#[derive(Clone, Copy)]
enum Entry {
    Unmapped,
    Zero,
    /// In the grain of this number of the file.
    Stored(u64),
}

fn put(bytes: &mut [u8], place: usize, value: u64) {
    bytes[place..place + 8].copy_from_slice(&value.to_le_bytes());
}

/// An extent for a disk of `capacity` bytes. Tables are in the reverse order of the disk, to show that they are told by
/// their numbers.
fn extent(capacity: usize, entries: &[(usize, Entry)], grains: &[u8]) -> Vec<u8> {
    let mut extent = vec![0; GRAINS * SECTOR];
    let header = [0xcafe_babe, 0x2_0000_0001, (capacity / SECTOR) as u64, 8, 64, 0, 0, 0, 0, 0];
    // Volatile header, journal's header, journal, directory, tables, free bitmap, backmap, grains.
    let regions = [(1, 1), (2, 1), (3, 1), (DIRECTORY, 4), (TABLES, 128), (0, 0), (0, 0), (GRAINS, 4096)];
    let regions = regions.iter().flat_map(|(offset, size)| [*offset as u64, *size as u64]);
    for (index, word) in header.into_iter().chain(regions).enumerate() {
        put(&mut extent, index * 8, word);
    }
    put(&mut extent, SECTOR, 0xcafe_cafe);
    for (grain, entry) in entries {
        let table = grain / 4096;
        put(&mut extent, DIRECTORY * SECTOR + table * 8, 0x1000_0000_0000_0000 | (1 - table as u64));
        let word = match entry {
            Entry::Unmapped => 0x1000_0000_0000_0000,
            Entry::Zero => 0x2000_0000_0000_0000,
            Entry::Stored(number) => 0x3000_0000_0000_0000 | (number & 0xfff) << 48 | number >> 12,
        };
        put(&mut extent, (TABLES + (1 - table) * 64) * SECTOR + (grain % 4096) * 8, word);
    }
    extent.extend_from_slice(grains);
    extent
}

/// The delta with `extent` over a flat disk with `base`.
fn delta(directory: &Path, base: &[u8], extent: &[u8]) -> PathBuf {
    file(directory, "vm-flat.vmdk", base);
    let sectors = base.len() / SECTOR;
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=0000000a\nparentCID=ffffffff\ncreateType=\"vmfs\"\n\
         RW {sectors} VMFS \"vm-flat.vmdk\"\n"
    );
    file(directory, "vm.vmdk", text.as_bytes());
    file(directory, "vm-000001-sesparse.vmdk", extent);
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=0000000b\nparentCID=0000000a\ncreateType=\"seSparse\"\n\
         parentFileNameHint=\"vm.vmdk\"\nRW {sectors} SESPARSE \"vm-000001-sesparse.vmdk\"\n"
    );
    file(directory, "vm-000001.vmdk", text.as_bytes())
}

#[test]
fn a_delta_over_a_flat_disk_reads_as_qemu_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let base = disk(SPAN + 3 * GRAIN + SECTOR);
    let grains = block::conformance::sample(5000 * GRAIN, 9);
    let entries = [
        (0, Entry::Stored(4097)),
        (1, Entry::Zero),
        (7, Entry::Stored(1)),
        (8, Entry::Stored(2)),
        (4095, Entry::Unmapped),
        (4097, Entry::Stored(4096)),
        // The last one, of which one sector is the disk's.
        (4099, Entry::Stored(0)),
    ];
    let mut expected = base.clone();
    for (grain, entry) in entries {
        let range = grain * GRAIN..((grain + 1) * GRAIN).min(base.len());
        let length = range.len();
        match entry {
            Entry::Unmapped | Entry::Zero => expected[range].fill(0),
            Entry::Stored(number) => {
                expected[range].copy_from_slice(&grains[number as usize * GRAIN..][..length]);
            }
        }
    }
    let path = delta(directory.path(), &base, &extent(base.len(), &entries, &grains));
    let image = open(&path).unwrap();
    assert_eq!(image.info().subformat.as_deref(), Some("seSparse"));
    assert_eq!((image.info().layers.len(), image.info().layers[0].cluster_size), (2, Some(4096)));
    block::conformance::read(&image, &expected);
    file(directory.path(), "expected.raw", &expected);
    qemu_img(directory.path(), &["compare", "-f", "raw", "-F", "vmdk", "expected.raw", "vm-000001.vmdk"]);
}

#[test]
fn an_extent_by_itself_is_no_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), "x-sesparse.vmdk", &extent(GRAIN, &[], &[]));
    let message = failure(&path);
    assert!(message.contains("has no descriptor of its own"), "{message}");
}

#[test]
fn headers_and_tables_that_lie() {
    let directory = tempfile::tempdir().unwrap();
    let base = disk(SPAN + GRAIN);
    let good = extent(base.len(), &[(0, Entry::Stored(0))], &[5; GRAIN]);
    let path = delta(directory.path(), &base, &good);
    open(&path).unwrap();
    let table = (TABLES + 64) * SECTOR;
    for (place, word, reason) in [
        (8, 0x3_0000_0001, "version 0x300000001 is not known"),
        (16, 0, "a capacity of 0 sectors is absurd"),
        (16, u64::MAX, "sectors is absurd"),
        (16, 1 << 40, "the grain directory of"),
        (24, 16, "grains of sectors 0x10 is not known"),
        (32, 1, "grain tables of sectors 0x1 is not known"),
        (40, 1, "flags 0x1 is not known"),
        (80, u64::MAX, "ends inside the header"),
        (128, u64::MAX, "the grain directory of 2 entries"),
        (136, 0, "the grain directory of 2 entries"),
        (144, u64::MAX, "grain table 0 at sector"),
        (SECTOR, 1, "a second header that begins with 0x1 is not known"),
        (SECTOR + 24, 1, "its journal has to be replayed by ESXi first"),
        (DIRECTORY * SECTOR, 1, "a grain directory entry 0x1 is not known"),
        (DIRECTORY * SECTOR, 0x1000_0000_ffff_ffff, "grain table 0 at sector"),
        (table, 1, "a grain table entry 0x1 is not known"),
        (table, 0x4000_0000_0000_0000, "a grain table entry 0x4000000000000000 is not known"),
        (table, 0x3fff_ffff_ffff_ffff, "grain 0 at sector"),
        (table, 0x3001_0000_0000_0000, "grain 0 at sector"),
    ] {
        let mut changed = good.clone();
        put(&mut changed, place, word);
        file(directory.path(), "vm-000001-sesparse.vmdk", &changed);
        let message = failure(&path);
        assert!(message.contains(reason), "{place}: {message}");
    }
    let mut open_journal = good.clone();
    put(&mut open_journal, SECTOR + 24, 1);
    file(directory.path(), "vm-000001-sesparse.vmdk", &open_journal);
    assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::Unsupported);
    file(directory.path(), "vm-000001-sesparse.vmdk", &good[..700]);
    assert!(failure(&path).contains("ends inside the header"));
}
