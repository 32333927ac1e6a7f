//! Looking for damage, and repairing what is safe: blocks outside of the file, used twice, or used by nothing.

use super::edit::Editor;
use super::header::Header;
use super::map::{BlockMap, ZERO};
use crate::bytes::Bytes;
use crate::check::{Check, Finding, Severity};
use crate::error::Result;
use crate::occupancy::{Claim, Occupancy};
use crate::open::Opening;
use crate::storage::Storage;
use std::path::{Path, PathBuf};

/// Adds what is wrong with the image.
pub(super) fn inspect(opening: &Opening<'_>, check: &mut Check) -> Result<()> {
    let source = &opening.source;
    let (_, header) = Header::read(source)?;
    let places = source.size().saturating_sub(header.data_offset).div_ceil(header.stride());
    let mut survey = Survey::new(&header, places, &source.path);
    BlockMap::new(source.clone(), header).entries(&mut |block, entry| survey.entry(block, entry))?;
    survey.finish().into_iter().for_each(|finding| check.add(finding));
    Ok(())
}

/// Repairs the number of blocks and moves blocks down to where nothing is, so that the file has no more than it needs.
/// Where the map itself is damaged nothing is done.
pub(super) fn repair(storage: &dyn Storage, path: &Path, check: &mut Check) -> Result<()> {
    let mut editor = Editor::open(storage, path)?;
    let survey = survey(&editor)?;
    let sound = survey.is_sound();
    let used = survey.used();
    let findings = survey.finish();
    let repaired = sound && !findings.is_empty();
    if repaired {
        compact(&mut editor, used)?;
    }
    findings.into_iter().for_each(|finding| check.add(Finding { repaired, ..finding }));
    Ok(())
}

/// What the map of an image says.
pub(super) fn survey(editor: &Editor<'_>) -> Result<Survey> {
    let mut survey = Survey::new(&editor.header, editor.places(), editor.path());
    editor.entries(&mut |block, entry| survey.entry(block, entry))?;
    Ok(survey)
}

/// Gathers what a block map says, entry by entry.
pub(super) struct Survey {
    header: Header,
    path: PathBuf,
    occupancy: Occupancy,
    /// One behind the highest place that is used.
    end: u64,
    damages: Vec<Finding>,
    /// How much damage there is; not all of it need be told.
    damaged: u64,
}

/// How much damage is told.
const MAX_FINDINGS: usize = 1000;

impl Survey {
    fn new(header: &Header, places: u64, path: &Path) -> Self {
        let (header, path) = (header.clone(), path.to_path_buf());
        let mut survey =
            Self { header, path, occupancy: Occupancy::new(places), end: 0, damages: Vec::new(), damaged: 0 };
        let map_end = survey.header.map_offset + survey.header.blocks() * 4;
        let header_end = size_of::<super::header::RawHeader>() as u64;
        if map_end > survey.header.data_offset || survey.header.map_offset < header_end {
            survey
                .damage(survey.header.map_offset, "the block map lies where something else does".to_owned());
        }
        survey
    }

    fn entry(&mut self, block: u64, place: u32) {
        if place >= ZERO {
            return;
        }
        let what = match self.occupancy.claim(place.into()) {
            Claim::First => {
                self.end = self.end.max(u64::from(place) + 1);
                return;
            }
            Claim::Again => format!("block {block} lies in place {place}, where another one does"),
            Claim::Outside => format!("block {block} lies in place {place}, which is outside the file"),
        };
        self.damage(self.header.map_offset + block * 4, what);
    }

    fn damage(&mut self, offset: u64, what: String) {
        self.damaged += 1;
        if self.damages.len() < MAX_FINDINGS {
            self.damages.push(self.finding(Severity::Damage, offset, what));
        }
    }

    fn finding(&self, severity: Severity, offset: u64, what: String) -> Finding {
        Finding { severity, path: self.path.clone(), offset: Some(offset), what, repaired: false }
    }

    /// Whether each block has a place of its own within the file.
    pub(super) fn is_sound(&self) -> bool {
        self.damaged == 0
    }

    /// How many places are used.
    fn used(&self) -> u64 {
        self.occupancy.used()
    }

    /// What was found.
    fn finish(mut self) -> Vec<Finding> {
        // A new block is put behind those that are counted.
        let (allocated, end) = (u64::from(self.header.allocated), self.end);
        if allocated < end {
            self.damage(
                0x184,
                format!("{allocated} blocks are counted of {end}: a new one would overwrite one"),
            );
        }
        let mut findings = std::mem::take(&mut self.damages);
        for range in self.occupancy.unused().take(MAX_FINDINGS) {
            let offset = self.header.data_offset + range.start * self.header.stride();
            let what = format!("{} blocks are used by nothing", range.end - range.start);
            findings.push(self.finding(Severity::Leak, offset, what));
        }
        findings
    }
}

/// Moves the blocks of a sound image together, so that they fill its first `used` places, counts them and cuts the
/// file behind them. A block is there twice before the map says its new place.
fn compact(editor: &mut Editor<'_>, used: u64) -> Result<()> {
    let mut taken = Occupancy::new(used);
    let mut high = Vec::new();
    editor.entries(&mut |block, place| {
        if place < ZERO && taken.claim(place.into()) == Claim::Outside {
            high.push((block, place));
        }
    })?;
    let holes = taken.unused().flatten();
    let moves: Vec<_> = high.into_iter().zip(holes).collect();
    for ((_, from), to) in &moves {
        editor.copy_block(*from, *to as u32)?;
    }
    editor.flush()?;
    for ((block, _), to) in &moves {
        editor.set_entry(*block, *to as u32)?;
    }
    editor.switch(|header| header.allocated = (used as u32).into())?;
    editor.set_len(editor.header.data_offset + used * editor.header.stride())?;
    editor.flush()
}
