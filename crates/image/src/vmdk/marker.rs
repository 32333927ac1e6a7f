//! Markers: what stands between the parts of a stream-optimized extent ("Virtual Disk Format 5.0",
//! Stream-Optimized Compressed Sparse Extents).

use super::Reason;
use super::header::{Geometry, SECTOR};
use crate::bytes::Bytes;
use crate::error::Result;
use crate::source::Source;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The beginning of every marker. Of a grain it is all, and `size` bytes of zlib data follow at once; of
/// metadata `size` is 0, and `value` sectors follow the marker's own.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Marker {
    /// The disk's sector of a grain; the number of sectors of metadata.
    pub(super) value: U64,
    pub(super) size: U32,
}

/// A marker that may be one of metadata.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct AnyMarker {
    marker: Marker,
    kind: U32,
}

const _: () = assert!(size_of::<Marker>() == 12);
const _: () = assert!(size_of::<AnyMarker>() == 16);

/// Bytes of a grain's marker.
pub(super) const MARKER: usize = size_of::<Marker>();

/// The kinds of metadata.
pub(super) const END_OF_STREAM: u32 = 0;
pub(super) const GRAIN_TABLE: u32 = 1;
pub(super) const GRAIN_DIRECTORY: u32 = 2;
pub(super) const FOOTER: u32 = 3;
/// What may follow the end of a stream: padding of whatever carried it.
const PADDING: u64 = 64 << 10;

/// The marker, a sector, before `sectors` sectors of metadata.
pub(super) fn metadata(kind: u32, sectors: u64) -> Vec<u8> {
    let any = AnyMarker { marker: Marker { value: sectors.into(), size: 0.into() }, kind: kind.into() };
    let mut bytes = any.as_bytes().to_vec();
    bytes.resize(SECTOR as usize, 0);
    bytes
}

/// Where the footer's header is, in bytes, when the file ends with one: marker, footer, end-of-stream marker.
pub(super) fn footer(source: &Source) -> Result<Option<u64>> {
    let Some(offset) = source.size().checked_sub(3 * SECTOR) else {
        return Ok(None);
    };
    let marker: Option<AnyMarker> = source.structure(offset)?;
    let magic: Option<[u8; 4]> = source.structure(offset + SECTOR)?;
    let is_footer = marker.is_some_and(|any| any.kind.get() == FOOTER && any.marker.size.get() == 0)
        && magic == Some(super::header::SPARSE_MAGIC);
    Ok(is_footer.then_some(offset + SECTOR))
}

/// Where each grain of a stream is: `(grain, sector)`, ascending, found from the markers alone.
///
/// Takes 16 bytes of memory for each 512 of the file at most. A stream without its end marker is refused: the
/// grains that are missing would read as zeroes.
pub(super) fn scan(source: &Source, geometry: &Geometry) -> Result<Vec<(u64, u32)>> {
    let mut found = Vec::new();
    let mut offset = geometry.first_marker;
    loop {
        let fail = |reason| source.error(Some(offset), reason);
        let any: AnyMarker = source.structure(offset)?.ok_or_else(|| fail(Reason::StreamCutShort))?;
        let (value, size) = (any.marker.value.get(), any.marker.size.get());
        let length = if size > 0 {
            found.push(place(value, offset, geometry).map_err(fail)?);
            (MARKER as u64 + u64::from(size)).next_multiple_of(SECTOR)
        } else if any.kind.get() == END_OF_STREAM {
            break;
        } else {
            value.saturating_mul(SECTOR).saturating_add(SECTOR)
        };
        offset = offset.saturating_add(length);
    }
    // An end marker is a sector of zeroes: a file that was allocated and never filled looks the same.
    if source.size() - offset > PADDING {
        return Err(source.error(Some(offset), Reason::StreamCutShort));
    }
    found.sort_unstable();
    let twice = found.windows(2).find_map(|pair| match pair {
        [(first, _), (second, _)] if first == second => Some(*first),
        _ => None,
    });
    match twice {
        Some(grain) => Err(source.error(None, Reason::DuplicateGrain { grain })),
        None => Ok(found),
    }
}

fn place(lba: u64, offset: u64, geometry: &Geometry) -> Result<(u64, u32), Reason> {
    let stray = Reason::StrayGrain { lba };
    let start = lba.checked_mul(SECTOR).ok_or(stray.clone())?;
    if start >= geometry.capacity || !start.is_multiple_of(geometry.grain) {
        return Err(stray);
    }
    let grain = start / geometry.grain;
    let sector = u32::try_from(offset / SECTOR)
        .map_err(|_| Reason::GrainOutside { grain, sector: offset / SECTOR })?;
    Ok((grain, sector))
}
