//! What persistent bitmaps take of the file ([`regions`]; QEMU `docs/interop/qcow2.rst`, "Bitmaps extension"). What
//! they say is not looked at.

use super::geometry::OFFSET;
use super::header::{AUTOCLEAR_BITMAPS, Header};
use crate::bytes::Bytes;
use crate::error::Result;
use std::ops::Range;
use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// The largest directory that QEMU reads, in bytes: 65,535 bitmaps of the longest entry.
const MAX_DIRECTORY: u64 = 64 << 20;

/// The most entries of a bitmap's table that QEMU reads.
const MAX_TABLE: u64 = 0x0800_0000;

/// What an entry of the directory begins with.
#[derive(Clone, Copy, Debug, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Entry {
    table_offset: U64,
    table_size: U32,
    flags: U32,
    kind: u8,
    granularity_bits: u8,
    name_length: U16,
    extra_length: U32,
}

const _: () = assert!(size_of::<Entry>() == 24);

/// Hands on which bytes of the file the bitmaps take: the directory, tables and clusters of bits; `false` when
/// they cannot be where they are said to be.
pub(super) fn regions(file: &impl Bytes, header: &Header, see: &mut dyn FnMut(Range<u64>)) -> Result<bool> {
    let valid = header.features.autoclear & AUTOCLEAR_BITMAPS != 0;
    let Some(directory) = header.extensions.bitmaps.clone().filter(|_| valid) else { return Ok(true) };
    let length = directory.end - directory.start;
    if length > MAX_DIRECTORY || !file.holds(directory.start, length) {
        return Ok(false);
    }
    see(directory.clone());
    // Tables that overlap would be read again and again.
    let mut budget = file.size();
    let mut offset = directory.start;
    while offset < directory.end {
        let Some(entry) = file.structure::<Entry>(offset)? else { return Ok(false) };
        let (table, entries) = (entry.table_offset.get(), u64::from(entry.table_size.get()));
        let Some(left) = budget.checked_sub(entries * 8) else { return Ok(false) };
        budget = left;
        if entries > MAX_TABLE || !file.holds(table, entries * 8) {
            return Ok(false);
        }
        see(table..table + entries * 8);
        if !clusters(file, header, table..table + entries * 8, see)? {
            return Ok(false);
        }
        let rest = u64::from(entry.extra_length.get()) + u64::from(entry.name_length.get());
        offset = (offset + size_of::<Entry>() as u64 + rest).next_multiple_of(8);
    }
    Ok(true)
}

/// Hands on the clusters of bits that the table in `table` leads to.
fn clusters(
    file: &impl Bytes,
    header: &Header,
    table: Range<u64>,
    see: &mut dyn FnMut(Range<u64>),
) -> Result<bool> {
    /// How much of a table is read at once, in bytes.
    const PIECE: u64 = 64 << 10;
    let cluster = header.geometry.cluster();
    for start in table.clone().step_by(PIECE as usize) {
        for entry in file.words(start, (table.end - start).min(PIECE) / 8)? {
            let offset = entry & OFFSET;
            if offset == 0 {
                continue;
            }
            if !offset.is_multiple_of(cluster) || !file.holds(offset, cluster) {
                return Ok(false);
            }
            see(offset..offset + cluster);
        }
    }
    Ok(true)
}
