//! Volume groups made here, byte by byte, with what real ones have: several disks, stripes, a metadata buffer that
//! wraps, damage.

use block::{BlockRead, BlockWrite, MemoryDisk};
use guest::volume::{Volume, scan};
use std::sync::Arc;

const AREA: usize = 4096;
const AREA_SIZE: usize = 8192;
/// Where the first extent starts.
const DATA: usize = 1 << 20;
/// 64 KiB.
const EXTENT: usize = 64 << 10;
const IDS: [&str; 2] = ["AAAAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAAAA", "BBBBBB-BBBB-BBBB-BBBB-BBBB-BBBB-BBBBBB"];

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xF597_A6CFu32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

fn put(disk: &mut [u8], offset: usize, bytes: &[u8]) {
    disk[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// A physical volume whose metadata text starts `start` bytes into its area.
fn physical(id: &str, text: &str, start: usize) -> Vec<u8> {
    let mut disk = vec![0; DATA + 8 * EXTENT];
    let label = 512;
    put(&mut disk, label, b"LABELONE");
    put(&mut disk, label + 8, &1u64.to_le_bytes());
    put(&mut disk, label + 20, &32u32.to_le_bytes());
    put(&mut disk, label + 24, b"LVM2 001");
    put(&mut disk, label + 32, id.replace('-', "").as_bytes());
    let size = (disk.len() as u64).to_le_bytes();
    put(&mut disk, label + 64, &size);
    put(&mut disk, label + 72, &(DATA as u64).to_le_bytes());
    put(&mut disk, label + 104, &(AREA as u64).to_le_bytes());
    put(&mut disk, label + 112, &(AREA_SIZE as u64).to_le_bytes());
    let sum = crc(&disk[label + 20..label + 512]);
    put(&mut disk, label + 16, &sum.to_le_bytes());

    put(&mut disk, AREA + 4, b" LVM2 x[5A%r0N*>");
    put(&mut disk, AREA + 20, &1u32.to_le_bytes());
    put(&mut disk, AREA + 24, &(AREA as u64).to_le_bytes());
    put(&mut disk, AREA + 32, &(AREA_SIZE as u64).to_le_bytes());
    put(&mut disk, AREA + 40, &(start as u64).to_le_bytes());
    put(&mut disk, AREA + 48, &(text.len() as u64).to_le_bytes());
    put(&mut disk, AREA + 56, &crc(text.as_bytes()).to_le_bytes());
    let sum = crc(&disk[AREA + 4..AREA + 512]);
    put(&mut disk, AREA, &sum.to_le_bytes());
    for (index, byte) in text.bytes().enumerate() {
        let buffer = AREA_SIZE - 512;
        disk[AREA + 512 + (start - 512 + index) % buffer] = byte;
    }
    disk
}

fn group(seqno: u32, volumes: &str) -> String {
    let physical: String = (0..2)
        .map(|n| format!("pv{n} {{\nid = \"{}\"\npe_start = {}\npe_count = 8\n}}\n", IDS[n], DATA / 512))
        .collect();
    format!(
        "vg {{\nid = \"vgid\"\nseqno = {seqno}\nextent_size = {}\nphysical_volumes {{\n{physical}}}\n\
         logical_volumes {{\n{volumes}}}\n}}\ncontents = \"Text Format Volume Group\"\n\0",
        EXTENT / 512
    )
}

fn volume(name: &str, segments: &[&str]) -> String {
    let body: String =
        (1..).zip(segments).map(|(n, segment)| format!("segment{n} {{\n{segment}\n}}\n")).collect();
    let count = segments.len();
    format!("{name} {{\nstatus = [\"READ\", \"WRITE\", \"VISIBLE\"]\nsegment_count = {count}\n{body}}}\n")
}

fn scan_bytes(disks: Vec<Vec<u8>>) -> Vec<Volume> {
    let disks: Vec<Arc<dyn BlockWrite>> =
        disks.into_iter().map(|bytes| Arc::new(MemoryDisk::from_bytes(bytes)) as _).collect();
    scan(&disks).unwrap().into_iter().filter(|volume| volume.name.contains('/')).collect()
}

fn contents(volume: &Volume) -> Vec<u8> {
    let mut bytes = vec![0; volume.device.size() as usize];
    volume.device.read_at(&mut bytes, 0).unwrap();
    bytes
}

const LINEAR: &str =
    "start_extent = 0\nextent_count = 2\ntype = \"striped\"\nstripe_count = 1\nstripes = [\n\"pv0\", 3\n]";
const LINEAR_NEXT: &str =
    "start_extent = 2\nextent_count = 1\ntype = \"striped\"\nstripe_count = 1\nstripes = [\n\"pv1\", 0\n]";
const STRIPED: &str = "start_extent = 0\nextent_count = 4\ntype = \"striped\"\nstripe_count = 2\nstripe_size = 16\nstripes = [\n\"pv0\", 5,\n\"pv1\", 5\n]";
const THIN: &str = "start_extent = 0\nextent_count = 2\ntype = \"thin\"\nthin_pool = \"pool\"";

#[test]
fn linear_and_striped_volumes_over_two_disks() {
    let text = group(7, &(volume("data", &[LINEAR, LINEAR_NEXT]) + &volume("fast", &[STRIPED])));
    let mut disks: Vec<_> = IDS.iter().map(|id| physical(id, &text, 512)).collect();
    for (disk, bytes) in disks.iter_mut().enumerate() {
        for (index, byte) in bytes[DATA..].iter_mut().enumerate() {
            *byte = (index / 4096 * 2 + disk) as u8;
        }
    }
    let volumes = scan_bytes(disks.clone());
    assert_eq!(volumes.len(), 2);
    let data = [&disks[0][DATA + 3 * EXTENT..DATA + 5 * EXTENT], &disks[1][DATA..DATA + EXTENT]].concat();
    assert!(contents(&volumes[0]) == data);
    let stripe = |disk: usize| disks[disk][DATA + 5 * EXTENT..DATA + 7 * EXTENT].chunks(8192);
    let fast: Vec<u8> = stripe(0).zip(stripe(1)).flat_map(|(a, b)| [a, b].concat()).collect();
    assert!(contents(&volumes[1]) == fast);

    // What is written through a volume is read back, and lands on the disks below.
    let pattern: Vec<u8> = (0..40_000u32).map(|n| n as u8).collect();
    volumes[1].device.write_at(&pattern, 5000).unwrap();
    assert_eq!(contents(&volumes[1])[5000..45_000], pattern);
    let extents = volumes[1].device.extents(0..volumes[1].device.size()).unwrap();
    assert!(extents.windows(2).all(|pair| pair[0].range.end == pair[1].range.start));
}

#[test]
fn a_text_that_wraps_and_the_newest_of_two() {
    let old = group(3, &volume("old", &[LINEAR]));
    let new = group(4, &volume("new", &[LINEAR]));
    let volumes = scan_bytes(vec![physical(IDS[0], &old, 512), physical(IDS[1], &new, AREA_SIZE - 100)]);
    assert_eq!(volumes[0].name, "vg/new");
}

#[test]
fn what_cannot_be_put_together_says_why() {
    let text =
        group(1, &(volume("data", &[LINEAR_NEXT.replace("= 2", "= 0").as_str()]) + &volume("thin", &[THIN])));
    let volumes = scan_bytes(vec![physical(IDS[0], &text, 512)]);
    let kinds: Vec<_> = volumes.iter().map(|volume| volume.content.as_ref().unwrap().kind.as_str()).collect();
    assert_eq!(kinds, ["LVM2_partial", "LVM2_thin"]);
    let error = volumes[0].device.read_at(&mut [0], 0).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "logical volume vg/data cannot be read: the physical volume {} is not among the disks",
            IDS[1]
        )
    );
}

#[test]
fn damaged_metadata_is_passed_over() {
    let text = group(1, &volume("data", &[LINEAR]));
    let sound = physical(IDS[0], &text, 512);
    for at in [512 + 40, AREA + 30, AREA + 600] {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x40;
        assert!(scan_bytes(vec![damaged.clone()]).is_empty(), "{at}");
        assert_eq!(scan_bytes(vec![damaged, physical(IDS[1], &text, 512)]).len(), 1);
    }
}
