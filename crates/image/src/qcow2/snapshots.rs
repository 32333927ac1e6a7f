//! The table of internal snapshots ([`Snapshot`]; QEMU `docs/interop/qcow2.rst`, "Snapshots").

use super::Reason;
use super::header::{Header, TablePlace};
use crate::bytes::Bytes;
use crate::error::Result;
use crate::layer::SnapshotInfo;
use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// The most snapshots that QEMU reads.
const MAX_SNAPSHOTS: u32 = 65_536;
/// The largest table that QEMU reads, in bytes.
const MAX_TABLE: u64 = 64 << 20;
/// The most extra data that QEMU reads of a snapshot, in bytes.
const MAX_EXTRA: u64 = 1024;

/// What an entry of the table begins with.
#[derive(Clone, Copy, Debug, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Entry {
    l1_table_offset: U64,
    l1_size: U32,
    id_length: U16,
    name_length: U16,
    seconds: U32,
    nanoseconds: U32,
    /// Nanoseconds that the guest had run.
    vm_clock: U64,
    vm_state_size: U32,
    extra_data_size: U32,
}

const _: () = assert!(size_of::<Entry>() == 40);

/// An internal snapshot.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) info: SnapshotInfo,
    /// Its L1 table. Not compared with the file's size.
    pub(super) l1: TablePlace,
}

/// Reads the table; answers with the snapshots and with where the table ends in the file, in bytes.
pub(super) fn read(file: &impl Bytes, header: &Header) -> Result<(Vec<Snapshot>, u64)> {
    let fail = |offset, index| file.error(Some(offset), Reason::Snapshot { index });
    let mut offset = header.snapshots_offset;
    if header.snapshots > MAX_SNAPSHOTS {
        return Err(fail(offset, header.snapshots));
    }
    let mut snapshots = Vec::new();
    for index in 0..header.snapshots {
        let (snapshot, end) = entry(file, header, offset)?.ok_or_else(|| fail(offset, index))?;
        if end - header.snapshots_offset > MAX_TABLE {
            return Err(fail(offset, index));
        }
        snapshots.push(snapshot);
        offset = end;
    }
    Ok((snapshots, offset))
}

/// The snapshot at `offset` and the end of its entry; `None` when it cannot be one.
fn entry(file: &impl Bytes, header: &Header, offset: u64) -> Result<Option<(Snapshot, u64)>> {
    let Some(entry) = file.structure::<Entry>(offset)? else { return Ok(None) };
    let extra_offset = offset + size_of::<Entry>() as u64;
    let extra_length = u64::from(entry.extra_data_size.get());
    let (id, name) = (u64::from(entry.id_length.get()), u64::from(entry.name_length.get()));
    if extra_length > MAX_EXTRA || !file.holds(extra_offset, extra_length + id + name) {
        return Ok(None);
    }
    let text = |offset, length| -> Result<_> {
        Ok(String::from_utf8_lossy(&file.bytes(offset, length)?).into_owned())
    };
    let extra = file.bytes(extra_offset, extra_length)?;
    let word = |place: usize| {
        let bytes = extra.get(place..).and_then(|rest| rest.first_chunk::<8>());
        bytes.map(|bytes| u64::from_be_bytes(*bytes))
    };
    let info = SnapshotInfo {
        id: text(extra_offset + extra_length, id)?,
        name: text(extra_offset + extra_length + id, name)?,
        virtual_size: word(8).unwrap_or(header.size),
        seconds: entry.seconds.get().into(),
        state_bytes: word(0).unwrap_or(entry.vm_state_size.get().into()),
    };
    let l1 = TablePlace { offset: entry.l1_table_offset.get(), entries: entry.l1_size.get().into() };
    let end = (extra_offset + extra_length + id + name).next_multiple_of(8);
    Ok(Some((Snapshot { info, l1 }, end)))
}

/// The snapshot that is wanted: the one of that identifier, else the first of that name.
pub(super) fn find<'a>(snapshots: &'a [Snapshot], wanted: &str) -> Option<&'a Snapshot> {
    let by_id = snapshots.iter().find(|snapshot| snapshot.info.id == wanted);
    by_id.or_else(|| snapshots.iter().find(|snapshot| snapshot.info.name == wanted))
}
