//! The header of a sparse extent: `SparseExtentHeader` ("Virtual Disk Format 5.0", Hosted Sparse Extents) and
//! `COWDisk_Header` (same, ESX Server Sparse Extents).

use super::Reason;
use super::arrangement::{GRAIN, TABLE_ENTRIES};
use crate::bytes::Bytes;
use crate::error::Result;
use crate::source::Source;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The unit of all addresses in a VMDK, in bytes.
pub(super) const SECTOR: u64 = 512;
/// The largest grain that is read. Products write 128 sectors, ESX delta disks 1 to 128.
pub(super) const MAX_GRAIN_SECTORS: u64 = 4096;
/// The most entries of a grain table: hosted disks have 512, ESX sparse disks 4096.
pub(super) const MAX_TABLE_ENTRIES: u32 = 4096;
/// `gdOffset` of a stream whose header was written before its grain directory was known.
pub(super) const GD_AT_END: u64 = u64::MAX;

/// The four bytes that a transfer in text mode would change are there.
pub(super) const FLAG_NEWLINE_TEST: u32 = 1 << 0;
/// There is a redundant grain directory.
pub(super) const FLAG_REDUNDANT: u32 = 1 << 1;
/// An entry of 1 in a grain table means zeroes.
pub(super) const FLAG_ZEROED_GRAINS: u32 = 1 << 2;
/// Grains are compressed.
pub(super) const FLAG_COMPRESSED: u32 = 1 << 16;
/// Markers stand before grains and metadata.
pub(super) const FLAG_MARKERS: u32 = 1 << 17;
const NEWLINE_TEST: [u8; 4] = *b"\n \r\n";
/// `compressAlgorithm`: zlib streams.
pub(super) const COMPRESSION_DEFLATE: u16 = 1;

/// `SparseExtentHeader`, the first sector of a hosted sparse extent and the footer of a stream.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SparseHeader {
    pub(super) magic: [u8; 4],
    pub(super) version: U32,
    pub(super) flags: U32,
    /// Sectors.
    pub(super) capacity: U64,
    /// Sectors.
    pub(super) grain_size: U64,
    /// Sector of the embedded descriptor, 0 for none.
    pub(super) descriptor_offset: U64,
    /// Sectors.
    pub(super) descriptor_size: U64,
    pub(super) entries_per_table: U32,
    /// Sector of the redundant grain directory.
    pub(super) redundant_directory: U64,
    /// Sector of the grain directory.
    pub(super) directory: U64,
    /// Sectors before the first grain.
    pub(super) overhead: U64,
    pub(super) unclean_shutdown: u8,
    /// `\n`, ` `, `\r`, `\n`.
    pub(super) newline_test: [u8; 4],
    pub(super) compression: U16,
    pub(super) padding: [u8; 433],
}

/// `COWDisk_Header`: the beginning of an ESX sparse extent. What follows (parent, geometry, name) is not needed.
#[derive(Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct CowdHeader {
    pub(super) magic: [u8; 4],
    pub(super) version: U32,
    pub(super) flags: U32,
    /// Sectors.
    pub(super) capacity: U32,
    /// Sectors.
    pub(super) grain_size: U32,
    /// Sector of the grain directory.
    pub(super) directory: U32,
    pub(super) directory_entries: U32,
    pub(super) free_sector: U32,
}

const _: () = assert!(size_of::<SparseHeader>() == 512);
const _: () = assert!(size_of::<CowdHeader>() == 32);

pub(super) const SPARSE_MAGIC: [u8; 4] = *b"KDMV";
pub(super) const COWD_MAGIC: [u8; 4] = *b"COWD";

impl SparseHeader {
    /// A header of `version` for an extent of `capacity` sectors in the grains and tables that are written; its
    /// descriptor and its directories are to be filled in.
    pub(super) fn new(version: u32, flags: u32, capacity: u64) -> Self {
        Self {
            magic: SPARSE_MAGIC,
            version: version.into(),
            flags: (flags | FLAG_NEWLINE_TEST).into(),
            capacity: capacity.into(),
            grain_size: (GRAIN / SECTOR).into(),
            entries_per_table: TABLE_ENTRIES.into(),
            newline_test: NEWLINE_TEST,
            ..Self::new_zeroed()
        }
    }
}

/// What of a sparse extent's header matters for reading it, checked.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    /// Bytes of the disk that the extent holds.
    pub(super) capacity: u64,
    /// Bytes.
    pub(super) grain: u64,
    pub(super) entries_per_table: u32,
    pub(super) directory: DirectoryPlace,
    /// Whether an entry of 1 means zeroes.
    pub(super) zeroed_grains: bool,
    /// Whether grains are compressed.
    pub(super) compressed: bool,
    /// Whether a marker stands before each compressed grain.
    pub(super) markers: bool,
    /// Sector of the redundant grain directory.
    pub(super) redundant: Option<u64>,
    /// Whether whoever wrote the extent last did not close it.
    pub(super) unclean: bool,
    /// Where the first grain, or the first marker of a stream, can stand, in bytes.
    pub(super) first_marker: u64,
    /// Where the embedded descriptor is, and how long, in bytes.
    pub(super) descriptor: Option<(u64, u64)>,
}

/// Where a grain directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DirectoryPlace {
    /// At this sector.
    At(u64),
    /// In the footer of the stream.
    Footer,
    /// Nowhere: the markers of the stream have to be scanned.
    None,
}

