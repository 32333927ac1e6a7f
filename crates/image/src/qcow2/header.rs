//! The header (QEMU `docs/interop/qcow2.rst`, "Header").

use super::Reason;
use super::extensions::Extensions;
use super::geometry::{Geometry, MAX_L1, MAX_REFCOUNT_TABLE};
use crate::bytes::Bytes;
use crate::error::Result;
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";

/// What versions 2 and 3 share.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct HeaderV2 {
    pub(super) magic: [u8; 4],
    pub(super) version: U32,
    pub(super) backing_file_offset: U64,
    pub(super) backing_file_size: U32,
    pub(super) cluster_bits: U32,
    /// Bytes.
    pub(super) size: U64,
    pub(super) crypt_method: U32,
    pub(super) l1_size: U32,
    pub(super) l1_table_offset: U64,
    pub(super) refcount_table_offset: U64,
    pub(super) refcount_table_clusters: U32,
    pub(super) nb_snapshots: U32,
    pub(super) snapshots_offset: U64,
}

/// What version 3 adds.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct HeaderV3 {
    pub(super) incompatible_features: U64,
    pub(super) compatible_features: U64,
    pub(super) autoclear_features: U64,
    pub(super) refcount_order: U32,
    pub(super) header_length: U32,
}

/// What follows in a header of more than 104 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct HeaderTail {
    pub(super) compression_type: u8,
    pub(super) padding: [u8; 7],
}

/// Bytes of a version 2 header.
const V2: u64 = size_of::<HeaderV2>() as u64;
/// Bytes of a version 3 header without the compression type.
const V3: u64 = V2 + size_of::<HeaderV3>() as u64;
/// Bytes of the header that is written.
pub(super) const WRITTEN: u32 = (V3 as usize + size_of::<HeaderTail>()) as u32;
/// Where the incompatible features of a version 3 header stand, in bytes.
pub(super) const INCOMPATIBLE_OFFSET: u64 = V2;

const _: () = assert!(V2 == 72 && V3 == 104 && WRITTEN == 112);

/// Incompatible: the reference counts may be wrong.
pub(super) const DIRTY: u64 = 1 << 0;
/// Incompatible: whoever wrote last found the tables to be wrong.
pub(super) const CORRUPT: u64 = 1 << 1;
/// Incompatible: the guest's data is in a file of its own.
pub(super) const EXTERNAL_DATA: u64 = 1 << 2;
/// Incompatible: the header names a compression.
pub(super) const COMPRESSION: u64 = 1 << 3;
/// Incompatible: L2 entries tell of subclusters.
pub(super) const EXTENDED_L2: u64 = 1 << 4;
/// Compatible: writers may leave reference counts behind, under the dirty bit.
pub(super) const LAZY_REFCOUNTS: u64 = 1 << 0;
/// Autoclear: the bitmaps are in step with the disk.
pub(super) const AUTOCLEAR_BITMAPS: u64 = 1 << 0;
/// Autoclear: the data file reads as the disk by itself.
pub(super) const AUTOCLEAR_RAW_DATA: u64 = 1 << 1;

/// How compressed clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Deflate,
    Zstd,
}

/// How clusters of data are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    None,
    /// QEMU's own, long withdrawn: AES with the passphrase as its key.
    Aes,
    Luks,
}

/// The feature bits of version 3; none in version 2.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Features {
    pub(super) incompatible: u64,
    pub(super) compatible: u64,
    pub(super) autoclear: u64,
}

/// Where a table is, and how many entries it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TablePlace {
    /// Bytes.
    pub(super) offset: u64,
    pub(super) entries: u64,
}

impl TablePlace {
    /// Bytes of the table.
    pub(super) fn bytes(self) -> u64 {
        self.entries * 8
    }
}

/// What a header says, compared with the size of the file.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) geometry: Geometry,
    /// The disk's size in bytes.
    pub(super) size: u64,
    pub(super) l1: TablePlace,
    pub(super) refcounts: TablePlace,
    /// Bits of a reference count, as a power of two: 0 to 6.
    pub(super) refcount_order: u32,
    /// Not compared with the file's size.
    pub(super) snapshots_offset: u64,
    pub(super) snapshots: u32,
    pub(super) features: Features,
    pub(super) compression: Compression,
    pub(super) encryption: Encryption,
    pub(super) backing: Option<String>,
    pub(super) extensions: Extensions,
}

/// What follows the part that both versions have.
struct Extra {
    features: Features,
    refcount_order: u32,
    length: u64,
    compression_type: u8,
}

impl Header {
    pub(super) fn read(file: &impl Bytes) -> Result<Self> {
        let fail = |offset, reason| file.error(Some(offset), reason);
        let common: HeaderV2 = file.structure(0)?.ok_or_else(|| fail(0, Reason::Truncated))?;
        let version = common.version.get();
        let extra = match version {
            2 => Extra { features: Features::default(), refcount_order: 4, length: V2, compression_type: 0 },
            3 => extra(file)?,
            _ => return Err(fail(4, Reason::Version { version })),
        };
        let encryption = encryption(common.crypt_method.get()).map_err(|reason| fail(32, reason))?;
        let compression = match extra.compression_type {
            0 => Compression::Deflate,
            1 => Compression::Zstd,
            kind => return Err(fail(V3, Reason::Compression { kind })),
        };
        let geometry =
            geometry(common.cluster_bits.get(), extra.features).map_err(|reason| fail(20, reason))?;
        let header = Self {
            version,
            geometry,
            size: common.size.get(),
            l1: TablePlace { offset: common.l1_table_offset.get(), entries: common.l1_size.get().into() },
            refcounts: refcounts(&common, geometry),
            refcount_order: extra.refcount_order,
            snapshots_offset: common.snapshots_offset.get(),
            snapshots: common.nb_snapshots.get(),
            features: extra.features,
            compression,
            encryption,
            backing: backing_name(file, &common)?,
            extensions: Extensions::read(file, extensions_range(&common, extra.length, geometry))?,
        };
        header.check(file)?;
        Ok(header)
    }

