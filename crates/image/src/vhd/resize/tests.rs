//! New sizes, and power cuts while they are given and while damage is repaired.

use super::*;
use crate::check::Check;
use crate::copy::{CopyOptions, NoProgress, copy};
use crate::create::NewImage;
use crate::gate::{Gate, GateError, GateReason};
use crate::storage::volatile::VolatileFile;
use crate::vhd::FORMAT;
use crate::vhd::check::repair;
use block::{BlockRead, MemoryDisk};
use std::path::PathBuf;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

/// A gate to one file.
struct OneFile(Arc<MemoryDisk>);

impl Gate for OneFile {
    fn open(&self, name: &str) -> Result<Arc<dyn BlockRead>, GateError> {
        match name {
            "disk" => Ok(self.0.clone()),
            _ => Err(GateError::new(name, GateReason::NotAName)),
        }
    }
    fn describe(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
}

fn gate(file: &[u8]) -> Arc<dyn Gate> {
    Arc::new(OneFile(Arc::new(MemoryDisk::from_bytes(file.to_vec()))))
}

/// A VHD file of a disk with `bytes`.
fn image(bytes: &[u8], subformat: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let cluster_size = (subformat == "dynamic").then_some(MIB);
    let new = NewImage { subformat: Some(subformat.to_owned()), cluster_size, ..NewImage::new(&FORMAT) };
    let source = Arc::new(MemoryDisk::from_bytes(bytes.to_vec()));
    copy(source, &path, &new, &CopyOptions::default(), &NoProgress).unwrap();
    std::fs::read(path).unwrap()
}

fn contents(size: u64) -> Vec<u8> {
    let mut bytes = block::conformance::sample(size as usize, 3);
    // Something that a larger disk must not show.
    if let Some(last) = bytes.last_mut() {
        *last = 0xee;
    }
    bytes
}

/// The size of the disk in `file`, which begins with `bytes` and has zeroes from there on.
fn size_of(file: &[u8], bytes: &[u8]) -> u64 {
    let disk = crate::open(&gate(file), "disk").unwrap();
    assert_eq!(disk.info().format, "vhd");
    let common = (disk.size() as usize).min(bytes.len());
    let mut found = vec![0; common];
    disk.read_at(&mut found, 0).unwrap();
    assert!(found == bytes[..common]);
    for extent in disk.extents(common as u64..disk.size()).unwrap().iter().filter(|extent| extent.is_data()) {
        let mut behind = vec![1; extent.len() as usize];
        disk.read_at(&mut behind, extent.range.start).unwrap();
        assert!(block::is_zero(&behind), "{:?}", extent.range);
    }
    disk.size()
}

fn check(file: &[u8]) -> Check {
    crate::check(&gate(file), "disk", &crate::OpenOptions::default()).unwrap()
}

fn resized(file: &[u8], size: u64) -> Result<Vec<u8>> {
    let storage = VolatileFile::new(file);
    resize(&storage, Path::new("disk"), size)?;
    Ok(storage.bytes())
}

/// Old sizes and new ones: within the last block, by blocks, and by more than the table's sector has room for.
const SIZES: [(u64, u64); 6] = [
    (2 * MIB + 512, 2 * MIB + 1024),
    (2 * MIB + 512, 3 * MIB),
    (2 * MIB, 31 * MIB + 512),
    (MIB + 512, 2 * MIB),
    (2 * MIB, 300 * MIB),
    (0, 4 * MIB),
];

#[test]
fn larger_disks_have_zeroes_behind_the_old_end() {
    for (old, new) in SIZES {
        for subformat in ["dynamic", "fixed"] {
            if subformat == "fixed" && new > 40 * MIB {
                continue;
            }
            let bytes = contents(old);
            let file = image(&bytes, subformat);
            let larger = resized(&file, new).unwrap();
            assert_eq!(size_of(&larger, &bytes), new);
            assert_eq!(check(&larger), Check::default(), "{old} {new} {subformat}");
            // And once more, which finds the table where it was moved to.
            let again = resized(&larger, new + MIB).unwrap();
            assert_eq!(size_of(&again, &bytes), new + MIB);
            assert_eq!(check(&again), Check::default());
        }
    }
}

#[test]
fn what_stood_behind_the_old_end_is_not_shown() {
    // A block, and a disk, of which the end was never the guest's.
    let bytes = vec![7; 5 * MIB as usize / 2];
    let mut file = image(&bytes, "dynamic");
    let end = file.len() - 512;
    file[end - 4096..end].fill(0x55);
    assert_eq!(size_of(&resized(&file, 4 * MIB).unwrap(), &bytes), 4 * MIB);
    let mut file = image(&vec![7; MIB as usize], "fixed");
    file.splice(MIB as usize..MIB as usize, [0x55; 4096]);
    for size in [MIB + 512, MIB + 4096, MIB + 4608, 2 * MIB] {
        assert_eq!(size_of(&resized(&file, size).unwrap(), &vec![7; MIB as usize]), size);
    }
}

#[test]
fn smaller_disks_lose_no_data() {
    for subformat in ["dynamic", "fixed"] {
        let mut bytes = contents(3 * MIB);
        bytes.resize(9 * MIB as usize, 0);
        let file = image(&bytes, subformat);
        for size in [4 * MIB, 3 * MIB] {
            let smaller = resized(&file, size).unwrap();
            assert_eq!(size_of(&smaller, &bytes), size);
            assert_eq!(check(&smaller), Check::default());
            assert_eq!(size_of(&resized(&smaller, 9 * MIB).unwrap(), &bytes), 9 * MIB);
        }
        let message = resized(&file, 3 * MIB - 512).unwrap_err().to_string();
        assert!(message.contains("there is data behind the new end, at byte 3145"), "{message}");
        let message = resized(&file, MIB).unwrap_err().to_string();
        assert!(message.contains("cannot resize disk: there is data behind the new end"), "{message}");
        assert_eq!(resized(&file, 9 * MIB).unwrap(), file);
    }
}

#[test]
fn what_cannot_be_resized_is_said() {
    let file = image(&contents(3 * MIB), "dynamic");
    let refused = |file: &[u8], size| resized(file, size).unwrap_err().to_string();
    assert!(refused(&file, 4 * MIB + 1).contains("is a multiple of 512 bytes"));
    assert!(matches!(resized(&file, MAX_SIZE + 512), Err(Error::TooLarge { .. })));
    let mut damaged = file.clone();
    damaged[600] ^= 1;
    assert!(refused(&damaged, 4 * MIB).contains("the checksum of the dynamic disk header is wrong"));
    let mut damaged = file.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(refused(&damaged, 4 * MIB).contains("it is damaged; check it first"));
}

/// Cuts the power after each operation of `change` on `file`, in several ways, and hands what is left to `see`.
fn crashes(file: &[u8], change: &dyn Fn(&VolatileFile) -> Result<()>, see: &dyn Fn(Vec<u8>)) {
    for operations in 0.. {
        let storage = VolatileFile::new(file).failing_after(operations);
        let outcome = change(&storage);
        for seed in 0..6 {
            see(storage.crash(seed));
        }
        if outcome.is_ok() {
            return;
        }
    }
}

/// What every filesystem that counts never leaves: a file made longer without what was written at its new end, or one
/// that is cut and still as long.
fn is_half_done(left: &[u8]) -> bool {
    left[left.len() - 512..] == [0; 512]
}

#[test]
fn a_power_cut_leaves_the_old_disk_or_the_new_one() {
    let bytes = contents(MIB + 1536);
    let with_room = [bytes.as_slice(), &[0; 3 * MIB as usize]].concat();
    for (subformat, old, new) in [
        ("dynamic", &bytes, 300 * MIB),
        ("dynamic", &bytes, 3 * MIB),
        ("dynamic", &with_room, 2 * MIB),
        ("fixed", &bytes, 3 * MIB),
        ("fixed", &with_room, 2 * MIB),
    ] {
        let file = image(old, subformat);
        let change = |storage: &VolatileFile| resize(storage, Path::new("disk"), new);
        crashes(&file, &change, &|left| {
            if is_half_done(&left) {
                return;
            }
            let size = size_of(&left, &bytes);
            assert!(size == new || size == old.len() as u64, "{size}");
            let found = check(&left);
            // What a fixed image has behind its disk, until it is cut off.
            assert!(found.damages == 0 && (found.leaks == 0 || subformat == "fixed"), "{found:?}");
        });
    }
}

#[test]
fn repairs_survive_power_cuts() {
    let bytes = contents(2 * MIB);
    let sound = image(&bytes, "dynamic");
    let mend = |storage: &VolatileFile| repair(storage, Path::new("disk"), &mut Check::default());
    let end = sound.len() - 512;
    let mut last = sound.clone();
    last[end + 100] ^= 1;
    let mut first = sound.clone();
    first[..512].fill(0x55);
    let gone = sound[..end].to_vec();
    let covered = [&sound[..end], &[0x55; 5000]].concat();
    let leak = [&sound[..end], &vec![0x55; 3 << 20], &sound[end..]].concat();
    for damaged in [last, first, gone, covered, leak] {
        assert!(!check(&damaged).is_clean());
        let storage = VolatileFile::new(&damaged);
        let mut found = Check::default();
        repair(&storage, Path::new("disk"), &mut found).unwrap();
        assert!(found.is_clean() && found.repaired == 1, "{found:?}");
        assert!(storage.bytes() == sound);
        crashes(&damaged, &mend, &|left| assert_eq!(size_of(&left, &bytes), 2 * MIB));
    }
    let fixed = image(&bytes, "fixed");
    let leak = [&fixed[..2 * MIB as usize], &[0x55; 5000], &fixed[2 * MIB as usize..]].concat();
    let storage = VolatileFile::new(&leak);
    repair(&storage, Path::new("disk"), &mut Check::default()).unwrap();
    assert!(storage.bytes() == fixed);
}

#[test]
fn damage_that_could_be_either_ways_is_found_and_left_alone() {
    let sound = image(&contents(7 * MIB), "dynamic");
    let table = 1536;
    let mut twice = sound.clone();
    twice.copy_within(table..table + 4, table + 4);
    let mut outside = sound.clone();
    outside[table..table + 4].copy_from_slice(&[0x7f; 4]);
    let mut on_header = sound.clone();
    on_header[table..table + 4].copy_from_slice(&[0, 0, 0, 1]);
    let mut first = twice.clone();
    first[0] = 0;
    for (damaged, expected) in [
        (twice, "lies where something else does"),
        (outside, "block 0 lies outside the file"),
        (on_header, "lies where something else does"),
        (first, "the copy of the footer is missing or damaged"),
    ] {
        let found = check(&damaged);
        assert!(
            found.damages > 0 && found.findings.iter().any(|finding| finding.what.contains(expected)),
            "{found:?}"
        );
        let storage = VolatileFile::new(&damaged);
        let mut tried = Check::default();
        repair(&storage, Path::new("disk"), &mut tried).unwrap();
        assert!(tried.repaired == 0 && tried.damages == found.damages);
        assert!(storage.bytes() == damaged);
    }
    let mut leak = sound;
    leak[table + 4..table + 8].fill(0xff);
    let found = check(&leak);
    assert_eq!((found.leaks, found.damages), (1, 0), "{found:?}");
}
