//! Repairing a hosted sparse extent in place: [`repair`].
//!
//! What one copy of the grain directory and the grain tables lacks is taken from the other, and the mark that the
//! extent was not closed is removed when nothing is left that is wrong. The guest's data is not touched.

use super::copies::{self, Fault, Mend};
use super::header::{DirectoryPlace, hosted};
use crate::bytes::{Bytes, Stored};
use crate::check::{Check, Finding, Severity};
use crate::error::Result;
use crate::storage::Storage;
use std::path::Path;
use zerocopy::IntoBytes;

/// Repairs the extent in `storage`, and adds to `check` what was wrong with it.
///
/// # Errors
/// [`Error::InPlace`](crate::Error::InPlace) when the file is no hosted sparse extent, or a stream.
pub(super) fn repair(storage: &dyn Storage, path: &Path, check: &mut Check) -> Result<()> {
    let file = Stored::new(storage, path)?;
    let Some((mut header, geometry)) = hosted(&file)? else {
        return Err(file.refused("repair", "only a hosted sparse extent has a second copy of its tables"));
    };
    if geometry.compressed {
        return Err(file.refused("repair", "a stream has no second copy of its tables"));
    }
    let mut unrepaired = false;
    let mut entries: Vec<(Fault, u32)> = Vec::new();
    if let (DirectoryPlace::At(directory), Some(redundant)) = (geometry.directory, geometry.redundant)
        && directory != redundant
    {
        copies::compare(&file, &geometry, (directory, redundant), &mut |fault| {
            match &fault.mend {
                Some(Mend::Entry(sector)) => {
                    let sector = *sector;
                    entries.push((fault, sector));
                    return Ok(());
                }
                Some(Mend::Table(table)) => file.write(table, fault.offset)?,
                None => unrepaired = true,
            }
            check.add(finding(&file, &fault, fault.mend.is_some()));
            Ok(())
        })?;
        file.flush()?;
    }
    for (fault, sector) in &entries {
        file.write(&sector.to_le_bytes(), fault.offset)?;
        check.add(finding(&file, fault, true));
    }
    if geometry.unclean {
        let what = "the extent was not closed by whoever wrote it last".to_owned();
        if !unrepaired {
            file.flush()?;
            header.unclean_shutdown = 0;
            file.write(header.as_bytes(), 0)?;
        }
        check.add(finding(&file, &Fault { offset: 0, what, mend: None }, !unrepaired));
    }
    file.flush()
}

fn finding(file: &Stored<'_>, fault: &Fault, repaired: bool) -> Finding {
    Finding {
        severity: Severity::Damage,
        path: file.path().to_path_buf(),
        offset: Some(fault.offset),
        what: fault.what.clone(),
        repaired,
    }
}
