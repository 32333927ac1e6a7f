//! A sparse extent as a disk: [`SparseExtent`] ("Virtual Disk Format 5.0", Sparse Extents).

use super::Reason;
use super::directory::Directory;
use super::grain::{Inflater, Packed};
use super::header::{DirectoryPlace, Geometry, SECTOR};
use super::marker;
use crate::bytes::Bytes;
use crate::error::Result;
use crate::mapping::{Mapped, Mapping, Piece, Place, See};
use crate::source::Source;
use std::ops::Range;

/// A sparse extent: hosted, stream-optimized or ESX's.
pub(super) struct SparseExtent {
    source: Source,
    geometry: Geometry,
    directory: Directory,
    /// For extents of compressed grains.
    inflater: Option<Inflater>,
}

impl SparseExtent {
    /// The hosted sparse extent in `source`; its grain directory is read, its tables are not.
    pub(super) fn hosted(source: Source, geometry: Geometry) -> Result<Mapped<Self>> {
        let geometry = match geometry.directory {
            DirectoryPlace::Footer => with_footer(&source, geometry)?,
            _ => geometry,
        };
        Self::new(source, geometry)
    }

    /// The ESX sparse extent in `source`.
    pub(super) fn cowd(source: Source, geometry: Geometry) -> Result<Mapped<Self>> {
        Self::new(source, geometry)
    }

    fn new(source: Source, geometry: Geometry) -> Result<Mapped<Self>> {
        let directory = Directory::read(&source, &geometry)?;
        let inflater = geometry.compressed.then(|| Inflater::new(&geometry));
        Ok(Mapped(Self { source, geometry, directory, inflater }))
    }

    /// Hands on the pieces of `range`, all of which the grain table `index` covers.
    fn visit_table(&self, table: &[u32], index: u64, range: Range<u64>, see: See<Packed>) -> Result<()> {
        let first = index * u64::from(self.geometry.entries_per_table);
        let mut start = range.start;
        while start < range.end {
            let grain = start / self.geometry.grain;
            let end = ((grain + 1) * self.geometry.grain).min(range.end);
            let entries = table.get((grain - first) as usize..).unwrap_or_default();
            see(Piece { range: start..end, place: self.place(grain, start, entries)? })?;
            start = end;
        }
        Ok(())
    }

    /// Where the bytes from `start` of `grain` lie; `entries` are the grain's own table entry and those behind.
    fn place(&self, grain: u64, start: u64, entries: &[u32]) -> Result<Place<Packed>> {
        let sector = match entries.first() {
            None | Some(0) => return Ok(Place::Absent),
            Some(1) if self.geometry.zeroed_grains => return Ok(Place::Zero),
            Some(sector) => u64::from(*sector),
        };
        let offset = sector * SECTOR;
        if let Some(inflater) = &self.inflater {
            let span = span(entries, inflater.most());
            return Ok(Place::Packed(Packed { grain, offset, span }));
        }
        // The last grain's tail behind the disk's end need not be in the file.
        let grain_start = grain * self.geometry.grain;
        let needed = (self.geometry.capacity - grain_start).min(self.geometry.grain);
        if !self.source.holds(offset, needed) {
            return Err(self.source.error(Some(offset), Reason::GrainOutside { grain, sector }));
        }
        Ok(Place::Stored(offset + (start - grain_start)))
    }
}

/// How many bytes to read at once for the first grain of `entries`: up to the next one in the table, which is
/// where it ends in every stream that was written from front to back, and otherwise the most it may take.
fn span(entries: &[u32], most: u64) -> u64 {
    let mut present = entries.iter().map(|sector| u64::from(*sector)).filter(|sector| *sector > 1);
    let (first, next) = (present.next(), present.next());
    first
        .zip(next)
        .and_then(|(first, next)| next.checked_sub(first))
        .map(|sectors| sectors * SECTOR)
        .filter(|span| (1..=most).contains(span))
        .unwrap_or(most)
}

/// The geometry that a stream's footer gives, or one that says to scan its markers when there is no footer.
pub(super) fn with_footer(source: &Source, header: Geometry) -> Result<Geometry> {
    let Some(offset) = marker::footer(source)? else {
        return Ok(Geometry { directory: DirectoryPlace::None, ..header });
    };
    let footer = Geometry::hosted(source, offset)?;
    Ok(Geometry { descriptor: header.descriptor, first_marker: header.first_marker, ..footer })
}

impl Mapping for SparseExtent {
    type Packed = Packed;

    fn source(&self) -> &Source {
        &self.source
    }

    fn size(&self) -> u64 {
        self.geometry.capacity
    }

    fn visit(&self, range: Range<u64>, see: See<Packed>) -> Result<()> {
        let span = self.geometry.table_span();
        let mut start = range.start;
        while start < range.end {
            let index = start / span;
            let end = (index + 1).saturating_mul(span).min(range.end);
            match self.directory.table(&self.source, index)? {
                None => see(Piece { range: start..end, place: Place::Absent })?,
                Some(table) => self.visit_table(&table, index, start..end, see)?,
            }
            start = end;
        }
        Ok(())
    }

    fn read_packed(&self, packed: Packed, offset: u64, buf: &mut [u8]) -> Result<()> {
        match &self.inflater {
            Some(inflater) => {
                inflater.read(&self.source, packed, offset - packed.grain * self.geometry.grain, buf)
            }
            None => Ok(()),
        }
    }
}
