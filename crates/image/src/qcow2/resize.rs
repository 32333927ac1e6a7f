//! Giving an image's disk another size in place ([`resize`]).
//!
//! The header's one sector says the size and where the L1 table and the reference counts are: what is new is written
//! elsewhere and made durable before the header leads to it.

use super::audit::audit;
use super::geometry::{COMPRESSED, MAX_L1, OFFSET, ZERO};
use super::header::{EXTERNAL_DATA, Encryption, Header, HeaderV2, TablePlace};
use super::inspect::problems;
use super::rebuild::Rebuild;
use crate::bytes::{Bytes, Stored};
use crate::error::{Error, Result};
use crate::storage::Storage;
use std::ops::Range;
use std::path::Path;

/// Gives the disk a new size in bytes, which is rounded up to whole sectors.
pub(super) fn resize(storage: &dyn Storage, path: &Path, size: u64) -> Result<()> {
    let file = Stored::new(storage, path)?;
    let header = Header::read(&file)?;
    let refused = |why: String| Error::InPlace { operation: "resize", path: path.to_path_buf(), why };
    if let Some(why) = unfit(&header) {
        return Err(refused(why.to_owned()));
    }
    let size = size.checked_next_multiple_of(512).filter(|size| *size <= crate::MAX_VIRTUAL_SIZE);
    let size = size.ok_or_else(|| refused("that is larger than any disk".to_owned()))?;
    let mut first = None;
    problems(&file, &header, &mut |_, problem| first = first.take().or(Some(problem)))?;
    if let Some(problem) = first {
        return Err(refused(format!("it has to be repaired first: {problem}")));
    }
    if size < header.size {
        if let Some(offset) = first_data(&file, &header, size..header.size)? {
            return Err(refused(format!(
                "there is data at byte {offset} of the disk, which would be cut off"
            )));
        }
        return write_header(&file, |common| common.size = size.into());
    }
    clear_tail(&file, &header, size)?;
    // Tables may reach further than the disk, and what they lead to there would show.
    let mapped = header.l1.entries * header.geometry.l2_span();
    let hidden = header.size.next_multiple_of(header.geometry.cluster())..size.min(mapped);
    if first_data(&file, &header, hidden)?.is_some() {
        return Err(refused("its tables have data behind the disk's end".to_owned()));
    }
    grow(&file, &header, size)
}

/// Why images like this one are not resized.
fn unfit(header: &Header) -> Option<&'static str> {
    if header.snapshots > 0 {
        Some("it has internal snapshots, whose disks keep their size")
    } else if header.backing.is_some() {
        Some("it stands on a parent, whose data could show in what is added")
    } else if header.has(EXTERNAL_DATA) {
        Some("its data is in a file of its own")
    } else if header.encryption != Encryption::None {
        Some("it is encrypted")
    } else if header.extensions.bitmaps.is_some() {
        Some("it has bitmaps, which are of the disk's size")
    } else {
        None
    }
}

/// Where in `range` of the disk the tables know of data that is not all zeroes, if anywhere.
fn first_data(file: &Stored<'_>, header: &Header, range: Range<u64>) -> Result<Option<u64>> {
    let geometry = header.geometry;
    if range.is_empty() {
        return Ok(None);
    }
    for table in range.start / geometry.l2_span()..geometry.l1_entries(range.end) {
        let Some(entries) = l2_table(file, header, table)? else { continue };
        let first = table * geometry.l2_span();
        let starts = (first..range.end).step_by(geometry.cluster() as usize);
        for (start, entry) in starts.zip(entries.chunks_exact((geometry.l2_entry() / 8) as usize)) {
            let part = start.max(range.start)..(start + geometry.cluster()).min(range.end);
            let empty = part.is_empty();
            if !empty && !reads_as_zeroes(file, header, entry, part.start - start..part.end - start)? {
                return Ok(Some(part.start));
            }
        }
    }
    Ok(None)
}

