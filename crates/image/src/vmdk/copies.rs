//! The two copies of the grain directory and the grain tables, held against each other: [`compare`] ("Virtual Disk
//! Format 5.0", Grain Directory and Grain Tables).
//!
//! The specification has the tables of a copy in a row behind its directory, and so has every product. Where that
//! holds, an entry of a directory that says otherwise is known to be wrong, and so is what is right.

use super::arrangement::{ENTRY, Row, table_sectors};
use super::directory::entries;
use super::header::{Geometry, SECTOR};
use crate::bytes::Bytes;
use crate::error::Result;

/// Something that is wrong with one of the copies.
pub(super) struct Fault {
    /// Where it is, in bytes of the file.
    pub(super) offset: u64,
    /// What is wrong, as part of a sentence.
    pub(super) what: String,
    /// What would mend it.
    pub(super) mend: Option<Mend>,
}

/// Bytes that should stand at a fault's place.
pub(super) enum Mend {
    /// A grain table. Tables are to be durable before the entries that lead to them.
    Table(Vec<u8>),
    /// An entry of a directory.
    Entry(u32),
}

/// Takes faults one after the other.
pub(super) type See<'a> = &'a mut dyn FnMut(Fault) -> Result<()>;

/// One copy.
struct DirectoryCopy {
    /// What messages call its parts: `` or `redundant `.
    name: &'static str,
    row: Row,
    /// The sector of each table.
    entries: Vec<u32>,
    /// Whether its tables are known to be in a row.
    in_a_row: bool,
}

impl DirectoryCopy {
    /// The copy whose directory is at `sector`; `None`, after a fault, when that lies outside the file.
    fn read(
        file: &impl Bytes,
        geometry: &Geometry,
        sector: u64,
        name: &'static str,
        see: See<'_>,
    ) -> Result<Option<Self>> {
        let count = geometry.tables();
        let offset = sector.saturating_mul(SECTOR);
        let Some(bytes) = file.bytes_at(offset, count.saturating_mul(ENTRY))? else {
            let what = format!("the {name}grain directory at sector {sector} lies outside the file");
            see(Fault { offset, what, mend: None })?;
            return Ok(None);
        };
        let row = Row::at(sector, count, geometry.entries_per_table);
        let entries: Vec<u32> = entries(&bytes).collect();
        let right = (0..).zip(&entries).filter(|(index, entry)| row.table(*index) == u64::from(**entry));
        // Either most of the directory says so, or there is room for them nowhere but among the metadata.
        let metadata = geometry.descriptor.map_or(SECTOR, |(start, length)| start.saturating_add(length))
            ..geometry.first_marker;
        let inside = metadata.start <= offset && row.end().saturating_mul(SECTOR) <= metadata.end;
        let in_a_row =
            file.holds(0, row.end().saturating_mul(SECTOR)) && (inside || 2 * right.count() > entries.len());
        Ok(Some(Self { name, row, entries, in_a_row }))
    }

    /// The sector of table `index`, 0 for none.
    fn table(&self, index: u64) -> u64 {
        match self.in_a_row {
            true => self.row.table(index),
            false => self.entries.get(index as usize).copied().unwrap_or_default().into(),
        }
    }

    /// Says when the directory's own entry for table `index` is wrong.
    fn check_entry(&self, file: &impl Bytes, geometry: &Geometry, index: u64, see: See<'_>) -> Result<()> {
        let entry = u64::from(self.entries.get(index as usize).copied().unwrap_or_default());
        let right = self.table(index);
        let outside = !file.holds(entry * SECTOR, table_sectors(geometry.entries_per_table) * SECTOR);
        if entry == right && !outside {
            return Ok(());
        }
        let what = format!("the {}grain directory has table {index} at sector {entry}", self.name);
        let mend = self.in_a_row.then_some(Mend::Entry(right as u32));
        see(Fault { offset: self.row.directory * SECTOR + index * ENTRY, what, mend })
    }
}

/// Holds the copies of the directory at sectors `directory` and `redundant` against each other. Where they differ, the
/// one that is read is right, unless it cannot be.
pub(super) fn compare(
    file: &impl Bytes,
    geometry: &Geometry,
    (directory, redundant): (u64, u64),
    see: See<'_>,
) -> Result<()> {
    let primary = DirectoryCopy::read(file, geometry, directory, "", see)?;
    let redundant = DirectoryCopy::read(file, geometry, redundant, "redundant ", see)?;
    let (Some(mut primary), Some(mut redundant)) = (primary, redundant) else { return Ok(()) };
    if primary.row.directory < redundant.row.end() && redundant.row.directory < primary.row.end() {
        (primary.in_a_row, redundant.in_a_row) = (false, false);
    }
    for index in 0..geometry.tables() {
        if primary.table(index) == redundant.table(index) {
            continue;
        }
        compare_tables(file, geometry, index, (&primary, &redundant), see)?;
        primary.check_entry(file, geometry, index, see)?;
        redundant.check_entry(file, geometry, index, see)?;
    }
    Ok(())
}

/// Holds the copies of one table against each other.
fn compare_tables(
    file: &impl Bytes,
    geometry: &Geometry,
    index: u64,
    (primary, redundant): (&DirectoryCopy, &DirectoryCopy),
    see: See<'_>,
) -> Result<()> {
    let length = u64::from(geometry.entries_per_table) * ENTRY;
    let read = |copy: &DirectoryCopy| file.bytes_at(copy.table(index).saturating_mul(SECTOR), length);
    let (first, second) = (read(primary)?, read(redundant)?);
    if first == second {
        return Ok(());
    }
    let sound =
        |table: &Option<Vec<u8>>| table.as_ref().is_some_and(|table| is_sound(file, geometry, index, table));
    let (wrong, right, what) = match (sound(&first), sound(&second)) {
        (true, _) => (redundant, first, "differs from the one that is read"),
        (false, true) => (primary, second, "leads outside the file, and its redundant copy does not"),
        (false, false) => (redundant, None, "differs from the one that is read, and neither can be right"),
    };
    let mend = right.filter(|_| wrong.in_a_row).map(Mend::Table);
    let what = format!("the {}grain table {index} {what}", wrong.name);
    see(Fault { offset: wrong.table(index).saturating_mul(SECTOR), what, mend })
}

/// Whether every grain of a table lies within the file, and none is there twice.
fn is_sound(file: &impl Bytes, geometry: &Geometry, index: u64, table: &[u8]) -> bool {
    let first = index * u64::from(geometry.entries_per_table);
    let mut seen = Vec::new();
    for (grain, sector) in (first..).zip(entries(table)) {
        if sector == 0 || (sector == 1 && geometry.zeroed_grains) {
            continue;
        }
        let length = geometry.grain_length(grain);
        if length == 0 || !file.holds(u64::from(sector) * SECTOR, length) {
            return false;
        }
        seen.push(sector);
    }
    seen.sort_unstable();
    seen.is_sorted_by(|left, right| left < right)
}
