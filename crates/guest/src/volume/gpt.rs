//! The GUID partition table (UEFI Specification 2.10, chapter 5.3).

use super::bytes::{array, guid, le32, le64, utf16};
use super::partition::Partition;
use block::{BlockRead, Result};

/// The header's own length.
const HEADER: usize = 92;
/// A table may say that it has more; no tool makes that many.
const MAX_ENTRIES: u32 = 4096;
const MAX_ENTRY_SIZE: u32 = 4096;
/// The bytes that a whole array of entries may have.
const MAX_ARRAY: u64 = 4 << 20;

/// A header that passed its checks.
struct Header {
    sector: u64,
    entries_at: u64,
    count: u32,
    entry_size: u32,
    entries_crc: u32,
}

/// The partitions of the GPT on `disk`: from the primary header, or from the backup at the disk's end when the
/// primary is damaged. `None` when neither is sound.
pub(crate) fn partitions(disk: &dyn BlockRead) -> Result<Option<Vec<Partition>>> {
    for sector in [512u64, 4096] {
        let sectors = disk.size() / sector;
        for at in [Some(1), sectors.checked_sub(1)].into_iter().flatten() {
            if let Some(header) = header(disk, sector, at)?
                && let Some(array) = entry_array(disk, &header)?
            {
                return Ok(Some(read_entries(&header, &array)));
            }
        }
    }
    Ok(None)
}

/// The header in sector number `at` (section 5.3.2), when its checksum and its own position are right.
fn header(disk: &dyn BlockRead, sector: u64, at: u64) -> Result<Option<Header>> {
    let Some(offset) = at.checked_mul(sector).filter(|offset| offset + sector <= disk.size()) else {
        return Ok(None);
    };
    let mut raw = [0; 512];
    disk.read_at(&mut raw, offset)?;
    Ok(check_header(&raw, sector, at))
}

fn check_header(raw: &[u8; 512], sector: u64, at: u64) -> Option<Header> {
    let length = usize::try_from(le32(raw, 12)?).ok()?;
    let own = raw.get(..length).filter(|own| own.len() >= HEADER)?;
    if array(raw, 0)? != *b"EFI PART" || le64(raw, 24)? != at {
        return None;
    }
    let mut zeroed = own.to_vec();
    zeroed.get_mut(16..20)?.fill(0);
    if crc32fast::hash(&zeroed) != le32(raw, 16)? {
        return None;
    }
    let header = Header {
        sector,
        entries_at: le64(raw, 72)?.checked_mul(sector)?,
        count: le32(raw, 80)?,
        entry_size: le32(raw, 84)?,
        entries_crc: le32(raw, 88)?,
    };
    let sane = header.count <= MAX_ENTRIES && (128..=MAX_ENTRY_SIZE).contains(&header.entry_size);
    sane.then_some(header)
}

/// The array of entries, when its checksum is right.
fn entry_array(disk: &dyn BlockRead, header: &Header) -> Result<Option<Vec<u8>>> {
    let length = u64::from(header.count) * u64::from(header.entry_size);
    let inside = header.entries_at.checked_add(length).is_some_and(|end| end <= disk.size());
    if !inside || length > MAX_ARRAY {
        return Ok(None);
    }
    let mut array = vec![0; length as usize];
    disk.read_at(&mut array, header.entries_at)?;
    Ok((crc32fast::hash(&array) == header.entries_crc).then_some(array))
}

fn read_entries(header: &Header, array: &[u8]) -> Vec<Partition> {
    let size = header.entry_size as usize;
    (1u32..)
        .zip(array.chunks_exact(size))
        .filter_map(|(number, raw)| read_entry(header.sector, number, raw))
        .collect()
}

/// An entry (section 5.3.3); `None` for one that is not used or that ends before it starts.
fn read_entry(sector: u64, number: u32, raw: &[u8]) -> Option<Partition> {
    if raw.get(..16)?.iter().all(|&byte| byte == 0) {
        return None;
    }
    let start = le64(raw, 32)?.checked_mul(sector)?;
    let end = le64(raw, 40)?.checked_add(1)?.checked_mul(sector)?;
    (start < end).then_some(Partition {
        number,
        range: start..end,
        uuid: guid(raw, 16),
        label: utf16(raw.get(56..128)?),
        kind: guid(raw, 0)?,
    })
}