/// Whether the bytes `part` of a cluster are known to be zeroes.
fn reads_as_zeroes(file: &Stored<'_>, header: &Header, entry: &[u64], part: Range<u64>) -> Result<bool> {
    let descriptor = entry.first().copied().unwrap_or(0);
    if header.geometry.extended_l2 {
        // Not a single subcluster has data.
        return Ok(
            descriptor & COMPRESSED == 0 && entry.get(1).is_none_or(|bitmap| bitmap & 0xffff_ffff == 0)
        );
    }
    let zero = header.version >= 3 && descriptor & ZERO != 0;
    if descriptor & COMPRESSED != 0 {
        return Ok(false);
    }
    if zero || descriptor & OFFSET == 0 {
        return Ok(true);
    }
    let bytes = file.bytes((descriptor & OFFSET) + part.start, part.end - part.start)?;
    Ok(block::is_zero(&bytes))
}

/// The L2 table with the number `table` of the present state, if it exists.
fn l2_table(file: &Stored<'_>, header: &Header, table: u64) -> Result<Option<Vec<u64>>> {
    let entry = file.words(header.l1.offset + table * 8, 1)?.first().copied().unwrap_or(0);
    match entry & OFFSET {
        0 => Ok(None),
        offset => file.words(offset, header.geometry.cluster() / 8).map(Some),
    }
}

/// Makes zeroes of what the last cluster holds behind the disk's end: that part of it becomes visible.
fn clear_tail(file: &Stored<'_>, header: &Header, size: u64) -> Result<()> {
    let geometry = header.geometry;
    let (cluster, inside) = (geometry.cluster(), header.size % geometry.cluster());
    if inside == 0 || size == header.size {
        return Ok(());
    }
    let Some(entries) = l2_table(file, header, header.size / geometry.l2_span())? else { return Ok(()) };
    let index = (header.size % geometry.l2_span()) / cluster * (geometry.l2_entry() / 8);
    let entry = entries.get(index as usize..).unwrap_or_default();
    if reads_as_zeroes(file, header, entry, 0..0)? && geometry.extended_l2 {
        return Ok(());
    }
    let descriptor = entry.first().copied().unwrap_or(0);
    if geometry.extended_l2 || descriptor & COMPRESSED != 0 {
        let why = "its last cluster is compressed or of subclusters, and the disk's end lies inside it";
        return Err(Error::InPlace {
            operation: "resize",
            path: file.path().to_path_buf(),
            why: why.to_owned(),
        });
    }
    if descriptor & OFFSET != 0 {
        let zeroes = vec![0; (cluster - inside) as usize];
        file.write(&zeroes, (descriptor & OFFSET) + inside)?;
        file.flush()?;
    }
    Ok(())
}

/// Makes the disk larger: where the L1 table is too short, with a new one behind everything else.
fn grow(file: &Stored<'_>, header: &Header, size: u64) -> Result<()> {
    let entries = header.geometry.l1_entries(size);
    if entries <= header.l1.entries {
        return write_header(file, |common| common.size = size.into());
    }
    if entries * 8 > MAX_L1 {
        return Err(Error::TooLarge { size, format: "qcow2" });
    }
    let mut table = file.words(header.l1.offset, header.l1.entries)?;
    table.resize(entries as usize, 0);
    let cluster = header.geometry.cluster();
    let new = TablePlace { offset: file.size().next_multiple_of(cluster), entries };
    file.write_words(&table, new.offset)?;
    let end = (new.offset + new.bytes()).next_multiple_of(cluster);
    file.set_len(end)?;
    // Counted as if the new table were there already, so that what the old one took is free.
    let grown = Header { l1: new, size, ..header.clone() };
    let census = audit(file, &grown, &mut |_, _| {})?;
    let rebuild = Rebuild::plan(census, header, end).map_err(|why| why.error(file, "resize"))?;
    rebuild.write(file)?;
    rebuild.switch(file, header, |common| {
        common.size = size.into();
        common.l1_size = (entries as u32).into();
        common.l1_table_offset = new.offset.into();
    })
}

/// Changes the header, which is one sector, and makes that durable.
fn write_header(file: &Stored<'_>, change: impl FnOnce(&mut HeaderV2)) -> Result<()> {
    let cut_short = || file.error(Some(0), super::Reason::Truncated);
    let mut common: HeaderV2 = file.structure(0)?.ok_or_else(cut_short)?;
    change(&mut common);
    file.write(zerocopy::IntoBytes::as_bytes(&common), 0)?;
    file.flush()
}
