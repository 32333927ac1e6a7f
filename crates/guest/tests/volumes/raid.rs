//! Mirrors of Linux' software RAID, made here byte by byte and checked by mdadm.

use super::{image, run};
use block::{BlockRead, BlockWrite, MemoryDisk};
use guest::volume::{Origin, Volume, scan_unlocking};
use std::sync::Arc;

const SIZE: usize = 8 << 20;
const SET: [u8; 16] = *b"0123456789abcdef";

fn put(disk: &mut [u8], offset: usize, bytes: &[u8]) {
    disk[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn sum(bytes: &[u8]) -> u32 {
    let sum: u64 = bytes.as_chunks::<4>().0.iter().map(|word| u64::from(u32::from_le_bytes(*word))).sum();
    (sum as u32).wrapping_add((sum >> 32) as u32)
}

/// A member of a mirror of two.
#[derive(Clone, Copy)]
struct Member {
    /// 0, 1 or 2: the minor version of 1; 90 for 0.90.
    minor: u32,
    number: u32,
    events: u64,
    /// What the members of number 0, 1 and 2 are.
    roles: [u16; 3],
    level: i32,
}

const MEMBER: Member = Member { minor: 2, number: 0, events: 40, roles: [0, 1, 0xffff], level: 1 };

impl Member {
    /// Where the superblock is, where the data begins, and how much of it there is, in bytes.
    fn layout(self) -> (usize, usize, usize) {
        match self.minor {
            0 => (SIZE - 8192, 0, SIZE - 16384),
            1 => (0, 1 << 20, 6 << 20),
            2 => (4096, 1 << 20, 6 << 20),
            _ => (SIZE - 65536, 0, SIZE - 65536),
        }
    }

    /// The disk of this member, its data all `fill`.
    fn disk(self, fill: u8) -> Vec<u8> {
        let (place, start, size) = self.layout();
        let mut disk = vec![0; SIZE];
        disk[start..start + size].fill(fill);
        let superblock =
            if self.minor == 90 { self.version_0_90(size) } else { self.version_1(place, start, size) };
        put(&mut disk, place, &superblock);
        disk
    }

    fn version_1(self, place: usize, start: usize, size: usize) -> Vec<u8> {
        let mut block = vec![0; 256 + 8];
        put(&mut block, 0, &0xA92B_4EFCu32.to_le_bytes());
        put(&mut block, 4, &1u32.to_le_bytes());
        put(&mut block, 16, &SET);
        put(&mut block, 32, b"host:root");
        put(&mut block, 72, &self.level.to_le_bytes());
        put(&mut block, 80, &(size as u64 / 512).to_le_bytes());
        put(&mut block, 92, &2u32.to_le_bytes());
        put(&mut block, 128, &(start as u64 / 512).to_le_bytes());
        put(&mut block, 136, &(size as u64 / 512).to_le_bytes());
        put(&mut block, 144, &(place as u64 / 512).to_le_bytes());
        put(&mut block, 160, &self.number.to_le_bytes());
        put(&mut block, 200, &self.events.to_le_bytes());
        put(&mut block, 208, &u64::MAX.to_le_bytes());
        put(&mut block, 220, &4u32.to_le_bytes());
        for (number, role) in (0..).zip(self.roles.into_iter().chain([0xffff])) {
            put(&mut block, 256 + number * 2, &role.to_le_bytes());
        }
        let checksum = sum(&block).to_le_bytes();
        put(&mut block, 216, &checksum);
        block
    }

    fn version_0_90(self, size: usize) -> Vec<u8> {
        let mut block = vec![0; 4096];
        let words = [
            (0, 0xA92B_4EFC),
            (2, 90),
            (4, 992),
            (5, u32::from_be_bytes(*b"0123")),
            (7, self.level as u32),
            (8, size as u32 / 1024),
            (9, 2),
            (10, 2),
            (11, 5),
            (13, u32::from_be_bytes(*b"4567")),
            (14, u32::from_be_bytes(*b"89ab")),
            (15, u32::from_be_bytes(*b"cdef")),
            (33, 1),
            (39, self.events as u32),
        ];
        for (word, value) in words {
            put(&mut block, word * 4, &value.to_le_bytes());
        }
        for (number, role) in (0_usize..).zip(self.roles).filter(|(_, role)| *role < 0xfff0) {
            for start in
                [512 + number * 128].into_iter().chain((self.number as usize == number).then_some(3968))
            {
                put(&mut block, start, &(number as u32).to_le_bytes());
                put(&mut block, start + 12, &u32::from(role).to_le_bytes());
                put(&mut block, start + 16, &6u32.to_le_bytes());
            }
        }
        let checksum = sum(&block).to_le_bytes();
        put(&mut block, 38 * 4, &checksum);
        block
    }
}

/// The disks, the mirror on them if there is one, and the notes.
fn mirror(disks: Vec<Vec<u8>>) -> (Vec<Arc<dyn BlockWrite>>, Option<Volume>, Vec<String>) {
    let disks: Vec<Arc<dyn BlockWrite>> =
        disks.into_iter().map(|bytes| Arc::new(MemoryDisk::from_bytes(bytes)) as _).collect();
    let scan = scan_unlocking(&disks, &[]).unwrap();
    let found = scan.volumes.into_iter().find(|volume| matches!(volume.origin, Origin::Raid { .. }));
    (disks, found, scan.notes)
}

fn byte(disk: &dyn BlockRead, offset: u64) -> u8 {
    let mut byte = [0];
    disk.read_at(&mut byte, offset).unwrap();
    byte[0]
}

#[test]
fn every_version_is_a_mirror_that_mdadm_knows() {
    for minor in [0, 1, 2, 90] {
        let members = [MEMBER, Member { number: 1, ..MEMBER }].map(|member| Member { minor, ..member });
        let directory = tempfile::tempdir().unwrap();
        let path = image(directory.path(), "member.raw", 0);
        std::fs::write(&path, members[1].disk(7)).unwrap();
        let said = run("mdadm", &["--examine", path.to_str().unwrap()], "");
        assert!(said.contains("raid1") && said.contains("- correct"), "{said}");

        let (disks, volume, notes) = mirror(vec![members[0].disk(7), members[1].disk(7)]);
        let volume = volume.unwrap_or_else(|| panic!("no mirror of version {minor}"));
        let (_, start, size) = members[0].layout();
        assert_eq!(volume.device.size(), size as u64, "{minor}");
        assert_eq!(notes, Vec::<String>::new());
        volume.device.write_at(&[9], 4096).unwrap();
        for disk in &disks {
            assert_eq!(byte(disk.as_ref(), start as u64 + 4096), 9);
        }
        let Origin::Raid { uuid, name } = &volume.origin else { unreachable!() };
        assert_eq!(uuid, "30313233-3435-3637-3839-616263646566");
        assert_eq!(name.as_deref(), Some(if minor == 90 { "5" } else { "host:root" }));
    }
}

#[test]
fn who_is_out_of_date_or_spare_is_neither_read_nor_written() {
    // The second left the array long before the first saw its last event.
    let stale = Member { number: 1, events: 20, ..MEMBER };
    let now = Member { roles: [0, 0xfffe, 0xffff], ..MEMBER };
    for (members, reads) in [
        (vec![stale.disk(1), now.disk(7)], 7),
        (vec![Member { number: 1, events: 20, ..MEMBER }.disk(1), MEMBER.disk(7)], 7),
        (vec![Member { number: 2, ..MEMBER }.disk(1), MEMBER.disk(7)], 7),
        // One event is what a machine misses that stops between two superblocks.
        (vec![Member { number: 1, events: 39, ..MEMBER }.disk(7), MEMBER.disk(7)], 7),
    ] {
        let (disks, volume, notes) = mirror(members);
        let volume = volume.unwrap();
        assert_eq!(byte(volume.device.as_ref(), 0), reads);
        volume.device.write_at(&[9], 0).unwrap();
        let first = byte(disks[0].as_ref(), 1 << 20);
        assert_eq!(first == 9, notes.is_empty(), "{notes:?}");
    }
}

#[test]
fn what_is_no_mirror_is_left_alone() {
    for member in [
        Member { level: 5, ..MEMBER },
        Member { number: 2, ..MEMBER },
        Member { roles: [0xfffe; 3], ..MEMBER },
        Member { number: 400, ..MEMBER },
    ] {
        assert!(mirror(vec![member.disk(1)]).1.is_none());
    }
    let mut damaged = MEMBER.disk(1);
    damaged[4096 + 200] ^= 1;
    assert!(mirror(vec![damaged]).1.is_none());
}
