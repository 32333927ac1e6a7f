//! Checking an image's structure ([`inspect`]).

use super::audit::{Report, audit, compare, count_refcounts};
use super::header::Header;
use super::problem::Problem;
use super::refcounts::Refcounts;
use crate::bytes::Bytes;
use crate::check::Check;
use crate::error::Result;
use crate::open::Opening;

/// Adds everything that is wrong with the image's tables and reference counts.
pub(super) fn inspect(opening: &Opening<'_>, check: &mut Check) -> Result<()> {
    let file = &opening.source;
    let header = Header::read(file)?;
    problems(file, &header, &mut |offset, problem| check.add(problem.finding(&file.path, offset, false)))
}

/// Hands on everything that is wrong.
pub(super) fn problems(file: &impl Bytes, header: &Header, report: Report) -> Result<()> {
    let mut census = audit(file, header, report)?;
    let Some(refcounts) = Refcounts::read(file, header)? else {
        report(Some(header.refcounts.offset), Problem::RefcountTable);
        return Ok(());
    };
    count_refcounts(file, header, &refcounts, &mut census, report);
    compare(file, header, &refcounts, &census, report)
}
