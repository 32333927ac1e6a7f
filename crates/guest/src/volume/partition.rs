//! Partition tables of either kind.

use super::mbr::Mbr;
use super::{content, gpt};
use block::{BlockRead, Result};
use std::ops::Range;

/// A partition, as its table describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// The number that Linux gives it, from 1.
    pub(crate) number: u32,
    /// Which bytes of the disk; not checked against its size.
    pub(crate) range: Range<u64>,
    /// Its PARTUUID.
    pub(crate) uuid: Option<String>,
    /// Its name.
    pub(crate) label: Option<String>,
    /// Its type.
    pub(crate) kind: String,
}

/// The partitions of `disk`, in the order of its table; `None` when it has no table. Those that start outside the
/// disk are left out, those that end outside are cut, as Linux does.
pub(crate) fn read(disk: &dyn BlockRead) -> Result<Option<Vec<Partition>>> {
    let mbr = Mbr::read(disk)?;
    let mut partitions = match &mbr {
        Some(mbr) if mbr.protects_gpt() => match gpt::partitions(disk)? {
            Some(partitions) => partitions,
            None => mbr.partitions(disk)?,
        },
        Some(mbr) if !content::is_boot_sector(disk)? => mbr.partitions(disk)?,
        _ => return Ok(None),
    };
    partitions.retain_mut(|partition| {
        partition.range.end = partition.range.end.min(disk.size());
        !partition.range.is_empty()
    });
    Ok(Some(partitions))
}
