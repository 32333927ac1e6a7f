//! The header and its extensions (QEMU `docs/interop/qcow2.rst`, "Header" and "Header extensions").

use super::Reason;
use crate::error::Result;
use crate::source::Source;
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";

/// What versions 2 and 3 share.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
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
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct HeaderV3 {
    pub(super) incompatible_features: U64,
    pub(super) compatible_features: U64,
    pub(super) autoclear_features: U64,
    pub(super) refcount_order: U32,
    pub(super) header_length: U32,
}

/// What follows in a header of more than 104 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct HeaderTail {
    pub(super) compression_type: u8,
    pub(super) padding: [u8; 7],
}

#[derive(Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Extension {
    kind: U32,
    length: U32,
}

/// Bytes of a version 2 header.
const V2: u64 = size_of::<HeaderV2>() as u64;
/// Bytes of a version 3 header without the compression type.
const V3: u64 = V2 + size_of::<HeaderV3>() as u64;
/// Bytes of the header that is written.
pub(super) const WRITTEN: u32 = (V3 as usize + size_of::<HeaderTail>()) as u32;

const _: () = assert!(V2 == 72 && V3 == 104 && WRITTEN == 112);

const DIRTY: u64 = 1 << 0;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;

const BACKING_FORMAT: u32 = 0xe279_2aca;
const END: u32 = 0;
/// The longest backing file name that the format allows, in bytes.
const MAX_BACKING_NAME: u32 = 1023;
/// The largest L1 table that QEMU reads, in bytes.
const MAX_L1: u64 = 32 << 20;

/// How compressed clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Deflate,
    Zstd,
}

/// What of a header matters for reading, checked.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) cluster_bits: u32,
    /// Bytes.
    pub(super) size: u64,
    pub(super) l1_offset: u64,
    pub(super) l1_entries: u64,
    pub(super) compression: Compression,
    /// Whether L2 entries are of 16 bytes and tell of 32 subclusters each.
    pub(super) extended_l2: bool,
    /// The backing file's name, and its format where the image names it.
    pub(super) backing: Option<(String, Option<String>)>,
}

impl Header {
    pub(super) fn read(source: &Source) -> Result<Self> {
        let fail = |offset, reason| super::error(source, Some(offset), reason);
        let common: HeaderV2 = source.structure(0)?.ok_or_else(|| fail(0, Reason::Truncated))?;
        let version = common.version.get();
        let (features, length, kind) = match version {
            2 => (0, V2, 0),
            3 => extra(source)?,
            _ => return Err(fail(4, Reason::Version { version })),
        };
        check_features(features).map_err(|reason| fail(V2, reason))?;
        check_encryption(common.crypt_method.get()).map_err(|reason| fail(32, reason))?;
        let compression = match kind {
            0 => Compression::Deflate,
            1 => Compression::Zstd,
            kind => return Err(fail(V3, Reason::Compression { kind })),
        };
        let cluster_bits = common.cluster_bits.get();
        if !(9..=21).contains(&cluster_bits) {
            return Err(fail(20, Reason::ClusterSize { bits: cluster_bits }));
        }
        let extended_l2 = features & EXTENDED_L2 != 0;
        // Subclusters are of 512 bytes at least.
        if extended_l2 && cluster_bits < 14 {
            return Err(fail(20, Reason::ClusterSize { bits: cluster_bits }));
        }
        let mut header = Self {
            version,
            cluster_bits,
            size: common.size.get(),
            l1_offset: common.l1_table_offset.get(),
            l1_entries: common.l1_size.get().into(),
            compression,
            extended_l2,
            backing: None,
        };
        header.check(source)?;
        let offset = common.backing_file_offset.get();
        if offset != 0 {
            let name = backing_name(source, offset, common.backing_file_size.get())?;
            header.backing = Some((name, backing_format(source, length, offset.min(header.cluster()))?));
        }
        Ok(header)
    }

