//! The header (QEMU `block/qcow.c`: `QCowHeader`).

use super::Reason;
use crate::bytes::Bytes;
use crate::error::Result;
use crate::source::Source;
use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";

#[derive(Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 4],
    version: U32,
    backing_name_offset: U64,
    backing_name_size: U32,
    /// Seconds since 1970; of the backing file.
    backing_modified: U32,
    /// Bytes.
    size: U64,
    cluster_bits: u8,
    l2_bits: u8,
    padding: U16,
    encryption: U32,
    l1_table_offset: U64,
}

const _: () = assert!(size_of::<RawHeader>() == 48);

/// The longest backing file name that QEMU reads, in bytes.
const MAX_BACKING_NAME: u32 = 1023;
/// The unit of the disk's size.
const SECTOR: u64 = 512;

/// What of a header matters, checked.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) cluster_bits: u8,
    /// Entries of an L2 table, as a power of two.
    l2_bits: u8,
    pub(super) l1_offset: u64,
    /// The disk's size in bytes.
    pub(super) size: u64,
    /// The backing file's name.
    pub(super) backing: Option<String>,
}

impl Header {
    pub(super) fn read(source: &Source) -> Result<Self> {
        let fail = |offset, reason| source.error(Some(offset), reason);
        let raw: RawHeader =
            source.structure(0)?.ok_or_else(|| fail(0, Reason::Truncated { what: "header" }))?;
        let (cluster_bits, l2_bits) = (raw.cluster_bits, raw.l2_bits);
        if !(9..=16).contains(&cluster_bits) {
            return Err(fail(32, Reason::ClusterSize { bits: cluster_bits }));
        }
        if !(6..=13).contains(&l2_bits) {
            return Err(fail(33, Reason::TableSize { bits: l2_bits }));
        }
        match raw.encryption.get() {
            0 => {}
            1 => return Err(fail(36, Reason::Encrypted)),
            method => return Err(fail(36, Reason::Encryption { method })),
        }
        let bytes = raw.size.get();
        if bytes > crate::MAX_VIRTUAL_SIZE {
            return Err(fail(24, Reason::Size { bytes }));
        }
        // QEMU counts in sectors, and leaves out what is less than one.
        let size = bytes / SECTOR * SECTOR;
        let header =
            Self { cluster_bits, l2_bits, l1_offset: raw.l1_table_offset.get(), size, backing: None };
        let entries = header.l1_entries();
        if !source.holds(header.l1_offset, entries * 8) {
            return Err(fail(40, Reason::L1 { entries }));
        }
        let named = raw.backing_name_offset.get() != 0;
        let backing = named.then(|| backing(source, &raw)).transpose()?;
        Ok(Self { backing, ..header })
    }

    /// Bytes of a cluster.
    pub(super) fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Entries of an L2 table.
    pub(super) fn l2_entries(&self) -> u64 {
        1 << self.l2_bits
    }

    /// Entries of the L1 table.
    pub(super) fn l1_entries(&self) -> u64 {
        self.size.div_ceil(self.cluster() * self.l2_entries())
    }
}

fn backing(source: &Source, raw: &RawHeader) -> Result<String> {
    let (offset, length) = (raw.backing_name_offset.get(), raw.backing_name_size.get());
    let fail = || source.error(Some(offset), Reason::BackingName { length });
    if length > MAX_BACKING_NAME || !source.holds(offset, length.into()) {
        return Err(fail());
    }
    String::from_utf8(source.bytes(offset, length.into())?).map_err(|_| fail())
}
