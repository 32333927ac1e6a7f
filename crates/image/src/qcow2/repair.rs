//! Repairing what is safe to repair: reference counts and what follows of them ([`repair`]).
//!
//! They follow of the tables, so that they can be made anew as long as the tables themselves are sound. Where tables
//! lead outside the file or share clusters, nothing is touched: which of the two owners is right, no one here knows.

use super::audit::audit;
use super::header::Header;
use super::inspect::problems;
use super::rebuild::Rebuild;
use crate::bytes::Stored;
use crate::check::Check;
use crate::error::Result;
use crate::storage::Storage;
use std::path::Path;

/// Repairs an image in place; what was found and repaired is added to the check.
pub(super) fn repair(storage: &dyn Storage, path: &Path, check: &mut Check) -> Result<()> {
    let file = Stored::new(storage, path)?;
    let header = Header::read(&file)?;
    let mut found = Check::default();
    let mut sound = true;
    problems(&file, &header, &mut |offset, problem| {
        sound &= problem.is_about_counts();
        found.add(problem.finding(path, offset, false));
    })?;
    let any = found.leaks + found.damages > 0;
    let repaired = any && sound && rebuild(&file, &header)?;
    if repaired {
        found.findings.iter_mut().for_each(|finding| finding.repaired = true);
        found.repaired = found.leaks + found.damages;
    }
    check.leaks += found.leaks;
    check.damages += found.damages;
    check.repaired += found.repaired;
    check.findings.append(&mut found.findings);
    Ok(())
}

/// Makes the reference counts anew; `false` when they cannot be written.
fn rebuild(file: &Stored<'_>, header: &Header) -> Result<bool> {
    let census = audit(file, header, &mut |_, _| {})?;
    let end = crate::bytes::Bytes::size(file);
    let Ok(rebuild) = Rebuild::plan(census, header, end) else { return Ok(false) };
    rebuild.write(file)?;
    // A cluster that is shared must not be taken for one that may be written in place, before or after.
    rebuild.flags(file, header, false)?;
    rebuild.switch(file, header, |_| {})?;
    rebuild.flags(file, header, true)?;
    Ok(true)
}