    fn check(&self, source: &Source) -> Result<()> {
        let fail = |offset, reason| super::error(source, Some(offset), reason);
        if self.size > crate::MAX_VIRTUAL_SIZE {
            return Err(fail(24, Reason::Size { bytes: self.size }));
        }
        let bytes = self.l1_entries * 8;
        let enough = self.l1_entries >= self.size.div_ceil(self.l2_span());
        if !enough || bytes > MAX_L1 || !source.holds(self.l1_offset, bytes) {
            return Err(fail(36, Reason::L1 { entries: self.l1_entries }));
        }
        Ok(())
    }

    /// Bytes of a cluster.
    pub(super) fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Entries of an L2 table.
    pub(super) fn l2_entries(&self) -> u64 {
        self.cluster() / self.l2_entry()
    }

    /// Bytes of an L2 entry.
    pub(super) fn l2_entry(&self) -> u64 {
        if self.extended_l2 { 16 } else { 8 }
    }

    /// How many bytes of the disk an L2 table covers. At most 2^39.
    pub(super) fn l2_span(&self) -> u64 {
        self.cluster() * self.l2_entries()
    }
}

/// The incompatible features, the header's length in bytes and the compression type of a version 3 header.
fn extra(source: &Source) -> Result<(u64, u64, u8)> {
    let fail = |reason| super::error(source, Some(V2), reason);
    let extra: HeaderV3 = source.structure(V2)?.ok_or_else(|| fail(Reason::Truncated))?;
    let length = u64::from(extra.header_length.get());
    if length < V3 || !length.is_multiple_of(8) || length > 4096 {
        return Err(fail(Reason::HeaderLength { length }));
    }
    let features = extra.incompatible_features.get();
    let kind = if length > V3 && features & COMPRESSION != 0 {
        let tail: HeaderTail = source.structure(V3)?.ok_or_else(|| fail(Reason::Truncated))?;
        tail.compression_type
    } else {
        0
    };
    Ok((features, length, kind))
}

fn check_features(features: u64) -> Result<(), Reason> {
    if features & CORRUPT != 0 {
        return Err(Reason::Corrupt);
    }
    if features & EXTERNAL_DATA != 0 {
        return Err(Reason::ExternalData);
    }
    // A dirty image has wrong reference counts, which only matter to whoever writes.
    match features & !(DIRTY | COMPRESSION | EXTENDED_L2) {
        0 => Ok(()),
        bits => Err(Reason::Features { bits }),
    }
}

fn check_encryption(method: u32) -> Result<(), Reason> {
    match method {
        0 => Ok(()),
        1 => Err(Reason::Encrypted { method: "AES" }),
        2 => Err(Reason::Encrypted { method: "LUKS" }),
        _ => Err(Reason::Encrypted { method: "unknown" }),
    }
}

fn backing_name(source: &Source, offset: u64, length: u32) -> Result<String> {
    let fail = || super::error(source, Some(offset), Reason::BackingName { length });
    if length == 0 || length > MAX_BACKING_NAME || !source.holds(offset, length.into()) {
        return Err(fail());
    }
    String::from_utf8(source.bytes(offset, length.into())?).map_err(|_| fail())
}

/// The backing file's format from the extensions between `start` and `end`.
fn backing_format(source: &Source, start: u64, end: u64) -> Result<Option<String>> {
    let mut offset = start;
    while offset + size_of::<Extension>() as u64 <= end {
        let Some(extension) = source.structure::<Extension>(offset)? else { break };
        let length = u64::from(extension.length.get());
        let data = offset + size_of::<Extension>() as u64;
        if extension.kind.get() == END {
            break;
        }
        if data + length > end || !source.holds(data, length) {
            return Err(super::error(source, Some(offset), Reason::HeaderLength { length: data + length }));
        }
        if extension.kind.get() == BACKING_FORMAT {
            return Ok(Some(String::from_utf8_lossy(&source.bytes(data, length)?).into_owned()));
        }
        offset = data + length.next_multiple_of(8);
    }
    Ok(None)
}
