//! The grain directory and the grain tables ("Virtual Disk Format 5.0", Grain Directory and Grain Tables).
//!
//! All tables of an extent exist, whether or not any of their grains does. Of a large disk most are a hole of the file,
//! which is passed over without being read.

use super::Reason;
use super::header::{DirectoryPlace, Geometry, SECTOR};
use super::marker;
use crate::bytes::Bytes;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::source::Source;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The most entries of a grain directory: 128 TiB of disk with the usual grain.
const MAX_ENTRIES: u64 = 4 << 20;
/// How many bytes of grain tables are kept.
const CACHE_BYTES: usize = 4 << 20;
/// How far the file is asked for a hole at first and at most, in bytes.
const LOOK: Range<u64> = 64 << 10..64 << 20;

/// Which grain is where: the tables are read when they are needed.
pub(super) struct Directory {
    tables: Tables,
    entries_per_table: u32,
    cache: Cache<Arc<[u32]>>,
    hole: Mutex<Hole>,
}

/// The hole of the file that was met last.
struct Hole {
    /// Bytes of the file that are zeroes.
    range: Range<u64>,
    /// How far to look the next time: further after each success, so that many small holes cost little.
    look: u64,
}

enum Tables {
    /// The sector of each grain table, 0 for none.
    OnDisk(Vec<u32>),
    /// The sector of each grain that exists, ascending by grain.
    Scanned(Vec<(u64, u32)>),
}

impl Directory {
    /// Reads the directory of the extent in `source`.
    pub(super) fn read(source: &Source, geometry: &Geometry) -> Result<Self> {
        let tables = match geometry.directory {
            DirectoryPlace::At(sector) => Tables::OnDisk(on_disk(source, geometry, sector)?),
            DirectoryPlace::Footer | DirectoryPlace::None => Tables::Scanned(marker::scan(source, geometry)?),
        };
        let entries_per_table = geometry.entries_per_table;
        let kept = CACHE_BYTES / (entries_per_table as usize * size_of::<u32>());
        let hole = Mutex::new(Hole { range: 0..0, look: LOOK.start });
        Ok(Self { tables, entries_per_table, cache: Cache::new(kept), hole })
    }

    /// The sector of each grain table, 0 for none; nothing where the grains were found by a scan.
    pub(super) fn sectors(&self) -> &[u32] {
        match &self.tables {
            Tables::OnDisk(sectors) => sectors,
            Tables::Scanned(_) => &[],
        }
    }

    /// The entries of one grain table; `None` when none of its grains exists.
    pub(super) fn table(&self, source: &Source, index: u64) -> Result<Option<Arc<[u32]>>> {
        match &self.tables {
            Tables::OnDisk(sectors) => {
                let sector = usize::try_from(index).ok().and_then(|index| sectors.get(index)).copied();
                match sector {
                    None | Some(0) => Ok(None),
                    Some(sector) if self.is_hole(sector) => Ok(None),
                    Some(sector) => {
                        self.cache.get_or_make(index, || self.load(source, index, sector)).map(Some)
                    }
                }
            }
            Tables::Scanned(grains) => Ok(self.gather(grains, index)),
        }
    }

    fn load(&self, source: &Source, table: u64, sector: u32) -> Result<Arc<[u32]>> {
        let offset = u64::from(sector) * SECTOR;
        let length = u64::from(self.entries_per_table) * size_of::<u32>() as u64;
        if !source.holds(offset, length) {
            let reason = Reason::TableOutside { table, sector: sector.into() };
            return Err(source.error(Some(offset), reason));
        }
        let bytes = source.bytes(offset, length)?;
        if block::is_zero(&bytes) {
            self.look_for_hole(source, offset)?;
        }
        Ok(entries(&bytes).collect())
    }

    /// Whether the table at `sector` is known to be nothing but zeroes.
    fn is_hole(&self, sector: u32) -> bool {
        let offset = u64::from(sector) * SECTOR;
        let length = u64::from(self.entries_per_table) * size_of::<u32>() as u64;
        let hole = self.hole.lock().unwrap_or_else(PoisonError::into_inner);
        hole.range.start <= offset && offset + length <= hole.range.end
    }

    /// Takes note of how far the zeroes from byte `start` of the file on are a hole.
    fn look_for_hole(&self, source: &Source, start: u64) -> Result<()> {
        let look = self.hole.lock().unwrap_or_else(PoisonError::into_inner).look;
        let asked = start..start.saturating_add(look).min(source.size());
        let fail = |error| Error::Read { path: source.path.clone(), source: error };
        let extents = source.disk.extents(asked.clone()).map_err(fail)?;
        let first = extents.first().filter(|extent| !extent.is_data());
        let range = first.map_or(start..start, |extent| extent.range.clone());
        let look = if range.end == asked.end { (look * 2).min(LOOK.end) } else { LOOK.start };
        *self.hole.lock().unwrap_or_else(PoisonError::into_inner) = Hole { range, look };
        Ok(())
    }

    /// A table made from the grains that a scan of the stream has found.
    fn gather(&self, grains: &[(u64, u32)], index: u64) -> Option<Arc<[u32]>> {
        if let Some(table) = self.cache.get(index) {
            return Some(table);
        }
        let length = u64::from(self.entries_per_table);
        let first = grains.partition_point(|(grain, _)| *grain < index * length);
        let mine = grains.get(first..)?;
        let mine = mine.get(..mine.partition_point(|(grain, _)| *grain < (index + 1) * length))?;
        if mine.is_empty() {
            return None;
        }
        let make = || {
            let mut table = vec![0; self.entries_per_table as usize];
            for (grain, sector) in mine {
                if let Some(entry) = table.get_mut((grain % length) as usize) {
                    *entry = *sector;
                }
            }
            Ok::<_, std::convert::Infallible>(Arc::from(table))
        };
        self.cache.get_or_make(index, make).ok()
    }
}

fn on_disk(source: &Source, geometry: &Geometry, sector: u64) -> Result<Vec<u32>> {
    let count = geometry.tables();
    let offset = sector.saturating_mul(SECTOR);
    let fail = |reason| source.error(Some(offset), reason);
    if count > MAX_ENTRIES {
        return Err(fail(Reason::DirectoryTooLarge { entries: count }));
    }
    let length = count * size_of::<u32>() as u64;
    if !source.holds(offset, length) {
        return Err(fail(Reason::DirectoryOutside { entries: count, sector }));
    }
    let sectors: Vec<u32> = entries(&source.bytes(offset, length)?).collect();
    let mut sorted: Vec<u32> = sectors.iter().copied().filter(|sector| *sector != 0).collect();
    sorted.sort_unstable();
    let shared = sorted.windows(2).find_map(|pair| match pair {
        [first, second] if first == second => Some(u64::from(*first)),
        _ => None,
    });
    match shared {
        Some(sector) => Err(fail(Reason::SharedTable { sector })),
        None => Ok(sectors),
    }
}

pub(super) fn entries(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(|entry| u32::from_le_bytes(*entry))
}
