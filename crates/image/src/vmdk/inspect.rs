//! Looking for what is wrong with a VMDK beyond what opening it shows: [`inspect`].

use super::arrangement::{ENTRY, table_sectors};
use super::descriptor::{Descriptor, ExtentLine};
use super::directory::Directory;
use super::directory::entries;
use super::header::{self, DirectoryPlace, Geometry, SECTOR};
use super::marker::{MARKER, Marker};
use super::{copies, open, sparse};
use crate::bytes::Bytes;
use crate::check::{Check, Finding, Severity};
use crate::error::Result;
use crate::gate::sibling;
use crate::open::Opening;
use crate::source::Source;
use std::collections::HashSet;

/// Adds to `check` what is wrong with the disk's descriptor and each of its extents.
pub(super) fn inspect(opening: &Opening<'_>, check: &mut Check) -> Result<()> {
    let source = &opening.source;
    match source.structure::<[u8; 4]>(0)? {
        Some(header::SPARSE_MAGIC) => {
            let geometry = Geometry::hosted(source, 0)?;
            if let Some((offset, length)) = geometry.descriptor {
                let descriptor = open::read_descriptor(source, offset, length)?;
                if let [line] = &descriptor.extents[..] {
                    length_agrees(source, line, &geometry, check);
                }
            }
            SparseInspection::new(source, geometry, check)?.run()
        }
        // That it needs its descriptor, opening it says.
        Some(header::COWD_MAGIC) => Ok(()),
        _ => described(opening, check),
    }
}

