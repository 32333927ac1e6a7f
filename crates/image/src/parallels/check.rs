//! Looking for damage: clusters outside of the file, used twice, or used by nothing.

use super::allocation::AllocationTable;
use super::header::Header;
use super::{Reason, is_described};
use crate::bytes::Bytes;
use crate::check::{Check, Finding, Severity};
use crate::error::Result;
use crate::occupancy::{Claim, Occupancy};
use crate::open::Opening;

/// Adds what is wrong with an expanding image. A descriptor has nothing to be looked at beyond what opening it does.
pub(super) fn inspect(opening: &Opening<'_>, check: &mut Check) -> Result<()> {
    let source = &opening.source;
    if is_described(source)? {
        return Ok(());
    }
    let header = Header::read(source)?;
    let add = |check: &mut Check, severity, offset: u64, what: String| {
        let path = source.path.clone();
        check.add(Finding { severity, path, offset: Some(offset), what, repaired: false });
    };
    if header.in_use {
        let what = "it was not closed by whoever wrote it last".to_owned();
        add(check, Severity::Damage, 44, what);
    }
    let (data, cluster) = (header.data_offset, header.cluster);
    let units = source.size().saturating_sub(data).div_ceil(cluster);
    let mut occupancy = Occupancy::new(units);
    if let Some(unit) = header.extension.and_then(|offset| offset.checked_sub(data)) {
        occupancy.claim(unit / cluster);
    }
    // Dirty bitmaps occupy clusters too, which only their own tables know.
    let tell_leaks = header.extension.is_none();
    AllocationTable::new(source.clone(), header).present(&mut |number, offset| {
        let unit = offset.checked_sub(data).filter(|distance| distance.is_multiple_of(cluster));
        let what = match unit.map(|distance| occupancy.claim(distance / cluster)) {
            Some(Claim::First) => return,
            Some(Claim::Again) => format!("cluster {number} lies where something else does"),
            Some(Claim::Outside) => Reason::ClusterOutside { cluster: number }.to_string(),
            None => format!("cluster {number} lies outside the data area or at no cluster's start"),
        };
        add(check, Severity::Damage, offset, what);
    })?;
    for range in occupancy.unused().filter(|_| tell_leaks) {
        let what = format!("{} clusters are used by nothing", range.end - range.start);
        add(check, Severity::Leak, data + range.start * cluster, what);
    }
    Ok(())
}
