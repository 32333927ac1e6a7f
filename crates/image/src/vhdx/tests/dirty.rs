//! Dirty logs: in memory and into the file.

use super::storage::Memory;
use super::{checked, dynamic, gate, opened};
use crate::bytes::Stored;
use crate::check::Check;
use crate::open::open;
use crate::storage::Storage;
use crate::vhdx::file::{SECTOR, checksum};
use crate::vhdx::header::{self, Header, Headers};
use crate::vhdx::log;
use crate::vhdx::repair::repair;
use block::BlockRead;
use std::path::Path;
use zerocopy::IntoBytes;

const LOG: u64 = 1 << 20;
const LOG_LENGTH: u64 = 1 << 20;
const TABLE: u64 = 3 << 20;
const GUID: [u8; 16] = [7; 16];

/// An entry with another number, and its oldest entry at byte `tail` of the log.
fn renumbered(mut entry: Vec<u8>, number: u64, tail: u64) -> Vec<u8> {
    let descriptors = u32::from_le_bytes(entry[24..28].try_into().unwrap()) as usize;
    entry[12..16].copy_from_slice(&(tail as u32).to_le_bytes());
    entry[16..24].copy_from_slice(&number.to_le_bytes());
    for place in (0..descriptors).map(|descriptor| 64 + descriptor * 32) {
        entry[place + 24..place + 32].copy_from_slice(&number.to_le_bytes());
    }
    for sector in entry.chunks_mut(SECTOR as usize).skip(1) {
        sector[4..8].copy_from_slice(&((number >> 32) as u32).to_le_bytes());
        sector[4092..].copy_from_slice(&(number as u32).to_le_bytes());
    }
    sealed(entry)
}

fn sealed(mut entry: Vec<u8>) -> Vec<u8> {
    let crc = checksum(&entry);
    entry[4..8].copy_from_slice(&crc.to_le_bytes());
    entry
}

/// Makes a change to the header in both copies.
fn with_header(image: &Memory, change: impl Fn(&mut Header)) {
    let path = Path::new("disk.vhdx");
    let mut header = *Headers::read(&Stored::new(image, path).unwrap()).unwrap().current();
    change(&mut header);
    for (number, offset) in (10..).zip(header::OFFSETS) {
        image.put(header.numbered(number).as_bytes(), offset);
    }
}

/// Puts an entry at byte `place` of the log, which is a ring.
fn log_at(image: &Memory, place: u64, entry: &[u8]) {
    for (number, sector) in (0..).zip(entry.chunks(SECTOR as usize)) {
        image.put(sector, LOG + (place + number * SECTOR) % LOG_LENGTH);
    }
}

/// An image whose table is as it was before two changes, both in the log; the second is the newer.
fn dirty() -> (Memory, Vec<u8>) {
    let image = dynamic(5 << 20);
    let whole = image.get(TABLE, SECTOR as usize);
    let mut half = whole.clone();
    half[32..40].fill(0);
    image.put(&[0; SECTOR as usize], TABLE);
    let length = image.length();
    let end = LOG_LENGTH - SECTOR;
    // The first entry wraps around the log's end; the second says that the first is still needed.
    log_at(&image, end, &renumbered(log::entry(GUID, length, &[(TABLE, half)]), 41, end));
    log_at(&image, SECTOR, &renumbered(log::entry(GUID, length, &[(TABLE, whole.clone())]), 42, end));
    with_header(&image, |header| header.log_guid = GUID);
    (image, whole)
}

fn ends(image: &Memory) -> (u8, u8) {
    let disk = opened(image);
    let (mut first, mut last) = ([0], [0]);
    disk.read_at(&mut first, 0).unwrap();
    disk.read_at(&mut last, (5 << 20) - 1).unwrap();
    (first[0], last[0])
}

#[test]
fn a_dirty_log_is_replayed_in_memory_and_the_file_is_left() {
    let (image, _) = dirty();
    let before = image.get(0, image.length() as usize);
    assert_eq!(ends(&image), (1, 2));
    assert_eq!(opened(&image).info().layers[0].facts["log"], "2 entries to be replayed");
    assert_eq!(checked(&image), Check::default());
    assert!(before == image.get(0, image.length() as usize));
}