/// The header of the hosted sparse extent that a file is, and what of it matters; `None` when it is none.
pub(super) fn hosted(file: &impl Bytes) -> Result<Option<(SparseHeader, Geometry)>> {
    let header: Option<SparseHeader> = file.structure(0)?;
    let Some(header) = header.filter(|header| header.magic == SPARSE_MAGIC) else { return Ok(None) };
    let geometry = Geometry::check(&header, 0).map_err(|reason| file.error(Some(0), reason))?;
    Ok(Some((header, geometry)))
}

impl Geometry {
    /// Reads the header of a hosted sparse extent at byte `offset` of `source`.
    pub(super) fn hosted(source: &Source, offset: u64) -> Result<Self> {
        let fail = |reason| source.error(Some(offset), reason);
        let header: SparseHeader =
            source.structure(offset)?.ok_or_else(|| fail(Reason::Truncated { what: "sparse header" }))?;
        Self::check(&header, offset).map_err(fail)
    }

    /// What of `header`, which stands at byte `offset`, matters.
    pub(super) fn check(header: &SparseHeader, offset: u64) -> Result<Self, Reason> {
        let (version, flags) = (header.version.get(), header.flags.get());
        if header.magic != SPARSE_MAGIC {
            return Err(Reason::Truncated { what: "sparse header" });
        }
        // 1 to 3: version 3 adds changed-block tracking, which does not alter how the disk reads.
        if !(1..=3).contains(&version) {
            return Err(Reason::Version { version });
        }
        if flags & FLAG_NEWLINE_TEST != 0 && header.newline_test != NEWLINE_TEST {
            return Err(Reason::TextMode);
        }
        let compressed = flags & FLAG_COMPRESSED != 0;
        let algorithm = header.compression.get();
        if compressed && algorithm != COMPRESSION_DEFLATE {
            return Err(Reason::Compression { algorithm });
        }
        let markers = flags & FLAG_MARKERS != 0;
        let directory = match header.directory.get() {
            GD_AT_END if offset == 0 => DirectoryPlace::Footer,
            GD_AT_END | 0 if compressed && markers => DirectoryPlace::None,
            sector => DirectoryPlace::At(sector),
        };
        let redundant = header.redundant_directory.get();
        let redundant = (flags & FLAG_REDUNDANT != 0 && redundant != 0 && !compressed).then_some(redundant);
        let descriptor_end = header.descriptor_offset.get().saturating_add(header.descriptor_size.get());
        let first_marker =
            if header.overhead.get() > 0 { header.overhead.get() } else { descriptor_end.max(1) };
        let descriptor =
            (header.descriptor_offset.get() > 0 && header.descriptor_size.get() > 0).then(|| {
                let bytes = |sectors: U64| sectors.get().saturating_mul(SECTOR);
                (bytes(header.descriptor_offset), bytes(header.descriptor_size))
            });
        Ok(Self {
            capacity: capacity(header.capacity.get())?,
            grain: grain(header.grain_size.get())?,
            entries_per_table: table_entries(header.entries_per_table.get())?,
            directory,
            zeroed_grains: flags & FLAG_ZEROED_GRAINS != 0,
            compressed,
            markers,
            redundant,
            unclean: header.unclean_shutdown != 0,
            first_marker: first_marker.saturating_mul(SECTOR),
            descriptor,
        })
    }

    /// Reads the header of an ESX sparse extent.
    pub(super) fn cowd(source: &Source) -> Result<Self> {
        let fail = |reason| source.error(Some(0), reason);
        let header: CowdHeader =
            source.structure(0)?.ok_or_else(|| fail(Reason::Truncated { what: "COWD header" }))?;
        let checked = || {
            if header.version.get() != 1 {
                return Err(Reason::Version { version: header.version.get() });
            }
            Ok(Self {
                capacity: capacity(header.capacity.get().into())?,
                grain: grain(header.grain_size.get().into())?,
                entries_per_table: MAX_TABLE_ENTRIES,
                directory: DirectoryPlace::At(header.directory.get().into()),
                zeroed_grains: false,
                compressed: false,
                markers: false,
                redundant: None,
                unclean: false,
                first_marker: 0,
                descriptor: None,
            })
        };
        checked().map_err(fail)
    }

    /// How many grain tables it takes.
    pub(super) fn tables(&self) -> u64 {
        self.capacity.div_ceil(self.table_span())
    }

    /// How many bytes of `grain` lie before the end of the extent.
    pub(super) fn grain_length(&self, grain: u64) -> u64 {
        self.capacity.saturating_sub(grain.saturating_mul(self.grain)).min(self.grain)
    }

    /// How many bytes of the disk one grain table covers. At most 2^21 × 2^12.
    pub(super) fn table_span(&self) -> u64 {
        self.grain * u64::from(self.entries_per_table)
    }
}

fn capacity(sectors: u64) -> Result<u64, Reason> {
    sectors
        .checked_mul(SECTOR)
        .filter(|bytes| *bytes <= crate::MAX_VIRTUAL_SIZE)
        .ok_or(Reason::Capacity { sectors })
}

fn grain(sectors: u64) -> Result<u64, Reason> {
    if sectors.is_power_of_two() && sectors <= MAX_GRAIN_SECTORS {
        Ok(sectors * SECTOR)
    } else {
        Err(Reason::GrainSize { sectors })
    }
}

fn table_entries(entries: u32) -> Result<u32, Reason> {
    if (1..=MAX_TABLE_ENTRIES).contains(&entries) {
        Ok(entries)
    } else {
        Err(Reason::TableEntries { entries })
    }
}
