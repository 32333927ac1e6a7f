//! Looking for damage in the structure of an image: [`inspect`].

use super::Structure;
use super::bat::{self, BITMAP, Entry, Geometry, State};
use super::file::File;
use super::header::SECTION;
use super::region::{self, Region};
use crate::bytes::Bytes;
use crate::check::{Check, Finding, Severity};
use crate::error::{Error, Result};
use crate::open::Opening;
use std::fmt;
use std::ops::Range;

/// Entries of the table that are looked at together.
const SLICE: u64 = 4096;

/// Adds to `check` what is wrong with the image: damaged copies, states that cannot be, structures that overlap or lie
/// outside the file, and room that nothing uses.
///
/// A log that has to be replayed is no damage: whoever reads or writes the image replays it first.
pub(super) fn inspect(opening: &Opening<'_>, check: &mut Check) -> Result<()> {
    let file = &opening.source;
    let (structure, replayed) = Structure::read(file.clone())?;
    for offset in structure.headers.damaged() {
        check.add(damage(file, offset, "this copy of the header is damaged"));
    }
    for offset in region::OFFSETS {
        match region::read_copy(&replayed, offset)? {
            None => check.add(damage(file, offset, "this copy of the region table is damaged")),
            Some(copy) if copy != structure.regions.as_bytes() => {
                check.add(damage(file, offset, "the copies of the region table differ"));
            }
            Some(_) => {}
        }
    }
    for gap in unused(&replayed, &structure, check)? {
        let gap = gap.start..gap.end.min(file.size());
        if gap.is_empty() {
            continue;
        }
        let failed = |source| Error::Read { path: file.path.clone(), source };
        let extents = file.disk.extents(gap.clone()).map_err(failed)?;
        // Holes take no room.
        let bytes: u64 = extents.iter().filter(|extent| extent.is_data()).map(block::Extent::len).sum();
        if bytes > 0 {
            check.add(leak(file, gap.start, bytes));
        }
    }
    Ok(())
}

/// Adds to `check` what is wrong with the blocks of an image, and answers with the parts of the file that nothing uses,
/// in their order.
pub(super) fn unused(file: &dyn File, structure: &Structure, check: &mut Check) -> Result<Vec<Range<u64>>> {
    let (geometry, table) = (structure.metadata.geometry, structure.regions.bat);
    let mut survey = Survey { file, geometry, table, used: Vec::new(), check };
    survey.structures(structure)?;
    survey.blocks()?;
    survey.overlaps();
    Ok(survey.gaps())
}

/// The finding that `bytes` behind byte `offset` are used by nothing.
pub(super) fn leak(file: &dyn File, offset: u64, bytes: u64) -> Finding {
    let finding = damage(file, offset, format!("{bytes} bytes are used by nothing"));
    Finding { severity: Severity::Leak, ..finding }
}

/// A finding of damage at byte `offset`.
pub(super) fn damage(file: &dyn File, offset: u64, what: impl Into<String>) -> Finding {
    let path = file.path().to_path_buf();
    Finding { severity: Severity::Damage, path, offset: Some(offset), what: what.into(), repaired: false }
}

/// Part of a file that something uses.
#[derive(Clone, Copy)]
struct Used {
    start: u64,
    end: u64,
    by: User,
}

/// What uses part of a file.
#[derive(Clone, Copy)]
enum User {
    Structure(&'static str),
    Payload(u64),
    Bitmap(u64),
}

impl fmt::Display for User {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Structure(what) => formatter.write_str(what),
            Self::Payload(block) => write!(formatter, "block {block}"),
            Self::Bitmap(chunk) => write!(formatter, "sector bitmap block {chunk}"),
        }
    }
}

/// Collects what uses the file.
struct Survey<'a> {
    /// The file as it reads once its log was replayed.
    file: &'a dyn File,
    geometry: Geometry,
    table: Region,
    used: Vec<Used>,
    check: &'a mut Check,
}