/// A descriptor in a file of its own, and its extents.
fn described(opening: &Opening<'_>, check: &mut Check) -> Result<()> {
    let descriptor: Descriptor = open::read_descriptor(&opening.source, 0, opening.source.size())?;
    for line in descriptor.extents.iter().filter(|line| line.accessible) {
        let Some(file) = &line.file else { continue };
        let name = sibling(opening.name, file);
        let extent = Source { disk: opening.gate.open(&name)?, path: opening.gate.describe(&name) };
        let flat = matches!(line.kind.as_str(), "FLAT" | "VMFS");
        match extent.structure::<[u8; 4]>(0)? {
            _ if flat => flat_length_agrees(&extent, line, check),
            Some(header::SPARSE_MAGIC) => {
                let geometry = Geometry::hosted(&extent, 0)?;
                length_agrees(&extent, line, &geometry, check);
                SparseInspection::new(&extent, geometry, check)?.run()?;
            }
            Some(header::COWD_MAGIC) => {
                let geometry = Geometry::cowd(&extent)?;
                length_agrees(&extent, line, &geometry, check);
                SparseInspection::new(&extent, geometry, check)?.run()?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Holds the length that a descriptor gives an extent against the extent's own. Products round to whole grains.
fn length_agrees(source: &Source, line: &ExtentLine, geometry: &Geometry, check: &mut Check) {
    let grains = |bytes: u64| bytes.div_ceil(geometry.grain);
    let described = line.sectors.saturating_mul(SECTOR);
    if grains(described) != grains(geometry.capacity) {
        let own = geometry.capacity / SECTOR;
        let what = format!("the descriptor gives the extent {} sectors, and its header {own}", line.sectors);
        check.add(finding(source, Severity::Damage, None, what));
    }
}

/// Holds the length that a descriptor gives a flat extent that has a file of its own against the file's.
fn flat_length_agrees(source: &Source, line: &ExtentLine, check: &mut Check) {
    let end = line.sectors.saturating_mul(SECTOR);
    let surplus = source.size().saturating_sub(end);
    // Block devices and some filesystems round up a little.
    if line.offset == 0 && surplus >= header::MAX_GRAIN_SECTORS * SECTOR {
        let what = format!("{surplus} bytes behind the flat extent are used by nothing");
        check.add(finding(source, Severity::Leak, Some(end), what));
    }
}

fn finding(source: &Source, severity: Severity, offset: Option<u64>, what: String) -> Finding {
    Finding { severity, path: source.path.clone(), offset, what, repaired: false }
}

/// Sectors of the file that something occupies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Occupied {
    start: u32,
    sectors: u32,
}

impl Occupied {
    fn end(&self) -> u64 {
        u64::from(self.start) + u64::from(self.sectors)
    }
}

/// One sparse extent that is looked at.
///
/// What occupies the file is kept in eight bytes for each grain: what both copies of the grain tables take.
struct SparseInspection<'a> {
    source: &'a Source,
    geometry: Geometry,
    check: &'a mut Check,
    occupied: Vec<Occupied>,
}

impl<'a> SparseInspection<'a> {
    fn new(source: &'a Source, geometry: Geometry, check: &'a mut Check) -> Result<Self> {
        let geometry = match geometry.directory {
            DirectoryPlace::Footer => sparse::with_footer(source, geometry)?,
            _ => geometry,
        };
        Ok(Self { source, geometry, check, occupied: Vec::new() })
    }

    fn damage(&mut self, offset: u64, what: String) {
        self.check.add(finding(self.source, Severity::Damage, Some(offset), what));
    }

    fn run(mut self) -> Result<()> {
        if self.geometry.unclean {
            self.damage(0, "the extent was not closed by whoever wrote it last".to_owned());
        }
        // Without a directory the markers are all there is, and opening reads every one.
        let DirectoryPlace::At(place) = self.geometry.directory else { return Ok(()) };
        let directory = Directory::read(self.source, &self.geometry)?;
        self.occupy_metadata(place, directory.sectors());
        self.redundant(place)?;
        // Tables that lie over each other could have far more entries than the file has bytes.
        if !self.overlaps() {
            self.grains(&directory)?;
            self.overlaps();
            self.leaks();
        }
        Ok(())
    }

    fn occupy(&mut self, start: u64, sectors: u64) {
        if let (Ok(start), Ok(sectors)) = (u32::try_from(start), u32::try_from(sectors)) {
            self.occupied.push(Occupied { start, sectors });
        }
    }

    /// The header, the descriptor, the directory and its tables.
    fn occupy_metadata(&mut self, directory: u64, tables: &[u32]) {
        self.occupy(0, 1);
        if let Some((offset, length)) = self.geometry.descriptor {
            self.occupy(offset / SECTOR, length / SECTOR);
        }
        self.occupy(directory, (self.geometry.tables() * ENTRY).div_ceil(SECTOR));
        let sectors = table_sectors(self.geometry.entries_per_table);
        for table in tables.iter().filter(|table| **table != 0) {
            self.occupy((*table).into(), sectors);
        }
    }

    /// Holds the redundant directory, where there is one, against the other.
    fn redundant(&mut self, directory: u64) -> Result<()> {
        let Some(redundant) = self.geometry.redundant.filter(|sector| *sector != directory) else {
            return Ok(());
        };
        let (source, geometry) = (self.source, self.geometry.clone());
        copies::compare(source, &geometry, (directory, redundant), &mut |fault| {
            self.damage(fault.offset, fault.what);
            Ok(())
        })?;
        self.occupy_redundant(redundant)
    }

    /// The redundant directory and its tables, as far as they are others than those that are read.
    fn occupy_redundant(&mut self, redundant: u64) -> Result<()> {
        let length = self.geometry.tables() * ENTRY;
        self.occupy(redundant, length.div_ceil(SECTOR));
        let Some(bytes) = self.source.bytes_at(redundant.saturating_mul(SECTOR), length)? else {
            return Ok(());
        };
        let read: HashSet<u32> = self.occupied.iter().map(|piece| piece.start).collect();
        let sectors = table_sectors(self.geometry.entries_per_table);
        for table in entries(&bytes).filter(|table| *table != 0 && !read.contains(table)) {
            if self.source.holds(u64::from(table) * SECTOR, sectors * SECTOR) {
                self.occupy(table.into(), sectors);
            }
        }
        Ok(())
    }

    /// Every grain of every table.
    fn grains(&mut self, directory: &Directory) -> Result<()> {
        for index in 0..self.geometry.tables() {
            let Some(table) = directory.table(self.source, index)? else { continue };
            let first = index * u64::from(self.geometry.entries_per_table);
            for (grain, sector) in (first..).zip(table.iter().copied()) {
                if sector > 1 || (sector == 1 && !self.geometry.zeroed_grains) {
                    self.grain(grain, sector.into())?;
                }
            }
        }
        Ok(())
    }

    fn grain(&mut self, grain: u64, sector: u64) -> Result<()> {
        let offset = sector * SECTOR;
        let needed = match self.geometry.compressed {
            // The last grain is a whole one too, as far as the file goes: the disk may grow into it.
            false => (self.source.size().saturating_sub(offset))
                .clamp(self.geometry.grain_length(grain), self.geometry.grain),
            true => match self.packed_length(grain, offset)? {
                Ok(length) => length,
                Err(what) => {
                    self.damage(offset, what);
                    return Ok(());
                }
            },
        };
        if self.source.holds(offset, needed) {
            self.occupy(sector, needed.div_ceil(SECTOR));
        } else {
            self.damage(offset, format!("grain {grain} at sector {sector} lies outside the file"));
        }
        Ok(())
    }

    /// How long a compressed grain is by its marker, or what is wrong with that.
    fn packed_length(&self, grain: u64, offset: u64) -> Result<Result<u64, String>> {
        if !self.geometry.markers {
            // Only decompressing it shows where it ends.
            return Ok(Ok(1));
        }
        let Some(marker) = self.source.structure::<Marker>(offset)? else {
            return Ok(Err(format!("grain {grain} lies outside the file")));
        };
        let lba = marker.value.get();
        if lba.checked_mul(SECTOR) != Some(grain * self.geometry.grain) {
            return Ok(Err(format!("the marker of grain {grain} says sector {lba}")));
        }
        Ok(Ok(MARKER as u64 + u64::from(marker.size.get())))
    }

    /// Says what is occupied twice, and whether anything is.
    fn overlaps(&mut self) -> bool {
        let mut occupied = std::mem::take(&mut self.occupied);
        occupied.sort_unstable();
        let (mut end, mut found) = (0, false);
        for piece in &occupied {
            let start = u64::from(piece.start);
            if start < end {
                self.damage(start * SECTOR, format!("what lies at sector {start} is used twice"));
                found = true;
            }
            end = end.max(piece.end());
        }
        self.occupied = occupied;
        found
    }

    /// Says which grains' worth of the file nothing uses. A stream has none, and ESX reserves more than it uses.
    fn leaks(&mut self) {
        if self.geometry.compressed || self.geometry.first_marker == 0 {
            return;
        }
        let mut end = self.geometry.first_marker / SECTOR;
        let file_end = self.source.size() / SECTOR;
        let starts: Vec<(u64, u64)> =
            self.occupied.iter().map(|piece| (u64::from(piece.start), piece.end())).collect();
        for (start, next) in starts.into_iter().chain([(file_end, file_end)]) {
            let unused = start.saturating_sub(end) * SECTOR / self.geometry.grain * self.geometry.grain;
            if unused > 0 {
                let what = format!("{unused} bytes are used by no grain");
                self.check.add(finding(self.source, Severity::Leak, Some(end * SECTOR), what));
            }
            end = end.max(next);
        }
    }
}
