//! Anything as the metadata text of a physical volume whose label and checksums are right: volumes are found or not,
//! and reading what was found stays inside the disk.
#![no_main]

use block::{BlockRead, BlockWrite, MemoryDisk};
use guest::volume::scan;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

const AREA: usize = 4096;
const AREA_SIZE: usize = 60 << 10;
const DISK: usize = 256 << 10;
const ID: &[u8; 32] = b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xF597_A6CFu32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

fn put(disk: &mut [u8], offset: usize, bytes: &[u8]) {
    disk[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// A physical volume with `text` at the start of its only metadata area.
fn physical(text: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; DISK];
    put(&mut disk, 512, b"LABELONE\x01\0\0\0\0\0\0\0");
    put(&mut disk, 532, &32u32.to_le_bytes());
    put(&mut disk, 536, b"LVM2 001");
    put(&mut disk, 544, ID);
    put(&mut disk, 576, &(DISK as u64).to_le_bytes());
    put(&mut disk, 584, &(128u64 << 10).to_le_bytes());
    put(&mut disk, 616, &(AREA as u64).to_le_bytes());
    put(&mut disk, 624, &(AREA_SIZE as u64).to_le_bytes());
    let sum = crc(&disk[532..1024]);
    put(&mut disk, 528, &sum.to_le_bytes());
    put(&mut disk, AREA + 4, b" LVM2 x[5A%r0N*>\x01");
    put(&mut disk, AREA + 24, &(AREA as u64).to_le_bytes());
    put(&mut disk, AREA + 32, &(AREA_SIZE as u64).to_le_bytes());
    put(&mut disk, AREA + 40, &512u64.to_le_bytes());
    put(&mut disk, AREA + 48, &(text.len() as u64).to_le_bytes());
    put(&mut disk, AREA + 56, &crc(text).to_le_bytes());
    let sum = crc(&disk[AREA + 4..AREA + 512]);
    put(&mut disk, AREA, &sum.to_le_bytes());
    put(&mut disk, AREA + 512, text);
    disk
}

fuzz_target!(|text: &[u8]| {
    if text.len() > AREA_SIZE - 512 {
        return;
    }
    let disk: Arc<dyn BlockWrite> = Arc::new(MemoryDisk::from_bytes(physical(text)));
    let Ok(volumes) = scan(&[disk]) else { return };
    assert!(!volumes.is_empty());
    for volume in volumes {
        // A volume may map the same extents again and again; a little of each end will do.
        let size = volume.device.size();
        for offset in [0, size.saturating_sub(1000)] {
            let mut some = vec![0; size.min(1000) as usize];
            let unreadable = volume.content.as_ref().is_some_and(|content| content.kind.starts_with("LVM2_"));
            let read = volume.device.read_at(&mut some, offset);
            assert!(read.is_ok() || unreadable, "{}: {read:?}", volume.name);
        }
    }
});
