//! Where the grain directories and grain tables of a new or moved hosted sparse extent lie: [`Arrangement`] ("Virtual
//! Disk Format 5.0", Hosted Sparse Extents).
//!
//! As every product writes it: the redundant directory, its tables in a row behind it, the directory, its tables in a
//! row behind that. All tables exist from the beginning, which the specification promises; those of grains that do
//! not exist are holes of the file. So an entry of a directory follows from its index, and none need be kept.

use super::header::SECTOR;

/// The grain of extents that are written, in bytes: what all products write.
pub(super) const GRAIN: u64 = 64 << 10;
/// Entries of a grain table that is written: what all products write.
pub(super) const TABLE_ENTRIES: u32 = 512;
/// Bytes of the disk that a grain table which is written covers.
pub(super) const TABLE_SPAN: u64 = GRAIN * TABLE_ENTRIES as u64;
/// Bytes of an entry of a directory or a table.
pub(super) const ENTRY: u64 = size_of::<u32>() as u64;
/// How many entries of a directory are made at once.
const PIECE: u64 = 16 << 10;

/// A grain directory with its grain tables in a row behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The directory's sector.
    pub(super) directory: u64,
    /// How many tables there are.
    count: u64,
    /// How many sectors each takes.
    table_sectors: u64,
}

impl Row {
    /// `count` tables of `entries` entries each, behind their directory at sector `directory`.
    pub(super) fn at(directory: u64, count: u64, entries: u32) -> Self {
        Self { directory, count, table_sectors: table_sectors(entries) }
    }

    /// The sector of table `index`.
    pub(super) fn table(&self, index: u64) -> u64 {
        self.directory + (self.count * ENTRY).div_ceil(SECTOR) + index * self.table_sectors
    }

    /// The sector behind the last table.
    pub(super) fn end(&self) -> u64 {
        self.table(self.count)
    }

    /// The directory's bytes, in pieces with their place in the file in bytes. Sectors beyond 32 bits, which
    /// whoever arranges refuses, would be cut off.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (u64, Vec<u8>)> {
        let row = *self;
        (0..row.count).step_by(PIECE as usize).map(move |first| {
            let indices = first..(first + PIECE).min(row.count);
            let bytes = indices.flat_map(|index| (row.table(index) as u32).to_le_bytes()).collect();
            (row.directory * SECTOR + first * ENTRY, bytes)
        })
    }
}

/// Both copies of the grain directory and the grain tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrangement {
    /// The copy that is only there for repairs.
    pub(super) redundant: Row,
    /// The one that is read.
    pub(super) primary: Row,
}

impl Arrangement {
    /// Both copies of `count` tables of `entries` entries each, from sector `start`.
    pub(super) fn at(start: u64, count: u64, entries: u32) -> Self {
        let redundant = Row::at(start, count, entries);
        Self { redundant, primary: Row::at(redundant.end(), count, entries) }
    }

    /// The sector behind both.
    pub(super) fn end(&self) -> u64 {
        self.primary.end()
    }

    /// Both copies, the redundant one first.
    pub(super) fn rows(&self) -> [Row; 2] {
        [self.redundant, self.primary]
    }
}

/// How many sectors a grain table of so many entries takes.
pub(super) fn table_sectors(entries: u32) -> u64 {
    (u64::from(entries) * ENTRY).div_ceil(SECTOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_products_arrange_a_small_disk() {
        // A disk of 10 MiB behind a descriptor of 20 sectors, as VMware and QEMU write it.
        let arrangement = Arrangement::at(21, 1, TABLE_ENTRIES);
        assert_eq!((arrangement.redundant.directory, arrangement.redundant.table(0)), (21, 22));
        assert_eq!((arrangement.primary.directory, arrangement.primary.table(0)), (26, 27));
        assert_eq!(arrangement.end(), 31);
    }

    #[test]
    fn a_directory_in_pieces_lists_every_table() {
        let row = Row::at(7, PIECE + 3, TABLE_ENTRIES);
        let pieces: Vec<_> = row.pieces().collect();
        assert_eq!(pieces.iter().map(|piece| piece.0).collect::<Vec<_>>(), [7 * 512, 7 * 512 + PIECE * 4]);
        let bytes: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.1).collect();
        let entries: Vec<u64> =
            bytes.as_chunks::<4>().0.iter().map(|entry| u32::from_le_bytes(*entry).into()).collect();
        assert_eq!(entries, (0..PIECE + 3).map(|index| row.table(index)).collect::<Vec<_>>());
    }
}
