//! The header (QEMU `docs/interop/qed_spec.rst`, "Header").

use super::Reason;
use crate::bytes::Bytes;
use crate::error::Result;
use crate::source::Source;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

pub(super) const MAGIC: [u8; 4] = *b"QED\0";

#[derive(Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 4],
    /// Bytes.
    cluster_size: U32,
    /// Clusters of a table, of either level.
    table_size: U32,
    /// Clusters.
    header_size: U32,
    features: U64,
    compatible_features: U64,
    autoclear_features: U64,
    l1_table_offset: U64,
    /// Bytes.
    image_size: U64,
    /// Bytes from the start of the file.
    backing_name_offset: U32,
    backing_name_size: U32,
}

const _: () = assert!(size_of::<RawHeader>() == 64);

/// It stands on a backing file.
const BACKING: u64 = 1 << 0;
/// It was not closed by whoever wrote it last; what it says of its clusters' use may be incomplete.
const NEED_CHECK: u64 = 1 << 1;
/// The backing file is raw.
const BACKING_RAW: u64 = 1 << 2;
const CLUSTER_SIZES: std::ops::RangeInclusive<u32> = (4 << 10)..=(64 << 20);
const MAX_TABLE_SIZE: u32 = 16;
/// The longest backing file name that QEMU reads, in bytes.
const MAX_BACKING_NAME: u32 = 1023;

/// What of a header matters, checked.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// Bytes.
    pub(super) cluster: u64,
    /// Clusters of a table.
    pub(super) table_clusters: u64,
    /// Clusters of the header.
    pub(super) header_clusters: u64,
    pub(super) l1_offset: u64,
    /// The disk's size in bytes.
    pub(super) size: u64,
    pub(super) need_check: bool,
    pub(super) backing: Option<Backing>,
}

/// The backing file.
#[derive(Clone, Debug)]
pub(super) struct Backing {
    pub(super) name: String,
    /// Whether it is to be taken for raw, whatever it looks like.
    pub(super) raw: bool,
}

impl Header {
    pub(super) fn read(source: &Source) -> Result<Self> {
        let fail = |offset, reason| source.error(Some(offset), reason);
        let raw: RawHeader =
            source.structure(0)?.ok_or_else(|| fail(0, Reason::Truncated { what: "header" }))?;
        let (cluster, table) = (raw.cluster_size.get(), raw.table_size.get());
        if !cluster.is_power_of_two() || !CLUSTER_SIZES.contains(&cluster) {
            return Err(fail(4, Reason::ClusterSize { bytes: cluster }));
        }
        if !table.is_power_of_two() || table > MAX_TABLE_SIZE {
            return Err(fail(8, Reason::TableSize { clusters: table }));
        }
        let features = raw.features.get();
        let unknown = features & !(BACKING | NEED_CHECK | BACKING_RAW);
        if unknown != 0 {
            return Err(fail(16, Reason::Features { bits: unknown }));
        }
        let header = Self {
            cluster: cluster.into(),
            table_clusters: table.into(),
            header_clusters: raw.header_size.get().into(),
            l1_offset: raw.l1_table_offset.get(),
            size: raw.image_size.get(),
            need_check: features & NEED_CHECK != 0,
            backing: None,
        };
        let most = header.entries().saturating_mul(header.entries()).saturating_mul(header.cluster);
        if header.size > most.min(crate::MAX_VIRTUAL_SIZE) || !header.size.is_multiple_of(512) {
            return Err(fail(48, Reason::Size { bytes: header.size }));
        }
        if !header.is_place(source, header.l1_offset, header.table_clusters) {
            return Err(fail(40, Reason::L1 { offset: header.l1_offset }));
        }
        let backing = (features & BACKING != 0).then(|| backing(source, &raw)).transpose()?;
        Ok(Self { backing, ..header })
    }

    /// Entries of a table, of either level.
    pub(super) fn entries(&self) -> u64 {
        self.cluster * self.table_clusters / 8
    }

    /// Whether so many clusters can be at byte `offset` of the file.
    pub(super) fn is_place(&self, source: &Source, offset: u64, clusters: u64) -> bool {
        offset >= self.cluster
            && offset.is_multiple_of(self.cluster)
            && source.holds(offset, clusters * self.cluster)
    }
}

fn backing(source: &Source, raw: &RawHeader) -> Result<Backing> {
    let (offset, length) = (raw.backing_name_offset.get().into(), raw.backing_name_size.get());
    let fail = || source.error(Some(offset), Reason::BackingName { length });
    if length > MAX_BACKING_NAME || !source.holds(offset, length.into()) {
        return Err(fail());
    }
    let name = String::from_utf8(source.bytes(offset, length.into())?).map_err(|_| fail())?;
    Ok(Backing { name, raw: raw.features.get() & BACKING_RAW != 0 })
}
