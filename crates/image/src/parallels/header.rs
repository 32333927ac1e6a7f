//! The header of an expanding image (QEMU `docs/interop/parallels.rst`, "Header").

use super::Reason;
use crate::bytes::Bytes;
use crate::error::Result;
use crate::source::Source;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// The first magic text: the allocation table counts in sectors.
pub(super) const MAGIC: [u8; 16] = *b"WithoutFreeSpace";
/// The second magic text: the allocation table counts in clusters.
pub(super) const MAGIC_EXTENDED: [u8; 16] = *b"WithouFreSpacExt";
/// The unit of all sizes and places.
pub(super) const SECTOR: u64 = 512;
/// The only version there has been.
const VERSION: u32 = 2;
/// The largest cluster that is believed, in sectors: 1 GiB. Parallels uses 1 MiB.
const MAX_CLUSTER_SECTORS: u32 = 2 << 20;
/// The image was not closed by whoever wrote it last.
const IN_USE: u32 = 0x746f_6e59;

#[derive(Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 16],
    version: U32,
    heads: U32,
    cylinders: U32,
    /// Sectors of a cluster.
    tracks: U32,
    bat_entries: U32,
    /// Sectors of the disk.
    sectors: U64,
    in_use: U32,
    /// Where data begins, in sectors; 0 in older images.
    data_offset: U32,
    flags: U32,
    /// Where the format extension is, in sectors.
    extension: U64,
}

/// Bytes of the header; the allocation table follows.
pub(super) const LENGTH: u64 = size_of::<RawHeader>() as u64;

const _: () = assert!(LENGTH == 64);

/// What of a header matters, checked.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// The disk's size in bytes.
    pub(super) size: u64,
    /// Bytes of a cluster; not always a power of two.
    pub(super) cluster: u64,
    /// How many entries the allocation table has: it may have fewer than the disk has clusters, or more.
    pub(super) entries: u64,
    /// What an entry of the allocation table counts in, in bytes.
    pub(super) entry_unit: u64,
    /// Where data begins, in bytes.
    pub(super) data_offset: u64,
    /// Where the format extension is, in bytes: dirty bitmaps, which say nothing of the disk's content.
    pub(super) extension: Option<u64>,
    /// Whether it was not closed.
    pub(super) in_use: bool,
    /// Whether places are counted in clusters.
    pub(super) extended: bool,
}

impl Header {
    pub(super) fn read(source: &Source) -> Result<Self> {
        let fail = |offset, reason| source.error(Some(offset), reason);
        let raw: RawHeader =
            source.structure(0)?.ok_or_else(|| fail(0, Reason::Truncated { what: "header" }))?;
        let version = raw.version.get();
        if version != VERSION {
            return Err(fail(16, Reason::Version { version }));
        }
        let cluster_sectors = raw.tracks.get();
        if !(1..=MAX_CLUSTER_SECTORS).contains(&cluster_sectors) {
            return Err(fail(28, Reason::ClusterSize { sectors: cluster_sectors }));
        }
        let extended = raw.magic == MAGIC_EXTENDED;
        // The upper half has not always been cleared.
        let sectors = if extended { raw.sectors.get() } else { raw.sectors.get() & u64::from(u32::MAX) };
        if sectors > crate::MAX_VIRTUAL_SIZE / SECTOR {
            return Err(fail(36, Reason::Size { sectors }));
        }
        let entries = u64::from(raw.bat_entries.get());
        if !source.holds(LENGTH, entries * 4) {
            return Err(fail(32, Reason::TableOutside { entries }));
        }
        let cluster = u64::from(cluster_sectors) * SECTOR;
        let data_offset = match raw.data_offset.get() {
            0 => (LENGTH + entries * 4).next_multiple_of(SECTOR),
            sectors => u64::from(sectors) * SECTOR,
        };
        let extension = raw.extension.get();
        Ok(Self {
            size: sectors * SECTOR,
            cluster,
            entries,
            entry_unit: if extended { cluster } else { SECTOR },
            data_offset,
            extension: (extension > 0).then(|| extension.saturating_mul(SECTOR)),
            in_use: raw.in_use.get() == IN_USE,
            extended,
        })
    }

    /// The entries of the allocation table that are about the disk.
    pub(super) fn used_entries(&self) -> u64 {
        self.entries.min(self.size.div_ceil(self.cluster))
    }
}
