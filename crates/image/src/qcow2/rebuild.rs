//! New reference counts in the place of the old ones, in one step that a crash cannot halve ([`Rebuild`]).
//!
//! A new table and new blocks are written behind everything else and made durable. The header, one sector, then leads
//! to them. Until then the image is what it was; where the old counts were is free afterwards.

use super::audit::copied;
use super::census::{Census, Use};
use super::geometry::{COPIED, MAX_REFCOUNT_TABLE};
use super::header::{
    AUTOCLEAR_BITMAPS, AUTOCLEAR_RAW_DATA, CORRUPT, DIRTY, Header, HeaderV2, HeaderV3, INCOMPATIBLE_OFFSET,
};
use super::refcounts::{largest, per_block, put};
use crate::bytes::{Bytes, Stored};
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use zerocopy::IntoBytes;

/// Why new counts cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Impossible {
    /// A count does not fit into the image's width.
    Count,
    /// The table would be larger than QEMU reads.
    Table,
}

impl Impossible {
    /// Why, as part of a sentence.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Count => "a cluster is used more often than its reference count can say",
            Self::Table => "the refcount table would be larger than QEMU reads",
        }
    }
}

/// What the new counts will be, and where.
pub(super) struct Rebuild {
    census: Census,
    order: u32,
    cluster: u64,
    /// Which blocks there will be.
    blocks: BTreeSet<u64>,
    /// Where the first of them will be, in bytes; the others and the table follow.
    start: u64,
    table_clusters: u64,
}

impl Rebuild {
    /// Counts what `census` counts, which the old counts are not part of, and themselves; they are to stand behind
    /// the byte `end`.
    pub(super) fn plan(mut census: Census, header: &Header, end: u64) -> Result<Self, Impossible> {
        let (order, cluster) = (header.refcount_order, header.geometry.cluster());
        let (start, per_block) = (end.next_multiple_of(cluster), per_block(cluster, order));
        let most = largest(order).min(Census::MANY - 1);
        let mut blocks = BTreeSet::new();
        for (number, count) in census.used() {
            if count > most {
                return Err(Impossible::Count);
            }
            blocks.insert(number / per_block);
        }
        let mut table_clusters = 0;
        loop {
            let first = start / cluster;
            let new = first..first + blocks.len() as u64 + table_clusters;
            let before = (blocks.len(), table_clusters);
            blocks.extend(new.start / per_block..=new.end / per_block);
            let bytes = blocks.last().map_or(0, |last| (last + 1) * 8);
            if bytes > MAX_REFCOUNT_TABLE {
                return Err(Impossible::Table);
            }
            table_clusters = bytes.div_ceil(cluster);
            if (blocks.len(), table_clusters) == before {
                break;
            }
        }
        let length = (blocks.len() as u64 + table_clusters) * cluster;
        census.add(start..start + length, 1, Use::Table);
        Ok(Self { census, order, cluster, blocks, start, table_clusters })
    }

    /// Writes the counts and the table and makes them durable; the image does not use them yet.
    pub(super) fn write(&self, file: &Stored<'_>) -> Result<()> {
        let per_block = per_block(self.cluster, self.order);
        let mut table = vec![0; (self.table_clusters * self.cluster / 8) as usize];
        let mut offset = self.start;
        for block in &self.blocks {
            let mut counts = vec![0; self.cluster as usize];
            for index in 0..per_block {
                put(&mut counts, index, self.order, self.census.count(block * per_block + index));
            }
            file.write(&counts, offset)?;
            if let Some(entry) = table.get_mut(*block as usize) {
                *entry = offset;
            }
            offset += self.cluster;
        }
        file.write_words(&table, offset)?;
        let end = offset + self.table_clusters * self.cluster;
        if file.size() < end {
            file.set_len(end)?;
        }
        file.flush()
    }

    /// Lets the header lead to the new counts, with whatever else `change` makes of it, and makes that durable. The
    /// image is not dirty any more. Features that we do not know of and that allow it are dropped, as the format asks.
    pub(super) fn switch(
        &self,
        file: &Stored<'_>,
        header: &Header,
        change: impl FnOnce(&mut HeaderV2),
    ) -> Result<()> {
        let cut_short = || file.error(Some(0), super::Reason::Truncated);
        let mut common: HeaderV2 = file.structure(0)?.ok_or_else(cut_short)?;
        common.refcount_table_offset = (self.start + self.blocks.len() as u64 * self.cluster).into();
        common.refcount_table_clusters = (self.table_clusters as u32).into();
        change(&mut common);
        let mut bytes = common.as_bytes().to_vec();
        if header.version >= 3 {
            let mut extra: HeaderV3 = file.structure(INCOMPATIBLE_OFFSET)?.ok_or_else(cut_short)?;
            extra.incompatible_features = (header.features.incompatible & !(DIRTY | CORRUPT)).into();
            let known = AUTOCLEAR_BITMAPS | AUTOCLEAR_RAW_DATA;
            extra.autoclear_features = (header.features.autoclear & known).into();
            bytes.extend_from_slice(extra.as_bytes());
        }
        file.write(&bytes, 0)?;
        file.flush()
    }

    /// Corrects the entries of the present state's tables that say whether their cluster is used once: those that
    /// say so wrongly, or those that should.
    pub(super) fn flags(&self, file: &Stored<'_>, header: &Header, set: bool) -> Result<()> {
        let mut outcome = Ok(());
        copied(file, header, &self.census, &mut |wrong| {
            if outcome.is_ok() && (wrong.entry & COPIED == 0) == set {
                outcome = file.write_words(&[wrong.entry ^ COPIED], wrong.place);
            }
        })?;
        outcome?;
        file.flush()
    }
}

impl Impossible {
    /// The error that an operation is not possible for this reason.
    pub(super) fn error(self, file: &Stored<'_>, operation: &'static str) -> Error {
        Error::InPlace { operation, path: file.path().to_path_buf(), why: self.why().to_owned() }
    }
}
