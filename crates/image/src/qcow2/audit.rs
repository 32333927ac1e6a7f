//! Everything that uses clusters of an image's file, and whether it can be where it is ([`audit`]); and whether the
//! reference counts and flags agree ([`compare`]).

use super::bitmaps;
use super::census::{Census, Use};
use super::geometry::{COMPRESSED, COPIED, MAX_L1, OFFSET};
use super::header::{DIRTY, EXTERNAL_DATA, Encryption, Header, TablePlace};
use super::problem::Problem;
use super::refcounts::Refcounts;
use super::snapshots;
use crate::bytes::Bytes;
use crate::error::Result;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// The largest table that is believed, in bytes: no kind of them may be so large in QEMU.
const MAX_REGION: u64 = 64 << 20;

/// Takes problems, with where in the file they are.
pub(super) type Report<'a> = &'a mut dyn FnMut(Option<u64>, Problem);

/// An L2 table: how many L1 entries lead to it, the first of them, and whether it is of the present state.
#[derive(Clone, Copy)]
struct L2Use {
    times: u64,
    table: u64,
    active: bool,
}

/// Counts the uses of every cluster by everything but the reference counts themselves.
pub(super) fn audit(file: &impl Bytes, header: &Header, report: Report) -> Result<Census> {
    let cluster = header.geometry.cluster();
    let mut audit = Audit { file, header, census: Census::new(cluster), report };
    if header.has(DIRTY) {
        (audit.report)(Some(super::header::INCOMPATIBLE_OFFSET), Problem::Dirty);
    }
    audit.table("header", 0..cluster);
    if let Some(range) =
        header.extensions.encryption.clone().filter(|_| header.encryption == Encryption::Luks)
    {
        audit.table("encryption header", range);
    }
    audit.bitmaps()?;
    let tables = audit.l1_tables()?;
    for (offset, l2) in tables {
        audit.l2_table(offset, l2)?;
    }
    Ok(audit.census)
}

/// Counts the uses by the refcount table and blocks, which `refcounts` is.
pub(super) fn count_refcounts(
    file: &impl Bytes,
    header: &Header,
    refcounts: &Refcounts,
    census: &mut Census,
    report: Report,
) {
    let cluster = header.geometry.cluster();
    let table = header.refcounts.offset..header.refcounts.offset + header.refcounts.bytes();
    let blocks = refcounts.blocks.iter().filter(|block| **block != 0).map(|block| *block..*block + cluster);
    for (what, range) in
        std::iter::once(("refcount table", table)).chain(blocks.map(|block| ("refcount blocks", block)))
    {
        let start = range.start;
        if file.holds(start, 1) && census.add(range, 1, Use::Table).is_some() {
            report(Some(start), Problem::Overlap { what });
        }
    }
    for (block, offset) in &refcounts.misplaced {
        report(Some(*offset), Problem::RefcountBlock { block: *block });
    }
}

struct Audit<'a, B> {
    file: &'a B,
    header: &'a Header,
    census: Census,
    report: Report<'a>,
}

