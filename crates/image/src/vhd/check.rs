//! Looking for damage ([`inspect`]) and repairing what is safe to repair ([`repair`]).

use super::footer::{FOOTER, Kind, SECTOR};
use super::survey::{Survey, Trouble};
use crate::bytes::{Bytes, Stored};
use crate::check::Check;
use crate::error::Result;
use crate::open::Opening;
use crate::storage::Storage;
use std::path::Path;
use zerocopy::IntoBytes;

/// Adds what is wrong with the image to `check`.
pub(super) fn inspect(opening: &Opening<'_>, check: &mut Check) -> Result<()> {
    let file = &opening.source;
    Survey::take(file, &mut |trouble| check.add(trouble.finding(&file.path, false))).map(drop)
}

/// Writes a footer that is damaged anew from its copy, and cuts off what nothing uses behind the last block. Any other
/// damage leaves it open which of the structures are right: then nothing is changed.
pub(super) fn repair(storage: &dyn Storage, path: &Path, check: &mut Check) -> Result<()> {
    let file = Stored::new(storage, path)?;
    let mut troubles = Vec::new();
    let mut others = 0;
    let survey = Survey::take(&file, &mut |trouble| match trouble {
        Trouble::LastFooter { .. } | Trouble::FirstFooter => troubles.push(trouble),
        Trouble::Leak { ref range } if ends_before_footer(&file, range.end) => troubles.push(trouble),
        other => {
            others += u64::from(other.is_damage());
            check.add(other.finding(path, false));
        }
    })?;
    if others == 0 {
        mend(&file, &survey, &troubles)?;
    }
    troubles.iter().for_each(|trouble| check.add(trouble.finding(path, others == 0)));
    Ok(())
}

/// Whether only a footer of usual length stands behind `end`.
fn ends_before_footer(file: &Stored<'_>, end: u64) -> bool {
    end + FOOTER == file.size()
}

fn mend(file: &Stored<'_>, survey: &Survey, troubles: &[Trouble]) -> Result<()> {
    let footer = survey.footer.raw;
    for trouble in troubles {
        match trouble {
            // Over what is left of it, or behind the last block, where it would be next anyway.
            Trouble::LastFooter { offset } if survey.footers.last.is_some() => {
                file.write(footer.as_bytes(), *offset)?;
                file.flush()?;
            }
            Trouble::LastFooter { .. } | Trouble::Leak { .. } => {
                let end = survey.end.next_multiple_of(SECTOR);
                file.write(footer.as_bytes(), end)?;
                file.flush()?;
                file.set_len(end + FOOTER)?;
                file.flush()?;
            }
            _ => {}
        }
    }
    let copy = survey.footers.first.as_ref().map(|first| first.footer);
    // They may also differ where a change in place was interrupted.
    if footer_has_copy(survey) && copy != Some(footer) {
        file.write(footer.as_bytes(), 0)?;
        file.flush()?;
    }
    Ok(())
}

fn footer_has_copy(survey: &Survey) -> bool {
    survey.footer.kind != Kind::Fixed
}
