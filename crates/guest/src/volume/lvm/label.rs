//! The label of a physical volume, and its metadata areas, which are circular buffers.

use super::read;
use crate::volume::bytes::{array, le32, le64};
use crate::volume::content::format_lvm_id;
use block::{BlockRead, Result};

const SECTOR: usize = 512;
/// A label lies in one of the first four sectors.
const LABEL_SECTORS: u64 = 4;
const MAX_AREAS: usize = 16;
const AREA_MAGIC: &[u8; 16] = b" LVM2 x[5A%r0N*>";
/// Metadata of more than this is refused; that of thousands of volumes is a few MiB long.
const MAX_TEXT: u64 = 16 << 20;

/// The label of a physical volume.
pub(super) struct Label {
    /// The physical volume's identifier, as metadata writes it.
    pub(super) id: String,
    /// Where its metadata areas lie, in bytes.
    pub(super) metadata_areas: Vec<Area>,
}

/// A metadata area.
pub(super) struct Area {
    offset: u64,
    size: u64,
}

/// LVM2's checksum: CRC-32 with a start value of its own and without the last inversion (`lib/misc/crc.c`).
fn checksum(bytes: &[u8]) -> u32 {
    const INITIAL: u32 = 0xF597_A6CF;
    let mut crc = crc32fast::Hasher::new_with_initial(!INITIAL);
    crc.update(bytes);
    !crc.finalize()
}

/// Reads the label; `None` when there is none that is sound.
fn read_label(sector: &[u8], number: u64) -> Option<Label> {
    let sector = sector.get(..SECTOR)?;
    let sound = array(sector, 0)? == *b"LABELONE"
        && array(sector, 24)? == *b"LVM2 001"
        && le64(sector, 8)? == number
        && checksum(sector.get(20..)?) == le32(sector, 16)?;
    if !sound {
        return None;
    }
    let header = usize::try_from(le32(sector, 20)?).ok()?;
    let id = format_lvm_id(array(sector, header)?);
    // Two lists of (offset, size) follow, each ended by a pair of zeroes: data areas, then metadata areas.
    let mut at = header.checked_add(40)?;
    let mut next_list = || {
        let mut areas = Vec::new();
        while areas.len() <= MAX_AREAS {
            let (offset, size) = (le64(sector, at)?, le64(sector, at + 8)?);
            at += 16;
            if offset == 0 {
                return Some(areas);
            }
            areas.push(Area { offset, size });
        }
        None
    };
    next_list()?;
    Some(Label { id, metadata_areas: next_list()? })
}

/// The label of `disk`.
pub(super) fn read_disk(disk: &dyn BlockRead) -> Result<Option<Label>> {
    for number in 0..LABEL_SECTORS {
        if let Some(sector) = read(disk, number * SECTOR as u64, SECTOR as u64)?
            && let Some(label) = read_label(&sector, number)
        {
            return Ok(Some(label));
        }
    }
    Ok(None)
}

/// The current metadata in `area`: its newest text, when its checksum is right.
pub(super) fn metadata_text(disk: &dyn BlockRead, area: &Area) -> Result<Option<String>> {
    let Some(header) = read(disk, area.offset, SECTOR as u64)? else { return Ok(None) };
    let Some(location) = location(&header, area) else { return Ok(None) };
    let until_end = location.size.min(area.size - location.offset);
    let Some(mut text) = read(disk, area.offset + location.offset, until_end)? else { return Ok(None) };
    // The buffer goes on behind the header.
    let Some(rest) = read(disk, area.offset + SECTOR as u64, location.size - until_end)? else {
        return Ok(None);
    };
    text.extend(rest);
    if checksum(&text) != location.checksum {
        return Ok(None);
    }
    while text.last() == Some(&0) {
        text.pop();
    }
    Ok(String::from_utf8(text).ok())
}

/// Where the current text lies (`struct raw_locn`), relative to the area.
struct Location {
    offset: u64,
    size: u64,
    checksum: u32,
}

fn location(header: &[u8], area: &Area) -> Option<Location> {
    const IGNORED: u32 = 1;
    let sound = array::<16>(header, 4)? == *AREA_MAGIC
        && checksum(header.get(4..)?) == le32(header, 0)?
        && le64(header, 24)? == area.offset;
    let location =
        Location { offset: le64(header, 40)?, size: le64(header, 48)?, checksum: le32(header, 56)? };
    let buffer = area.size.checked_sub(SECTOR as u64)?;
    let fits = location.offset >= SECTOR as u64
        && location.offset < area.size
        && location.size <= buffer.min(MAX_TEXT)
        && location.size > 0;
    (sound && fits && le32(header, 60)? & IGNORED == 0 && area.offset.checked_add(area.size).is_some())
        .then_some(location)
}