impl Survey<'_> {
    fn damage(&mut self, number: u64, what: String) {
        self.check.add(damage(self.file, self.table.offset + number * bat::ENTRY, what));
    }

    /// The headers, the log and the regions.
    fn structures(&mut self, structure: &Structure) -> Result<()> {
        let log = structure.headers.current().log(self.file)?;
        let mut add = |start, length: u64, what| {
            self.used.push(Used { start, end: start.saturating_add(length), by: User::Structure(what) });
        };
        add(0, SECTION, "the header section");
        add(log.offset, log.length, "the log");
        add(structure.regions.bat.offset, structure.regions.bat.length, "the block allocation table");
        add(structure.regions.metadata.offset, structure.regions.metadata.length, "the metadata region");
        for other in &structure.regions.others {
            add(other.offset, other.length, "a region that is unknown");
        }
        Ok(())
    }

    /// Every block of the table.
    fn blocks(&mut self) -> Result<()> {
        let (entries, ratio) = (self.geometry.entries(), self.geometry.chunk_ratio());
        // Whether a block of the present chunk needs its sector bitmap.
        let mut partial = false;
        for first in (0..entries).step_by(SLICE as usize) {
            let slice = bat::entries(self.file, self.table, first, SLICE.min(entries - first))?;
            for (number, entry) in (first..).zip(slice) {
                let (chunk, place) = (number / (ratio + 1), number % (ratio + 1));
                if place == ratio {
                    self.bitmap(chunk, entry, std::mem::take(&mut partial));
                } else if chunk * ratio + place < self.geometry.blocks() {
                    partial |= self.payload(number, chunk * ratio + place, entry);
                }
            }
        }
        Ok(())
    }

    /// Looks at a payload block; answers whether it needs its chunk's sector bitmap.
    fn payload(&mut self, number: u64, block: u64, entry: Entry) -> bool {
        let state = entry.state();
        match state {
            State::NotPresent | State::Zero => return false,
            // Their offset is either meaningless or that of room which is still theirs.
            State::Undefined | State::Unmapped if entry.offset() == 0 => return false,
            State::Undefined | State::Unmapped | State::FullyPresent => {}
            State::PartiallyPresent if self.geometry.has_parent() => {}
            State::PartiallyPresent => {
                self.damage(number, format!("block {block} is partially present in a disk without a parent"));
            }
            State::Reserved(state) => {
                self.damage(number, format!("block {block} has state {state}, which is reserved"));
                return false;
            }
        }
        let range = self.geometry.block_range(block);
        let start = entry.offset();
        if start < SECTION || !self.file.holds(start, range.end - range.start) {
            self.damage(number, format!("block {block} lies outside the file or inside its headers"));
        } else {
            let end = start.saturating_add(self.geometry.block());
            self.used.push(Used { start, end, by: User::Payload(block) });
        }
        state == State::PartiallyPresent
    }

    fn bitmap(&mut self, chunk: u64, entry: Entry, needed: bool) {
        let number = self.geometry.bitmap_entry(chunk);
        match (entry.is_bitmap_present(), self.geometry.has_parent()) {
            (false, _) if needed => {
                self.damage(number, format!("sector bitmap block {chunk} is missing and is needed"));
            }
            (false, _) => {}
            (true, false) => {
                self.damage(
                    number,
                    format!("sector bitmap block {chunk} is present in a disk without a parent"),
                );
            }
            (true, true) if entry.offset() < SECTION || !self.file.holds(entry.offset(), BITMAP) => {
                let what = format!("sector bitmap block {chunk} lies outside the file or inside its headers");
                self.damage(number, what);
            }
            (true, true) => {
                let (start, end) = (entry.offset(), entry.offset() + BITMAP);
                self.used.push(Used { start, end, by: User::Bitmap(chunk) });
            }
        }
    }

    /// What uses the same bytes as something else.
    fn overlaps(&mut self) {
        self.used.sort_unstable_by_key(|used| used.start);
        let mut last: Option<Used> = None;
        for used in &self.used {
            if let Some(last) = last.filter(|last| last.end > used.start) {
                self.check.add(damage(self.file, used.start, format!("{} overlaps {}", used.by, last.by)));
            }
            if last.is_none_or(|last| last.end < used.end) {
                last = Some(*used);
            }
        }
    }

    /// What lies between and behind what is used.
    fn gaps(&self) -> Vec<Range<u64>> {
        let (mut gaps, mut position, size) = (Vec::new(), 0, self.file.size());
        for used in self.used.iter().filter(|used| used.start < size) {
            gaps.push(position..used.start);
            position = position.max(used.end);
        }
        gaps.push(position..size);
        gaps.retain(|gap| !gap.is_empty());
        gaps
    }
}
