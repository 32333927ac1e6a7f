//! The binary header (specification, section 2.1) and its second copy (section 2.2).

use crate::{Error, Read, Reason, within};
use sha2::{Digest as _, Sha256};
use zerocopy::big_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

const FIRST: [u8; 6] = *b"LUKS\xba\xbe";
const SECOND: [u8; 6] = *b"SKUL\xba\xbe";
/// The sizes of a header with its metadata (section 2.2, table 2): where the second one can be.
const SIZES: [u64; 9] =
    [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];
/// Bytes of the binary header, before the metadata.
const BINARY: usize = 4096;
/// Where the checksum stands.
const CHECKSUM: std::ops::Range<usize> = 448..512;

#[derive(Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Layout {
    magic: [u8; 6],
    version: U16,
    header_size: U64,
    sequence: U64,
    label: [u8; 48],
    checksum_algorithm: [u8; 32],
    salt: [u8; 64],
    uuid: [u8; 40],
    subsystem: [u8; 48],
    header_offset: U64,
    padding: [u8; 184],
    checksum: [u8; 64],
}

const _: () = assert!(size_of::<Layout>() == 512);

/// One copy, sound.
struct Copy {
    sequence: u64,
    size: u64,
    json: Vec<u8>,
}

/// What is at one of the places.
enum Found {
    Nothing,
    Damaged,
    Sound(Copy),
}

/// The metadata of the newest sound copy; `None` when the volume has neither.
///
/// # Errors
/// When there is a header, and no copy of it is sound.
pub(super) fn find<E>(size: u64, read: &mut Read<'_, E>) -> Result<Option<Vec<u8>>, Error<E>> {
    let mut damaged = false;
    let mut best: Option<Copy> = None;
    let mut take = |found: Found, best: &mut Option<Copy>| match found {
        Found::Sound(copy) if best.as_ref().is_none_or(|known| known.sequence < copy.sequence) => {
            *best = Some(copy);
        }
        Found::Damaged => damaged = true,
        Found::Nothing | Found::Sound(_) => {}
    };
    take(copy(size, read, 0, FIRST)?, &mut best);
    let places = best.as_ref().map_or(SIZES.to_vec(), |copy| vec![copy.size]);
    for place in places {
        take(copy(size, read, place, SECOND)?, &mut best);
    }
    match best {
        Some(copy) => Ok(Some(copy.json)),
        None if damaged => Err(Reason::Header { what: "is damaged, and so is its copy" }.into()),
        None => Ok(None),
    }
}

fn copy<E>(size: u64, read: &mut Read<'_, E>, offset: u64, magic: [u8; 6]) -> Result<Found, Error<E>> {
    if offset.checked_add(BINARY as u64).is_none_or(|end| end > size) {
        return Ok(Found::Nothing);
    }
    let binary = within(size, read, offset, BINARY, "is cut short")?;
    let Ok((layout, _)) = Layout::read_from_prefix(&binary) else { return Ok(Found::Nothing) };
    if layout.magic != magic || layout.version.get() != 2 {
        return Ok(Found::Nothing);
    }
    let length = layout.header_size.get();
    let there = SIZES.contains(&length) && layout.header_offset.get() == offset;
    if !there || offset.checked_add(length).is_none_or(|end| end > size) {
        return Ok(Found::Damaged);
    }
    if !layout.checksum_algorithm.starts_with(b"sha256\0") {
        return Ok(Found::Damaged);
    }
    let mut whole = within(size, read, offset, length as usize, "is cut short")?;
    if let Some(checksum) = whole.get_mut(CHECKSUM) {
        checksum.fill(0);
    }
    if !layout.checksum.starts_with(&Sha256::digest(&whole)) {
        return Ok(Found::Damaged);
    }
    let json = whole.get(BINARY..).unwrap_or_default();
    let end = json.iter().position(|byte| *byte == 0).unwrap_or(json.len());
    let json = json.get(..end).unwrap_or_default().to_vec();
    Ok(Found::Sound(Copy { sequence: layout.sequence.get(), size: length, json }))
}
