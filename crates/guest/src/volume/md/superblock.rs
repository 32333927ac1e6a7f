//! The superblock of a member: version 1 at one of three places, version 0.90 near the end.

use crate::volume::bytes::{array, le16, le32, le64, text};
use block::{BlockRead, Result};

const MAGIC: u32 = 0xA92B_4EFC;
/// Bytes of a superblock of version 1 before the table of roles.
const ROLES: usize = 256;
/// The most devices that Linux gives an array of version 1, by the superblock's 4 KiB.
const MAX_DEVICES: usize = (4096 - ROLES) / 2;
/// Bytes of a superblock of version 0.90.
const OLD: usize = 4096;
/// The device descriptors of version 0.90: where the first is, how long one is, and how many there are.
const DESCRIPTORS: (usize, usize, usize) = (512, 128, 27);
/// Where version 0.90 describes the device that it is on.
const THIS: usize = 3968;
/// Bits of a descriptor's state in version 0.90.
const FAULTY: u32 = 1;
const ACTIVE: u32 = 2;
const SYNC: u32 = 4;
/// Bits of the feature map of version 1: the member is being filled; the array is being reshaped.
const RECOVERING: u32 = 2;
const RESHAPING: u32 = 4;

/// What a superblock says.
pub(super) struct Superblock {
    /// The array's UUID.
    pub(super) set: [u8; 16],
    pub(super) name: Option<String>,
    pub(super) level: i32,
    /// How many members the array should have.
    pub(super) wanted: u32,
    /// Counts up with every change of the array.
    pub(super) events: u64,
    /// The number of the device that it is on.
    pub(super) number: u32,
    /// Where the data begins on the device, in bytes.
    pub(super) start: u64,
    /// How many bytes of the device are the array's.
    pub(super) size: u64,
    /// Whether the device says of itself that it holds all of the data.
    pub(super) in_sync: bool,
    pub(super) reshaping: bool,
    /// What each device was, by its number.
    pub(super) roles: Vec<Role>,
}

/// What a device was to the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A member, in that slot.
    Active(u32),
    /// Spare, faulty, a journal, or nothing.
    Other,
}

/// The sound superblock of a device, if it has one.
pub(super) fn read(device: &dyn BlockRead) -> Result<Option<Superblock>> {
    let sectors = device.size() / 512;
    let last = sectors.checked_sub(16).map(|sector| (sector & !7) * 512);
    for offset in [Some(4096), Some(0), last].into_iter().flatten() {
        if let Some(bytes) = at(device, offset)?
            && let Some(superblock) = version_1(&bytes, offset)
        {
            return Ok(Some(superblock));
        }
    }
    let Some(offset) = (device.size() & !0xFFFF).checked_sub(0x1_0000) else { return Ok(None) };
    Ok(at(device, offset)?.and_then(|bytes| version_0_90(&bytes)))
}

fn at(device: &dyn BlockRead, offset: u64) -> Result<Option<[u8; OLD]>> {
    if offset.checked_add(OLD as u64).is_none_or(|end| end > device.size()) {
        return Ok(None);
    }
    let mut bytes = [0; OLD];
    device.read_at(&mut bytes, offset)?;
    Ok(Some(bytes))
}

fn version_1(bytes: &[u8], offset: u64) -> Option<Superblock> {
    if le32(bytes, 0)? != MAGIC || le32(bytes, 4)? != 1 || le64(bytes, 144)?.checked_mul(512)? != offset {
        return None;
    }
    let devices = le32(bytes, 220)? as usize;
    if devices > MAX_DEVICES || checksum_1(bytes, ROLES + devices * 2)? != le32(bytes, 216)? {
        return None;
    }
    let features = le32(bytes, 8)?;
    let role = |number: usize| match le16(bytes, ROLES + number * 2) {
        // From 0xfff0 on they are no slots: 0xffff is a spare, 0xfffe a faulty device, 0xfffd a journal.
        Some(slot) if slot < 0xfff0 => Role::Active(slot.into()),
        _ => Role::Other,
    };
    Some(Superblock {
        set: array(bytes, 16)?,
        name: text(bytes, 32, 32),
        level: i32::from_le_bytes(array(bytes, 72)?),
        wanted: le32(bytes, 92)?,
        events: le64(bytes, 200)?,
        number: le32(bytes, 160)?,
        start: le64(bytes, 128)?.checked_mul(512)?,
        size: le64(bytes, 80)?.checked_mul(512)?,
        in_sync: features & RECOVERING == 0 || le64(bytes, 152)? == u64::MAX,
        reshaping: features & RESHAPING != 0,
        roles: (0..devices).map(role).collect(),
    })
}

/// The sum of the superblock's words, its own left out (`calc_sb_1_csum` in Linux' `drivers/md/md.c`).
fn checksum_1(bytes: &[u8], length: usize) -> Option<u32> {
    let words = bytes.get(..length)?.chunks(4).map(|word| {
        let mut whole = [0; 4];
        whole.iter_mut().zip(word).for_each(|(to, from)| *to = *from);
        u64::from(u32::from_le_bytes(whole))
    });
    let sum = words.sum::<u64>().wrapping_sub(u64::from(le32(bytes, 216)?));
    Some((sum as u32).wrapping_add((sum >> 32) as u32))
}

/// Words in the byte order of the machine that wrote them; only little-endian ones run PCs.
fn version_0_90(bytes: &[u8]) -> Option<Superblock> {
    let word = |index: usize| le32(bytes, index * 4);
    if word(0)? != MAGIC || word(1)? != 0 || checksum_0_90(bytes)? != word(38)? {
        return None;
    }
    let mut set = [0; 16];
    for (to, from) in [(0, 5), (4, 13), (8, 14), (12, 15)] {
        set.get_mut(to..to + 4)?.copy_from_slice(&word(from)?.to_be_bytes());
    }
    let is_member = |state: u32| state & (FAULTY | ACTIVE | SYNC) == ACTIVE | SYNC;
    let (first, length, count) = DESCRIPTORS;
    let role = |number: usize| {
        let start = first + number * length;
        match (le32(bytes, start + 12), le32(bytes, start + 16)) {
            (Some(slot), Some(state)) if is_member(state) => Role::Active(slot),
            _ => Role::Other,
        }
    };
    Some(Superblock {
        set,
        // It is known by its device's number.
        name: Some(word(11)?.to_string()),
        level: word(7)? as i32,
        wanted: word(10)?,
        events: u64::from(word(40)?) << 32 | u64::from(word(39)?),
        number: le32(bytes, THIS)?,
        start: 0,
        size: u64::from(word(8)?) * 1024,
        in_sync: is_member(le32(bytes, THIS + 16)?),
        // Version 0.91 is an array that is being reshaped.
        reshaping: word(2)? > 90,
        roles: (0..count).map(role).collect(),
    })
}

fn checksum_0_90(bytes: &[u8]) -> Option<u32> {
    let words = bytes.as_chunks::<4>().0.iter().map(|word| u64::from(u32::from_le_bytes(*word)));
    let sum = words.sum::<u64>().wrapping_sub(u64::from(le32(bytes, 38 * 4)?));
    Some((sum as u32).wrapping_add((sum >> 32) as u32))
}