impl<B: Bytes> Audit<'_, B> {
    /// Counts what a table uses; `false` when it cannot be there.
    fn table(&mut self, what: &'static str, range: Range<u64>) -> bool {
        let start = range.start;
        if range.end < start || range.end - start > MAX_REGION || !self.file.holds(start, range.end - start) {
            (self.report)(Some(start), Problem::Region { what });
            return false;
        }
        if self.census.add(range, 1, Use::Table).is_some() {
            (self.report)(Some(start), Problem::Overlap { what });
        }
        true
    }

    fn bitmaps(&mut self) -> Result<()> {
        let mut clashes = Vec::new();
        let census = &mut self.census;
        let sound = bitmaps::regions(self.file, self.header, &mut |range| {
            let start = range.start;
            if census.add(range, 1, Use::Table).is_some() && clashes.is_empty() {
                clashes.push(start);
            }
        })?;
        for start in clashes {
            (self.report)(Some(start), Problem::Overlap { what: "bitmaps" });
        }
        if !sound {
            (self.report)(None, Problem::Region { what: "bitmaps" });
        }
        Ok(())
    }

    /// Counts the L1 tables and the table of snapshots; answers with the L2 tables by their offsets.
    fn l1_tables(&mut self) -> Result<BTreeMap<u64, L2Use>> {
        let (snapshots, end) = snapshots::read(self.file, self.header)?;
        if !snapshots.is_empty() {
            // The padding behind the last entry need not be in the file.
            self.table("snapshots", self.header.snapshots_offset..end.min(self.file.size()));
        }
        let mut tables = BTreeMap::new();
        // Tables that overlap would be read again and again.
        let mut budget = self.file.size();
        let places = std::iter::once(self.header.l1).chain(snapshots.iter().map(|snapshot| snapshot.l1));
        for (number, place) in places.enumerate() {
            let outside = place.bytes() > MAX_L1 || !self.file.holds(place.offset, place.bytes());
            let Some(left) = budget.checked_sub(place.bytes()).filter(|_| !outside) else {
                (self.report)(Some(place.offset), Problem::L1 { entries: place.entries });
                continue;
            };
            budget = left;
            self.table("L1 table", place.offset..place.offset + place.bytes());
            self.l1_table(place, number == 0, &mut tables)?;
        }
        Ok(tables)
    }

    fn l1_table(&mut self, place: TablePlace, active: bool, tables: &mut BTreeMap<u64, L2Use>) -> Result<()> {
        let cluster = self.header.geometry.cluster();
        for (table, entry) in (0..).zip(self.file.words(place.offset, place.entries)?) {
            let offset = entry & OFFSET;
            if offset == 0 {
                continue;
            }
            if !offset.is_multiple_of(cluster) || !self.file.holds(offset, cluster) {
                (self.report)(Some(place.offset + table * 8), Problem::L2 { table });
                continue;
            }
            let l2 = tables.entry(offset).or_insert(L2Use { times: 0, table, active });
            l2.times += 1;
            if active && l2.times > 1 {
                (self.report)(Some(place.offset + table * 8), Problem::Overlap { what: "L2 tables" });
            }
        }
        Ok(())
    }

    /// Counts an L2 table and the clusters that it leads to.
    fn l2_table(&mut self, offset: u64, l2: L2Use) -> Result<()> {
        let geometry = self.header.geometry;
        let cluster = geometry.cluster();
        if self.census.add(offset..offset + cluster, l2.times, Use::Table).is_some() {
            (self.report)(Some(offset), Problem::Overlap { what: "L2 tables" });
        }
        let words = geometry.l2_entry() / 8;
        let entries = self.file.words(offset, cluster / 8)?;
        for (index, entry) in (0..).zip(entries.iter().step_by(words as usize)) {
            let number = l2.table * geometry.l2_entries() + index;
            let place = offset + index * words * 8;
            match self.data(number, *entry, l2.active) {
                Some(Ok(range)) if self.census.add(range.clone(), l2.times, Use::Data).is_some() => {
                    (self.report)(Some(place), Problem::Overlap { what: "data and tables" });
                }
                Some(Err(problem)) => (self.report)(Some(place), problem),
                _ => {}
            }
        }
        Ok(())
    }

    /// Which bytes of the file an entry leads to, if any of the image's own.
    fn data(&self, cluster: u64, entry: u64, active: bool) -> Option<Result<Range<u64>, Problem>> {
        let size = self.header.geometry.cluster();
        let external = self.header.has(EXTERNAL_DATA);
        let outside = Some(Err(Problem::Cluster { cluster }));
        if entry & COMPRESSED != 0 {
            let run = self.header.geometry.compressed(entry);
            let inside = self.file.holds(run.offset, 1) && !external;
            return if inside { Some(Ok(run.offset..run.offset + run.length)) } else { outside };
        }
        let offset = entry & OFFSET;
        if offset == 0 || external {
            let misplaced = external && !offset.is_multiple_of(size);
            return if misplaced { outside } else { None };
        }
        // What lies behind the disk's end, and subclusters that were not written, need not be in the file.
        let whole = active && !self.header.geometry.extended_l2;
        let rest = self.header.size.saturating_sub(cluster.saturating_mul(size));
        let needed = if whole { rest.clamp(1, size) } else { 1 };
        if !offset.is_multiple_of(size) || !self.file.holds(offset, needed) {
            return outside;
        }
        Some(Ok(offset..offset + size))
    }
}