#[test]
fn a_torn_newest_entry_is_left_out() {
    // The newest entry is whole, lacks a sector, has one of another entry, or belongs to another log.
    let newest = LOG + SECTOR;
    for (place, bytes) in [(4096 + 100, &[1][..]), (4096, &[0; 4096]), (4096 + 4092, &[9]), (40, &[1])] {
        let (image, _) = dirty();
        image.put(bytes, newest + place);
        assert_eq!(ends(&image), (1, 0), "{place}");
    }
    let (image, _) = dirty();
    let first = LOG + LOG_LENGTH - SECTOR;
    image.put(&[0; 512], first);
    // The newer entry needs the older one, so that there is no sequence.
    assert!(open(&gate(&image), "disk.vhdx").unwrap_err().to_string().contains("no complete sequence"));
}

#[test]
fn logs_that_lie_are_refused() {
    let sector = || vec![0xff; SECTOR as usize];
    let length = dynamic(5 << 20).length();
    for (entry, reason) in [
        (log::entry(GUID, length, &[(64 << 10, sector())]), "where no metadata can be"),
        (log::entry(GUID, length, &[(LOG + SECTOR, sector())]), "where no metadata can be"),
        (log::entry(GUID, length, &[(1 << 60, sector())]), "where no metadata can be"),
        (log::entry(GUID, 1 << 40, &[]), "was at least 1099511627776 bytes long"),
        (log::entry([8; 16], length, &[]), "no complete sequence"),
        (renumbered(log::entry(GUID, length, &[]), 5, 8192), "no complete sequence"),
        (renumbered(log::entry(GUID, length, &[]), 0, 0), "no complete sequence"),
    ] {
        let image = dynamic(5 << 20);
        log_at(&image, 0, &entry);
        with_header(&image, |header| header.log_guid = GUID);
        let message = open(&gate(&image), "disk.vhdx").unwrap_err().to_string();
        assert!(message.contains(reason), "{reason}: {message}");
    }
}

#[test]
fn zero_descriptors_and_a_longer_file() {
    let image = dynamic(5 << 20);
    let length = image.length();
    let mut entry = log::entry(GUID, length, &[]);
    let descriptor =
        [&b"zero"[..], &[0; 4], &8192_u64.to_le_bytes(), &TABLE.to_le_bytes(), &1_u64.to_le_bytes()];
    entry[64..96].copy_from_slice(&descriptor.concat());
    entry[24] = 1;
    entry[56..64].copy_from_slice(&(length + (4 << 20)).to_le_bytes());
    log_at(&image, 0, &sealed(entry));
    with_header(&image, |header| header.log_guid = GUID);
    assert_eq!(ends(&image), (0, 0));
    let mut check = Check::default();
    repair(&image, Path::new("disk.vhdx"), &mut check).unwrap();
    assert_eq!(image.length(), length + (4 << 20));
    assert_eq!(ends(&image), (0, 0));
}

#[test]
fn a_repair_is_safe_against_power_cuts() {
    let (image, whole) = dirty();
    for changes in 0.. {
        let failing = image.failing_after(changes);
        let mut check = Check::default();
        let repaired = repair(&failing, Path::new("disk.vhdx"), &mut check);
        for seed in 0..6 {
            let left = failing.crashed(seed);
            assert_eq!(ends(&left), (1, 2), "{changes} {seed}");
            assert_eq!(checked(&left), Check::default(), "{changes} {seed}");
        }
        if repaired.is_ok() {
            assert_eq!(check.repaired, 1);
            assert!(check.findings[0].what.starts_with("2 entries of the log"), "{check:?}");
            assert_eq!(failing.get(TABLE, SECTOR as usize), whole);
            assert!(!opened(&failing).info().layers[0].facts.contains_key("log"));
            return;
        }
    }
}

#[test]
fn damaged_copies_and_leaks_are_repaired() {
    let image = dynamic(5 << 20);
    let length = image.length();
    for place in [128 << 10, 192 << 10] {
        image.put(b"nothing", place);
    }
    // A block that nothing uses any more, and bytes behind everything.
    image.put(&[0; 8], TABLE);
    image.put(&[1; 65_536], length);
    assert_eq!((checked(&image).damages, checked(&image).leaks), (2, 2));
    let mut check = Check::default();
    repair(&image, Path::new("disk.vhdx"), &mut check).unwrap();
    assert_eq!((check.damages, check.leaks, check.repaired), (2, 2, 4), "{check:?}");
    assert_eq!(checked(&image), Check::default());
    assert_eq!(ends(&image), (0, 2));
    assert!(Storage::length(&image).unwrap() >= length);
}