    fn check(&self, file: &impl Bytes) -> Result<()> {
        let fail = |offset, reason| file.error(Some(offset), reason);
        if self.size > crate::MAX_VIRTUAL_SIZE {
            return Err(fail(24, Reason::Size { bytes: self.size }));
        }
        if !self.holds_l1(file, self.l1, self.size) {
            return Err(fail(36, Reason::L1 { entries: self.l1.entries }));
        }
        if self.refcount_order > 6 {
            return Err(fail(V3 - 8, Reason::RefcountOrder { order: self.refcount_order }));
        }
        Ok(())
    }

    /// Whether an L1 table can be there, and is enough for a disk of `size` bytes.
    pub(super) fn holds_l1(&self, file: &impl Bytes, l1: TablePlace, size: u64) -> bool {
        let enough = l1.entries >= self.geometry.l1_entries(size);
        enough && l1.bytes() <= MAX_L1 && file.holds(l1.offset, l1.bytes())
    }

    /// Whether the refcount table can be there.
    pub(super) fn holds_refcounts(&self, file: &impl Bytes) -> bool {
        let aligned = self.refcounts.offset.is_multiple_of(self.geometry.cluster());
        let bytes = self.refcounts.bytes();
        aligned && bytes <= MAX_REFCOUNT_TABLE && file.holds(self.refcounts.offset, bytes)
    }

    /// Whether an incompatible feature is used.
    pub(super) fn has(&self, incompatible: u64) -> bool {
        self.features.incompatible & incompatible != 0
    }
}

fn geometry(cluster_bits: u32, features: Features) -> Result<Geometry, Reason> {
    let extended_l2 = features.incompatible & EXTENDED_L2 != 0;
    // Subclusters are of 512 bytes at least.
    let smallest = if extended_l2 { 14 } else { 9 };
    if !(smallest..=21).contains(&cluster_bits) {
        return Err(Reason::ClusterSize { bits: cluster_bits });
    }
    Ok(Geometry { cluster_bits, extended_l2 })
}

fn refcounts(common: &HeaderV2, geometry: Geometry) -> TablePlace {
    let bytes = u64::from(common.refcount_table_clusters.get()) * geometry.cluster();
    TablePlace { offset: common.refcount_table_offset.get(), entries: bytes / 8 }
}

/// What version 3 adds; its features are known.
fn extra(file: &impl Bytes) -> Result<Extra> {
    let fail = |reason| file.error(Some(V2), reason);
    let extra: HeaderV3 = file.structure(V2)?.ok_or_else(|| fail(Reason::Truncated))?;
    let length = u64::from(extra.header_length.get());
    if length < V3 || !length.is_multiple_of(8) || length > 4096 {
        return Err(fail(Reason::HeaderLength { length }));
    }
    let features = Features {
        incompatible: extra.incompatible_features.get(),
        compatible: extra.compatible_features.get(),
        autoclear: extra.autoclear_features.get(),
    };
    let unknown = features.incompatible & !(DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION | EXTENDED_L2);
    if unknown != 0 {
        return Err(fail(Reason::Features { bits: unknown }));
    }
    let compression_type = if length > V3 && features.incompatible & COMPRESSION != 0 {
        let tail: HeaderTail = file.structure(V3)?.ok_or_else(|| fail(Reason::Truncated))?;
        tail.compression_type
    } else {
        0
    };
    Ok(Extra { features, refcount_order: extra.refcount_order.get(), length, compression_type })
}

fn encryption(method: u32) -> Result<Encryption, Reason> {
    match method {
        0 => Ok(Encryption::None),
        1 => Ok(Encryption::Aes),
        2 => Ok(Encryption::Luks),
        _ => Err(Reason::Encrypted { method: "unknown" }),
    }
}

/// The longest backing file name that the format allows, in bytes.
const MAX_BACKING_NAME: u32 = 1023;

fn backing_name(file: &impl Bytes, common: &HeaderV2) -> Result<Option<String>> {
    let (offset, length) = (common.backing_file_offset.get(), common.backing_file_size.get());
    if offset == 0 {
        return Ok(None);
    }
    let fail = || file.error(Some(offset), Reason::BackingName { length });
    if length == 0 || length > MAX_BACKING_NAME || !file.holds(offset, length.into()) {
        return Err(fail());
    }
    String::from_utf8(file.bytes(offset, length.into())?).map(Some).map_err(|_| fail())
}

/// Where extensions may stand: behind the header, in the first cluster, before the backing file's name.
fn extensions_range(common: &HeaderV2, length: u64, geometry: Geometry) -> std::ops::Range<u64> {
    let name = common.backing_file_offset.get();
    length..if name == 0 { geometry.cluster() } else { name.min(geometry.cluster()) }
}