/// Compares the counts in the file with those of `census`, and the flags of the present state's tables with them.
pub(super) fn compare(
    file: &impl Bytes,
    header: &Header,
    refcounts: &Refcounts,
    census: &Census,
    report: Report,
) -> Result<()> {
    let mut last: Option<Problem> = None;
    let mut see = |problem: Problem| match last.as_ref().and_then(|last| last.joined(&problem)) {
        Some(joined) => last = Some(joined),
        None => {
            if let Some(before) = last.replace(problem) {
                report(None, before);
            }
        }
    };
    let mut read = HashSet::new();
    for (block, offset) in (0..).zip(&refcounts.blocks) {
        // One that stands in the table twice was told of.
        if *offset == 0 || !read.insert(*offset) {
            continue;
        }
        let first = block * refcounts.per_block();
        for (cluster, stored) in (first..).zip(refcounts.block(file, *offset)?.counts()) {
            let used = census.count(cluster);
            if stored != used && !(used == Census::MANY && stored > used) {
                see(Problem::Refcount { run: cluster..cluster + 1, stored, used });
            }
        }
    }
    let exists = |cluster: u64| {
        let block = usize::try_from(cluster / refcounts.per_block()).ok();
        block.and_then(|block| refcounts.blocks.get(block)).is_some_and(|offset| *offset != 0)
    };
    let mut uncounted: Vec<(u64, u64)> = census.used().filter(|(cluster, _)| !exists(*cluster)).collect();
    uncounted.sort_unstable();
    for (cluster, used) in uncounted {
        see(Problem::Refcount { run: cluster..cluster + 1, stored: 0, used });
    }
    if let Some(last) = last {
        report(None, last);
    }
    copied(file, header, census, &mut |flag| report(Some(flag.place), flag.problem()))
}

/// An entry of the present state's tables whose flag does not say whether its cluster is used once.
pub(super) struct WrongFlag {
    /// Where the entry is in the file, in bytes.
    pub(super) place: u64,
    pub(super) entry: u64,
    cluster: u64,
    count: u64,
}

impl WrongFlag {
    fn problem(&self) -> Problem {
        let run = self.cluster..self.cluster + 1;
        if self.count == 1 { Problem::NotCopied { run } } else { Problem::Copied { run, count: self.count } }
    }
}

/// Hands on the entries of the present state's L1 and L2 tables whose flag is wrong.
pub(super) fn copied(
    file: &impl Bytes,
    header: &Header,
    census: &Census,
    see: &mut dyn FnMut(WrongFlag),
) -> Result<()> {
    let cluster = header.geometry.cluster();
    let wrong = |place: u64, entry: u64| {
        let number = (entry & OFFSET) / cluster;
        let count = census.count(number);
        ((entry & COPIED != 0) != (count == 1)).then_some(WrongFlag { place, entry, cluster: number, count })
    };
    let mut read = HashSet::new();
    for (index, entry) in (0..).zip(file.words(header.l1.offset, header.l1.entries)?) {
        let offset = entry & OFFSET;
        if offset == 0
            || !offset.is_multiple_of(cluster)
            || !file.holds(offset, cluster)
            || !read.insert(offset)
        {
            continue;
        }
        wrong(header.l1.offset + index * 8, entry).into_iter().for_each(&mut *see);
        if header.has(EXTERNAL_DATA) {
            continue;
        }
        let words = header.geometry.l2_entry();
        let entries = file.words(offset, cluster / 8)?;
        for (index, entry) in (0..).zip(entries.iter().step_by((words / 8) as usize)) {
            let plain = entry & COMPRESSED == 0 && entry & OFFSET != 0;
            if plain && (entry & OFFSET).is_multiple_of(cluster) {
                wrong(offset + index * words, *entry).into_iter().for_each(&mut *see);
            }
        }
    }
    Ok(())
}
