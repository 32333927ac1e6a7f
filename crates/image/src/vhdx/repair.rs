//! Repairing what is safe to repair in an image: [`repair`].

use super::header::{Header, Headers};
use super::inspect::{self, damage, leak};
use super::region::{self, RegionTable};
use super::{Structure, replay};
use crate::bytes::Stored;
use crate::check::{Check, Finding};
use crate::error::Result;
use crate::storage::Storage;
use std::path::Path;

/// Replays a dirty log, writes damaged copies of the header and the region table anew from the good ones, and gives back
/// room that nothing uses.
///
/// A crash at any moment leaves an image that reads the same, and can be repaired again.
pub(super) fn repair(storage: &dyn Storage, path: &Path, check: &mut Check) -> Result<()> {
    let file = Stored::new(storage, path)?;
    let mut headers = Headers::read(&file)?;
    let damaged: Vec<u64> = headers.damaged().collect();
    let log = headers.current().log(&file).map_or(0, |log| log.offset);
    let replayed = replay::write(&file, &mut headers)?;
    if replayed > 0 {
        let what = format!("{replayed} entries of the log had not been replayed");
        check.add(Finding { repaired: true, ..damage(&file, log, what) });
    }
    let good = RegionTable::read(&file)?;
    let mut stale = Vec::new();
    for offset in region::OFFSETS {
        if region::read_copy(&file, offset)?.is_none_or(|copy| copy != good.as_bytes()) {
            stale.push(offset);
        }
    }
    if !damaged.is_empty() || !stale.is_empty() {
        // Every change to a file begins with its header.
        headers.update(&file, Header::renew)?;
        headers.update(&file, |_| {})?;
    }
    for offset in damaged {
        let what = "this copy of the header was damaged";
        check.add(Finding { repaired: true, ..damage(&file, offset, what) });
    }
    for offset in stale {
        file.write(good.as_bytes(), offset)?;
        let what = "this copy of the region table was damaged or another one";
        check.add(Finding { repaired: true, ..damage(&file, offset, what) });
    }
    file.flush()?;
    let structure = Structure::behind(&file, headers, replayed)?;
    reclaim(&file, &structure, check)
}

/// Gives back the room that nothing uses, unless what uses the rest is in doubt.
fn reclaim(file: &Stored<'_>, structure: &Structure, check: &mut Check) -> Result<()> {
    let before = check.damages;
    let gaps = inspect::unused(file, structure, check)?;
    if check.damages > before {
        return Ok(());
    }
    for gap in gaps {
        let bytes = file.discard(gap.clone())?;
        if bytes > 0 {
            check.add(Finding { repaired: true, ..leak(file, gap.start, bytes) });
        }
    }
    Ok(())
}
