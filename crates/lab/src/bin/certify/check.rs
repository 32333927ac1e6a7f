//! A run that publishes nothing: are the rows what they are expected to be, here and now?

use crate::cell::{self, Cell};
use crate::row::Row;
use crate::store::Store;
use crate::{lock, run, say};
use anyhow::{Context as _, Result, ensure};
use std::path::Path;
use std::sync::Mutex;

/// Runs the rows, `jobs` at a time, and judges each by its evidence, as a reader of the table would: it has to be signed and of
/// what the row says. Evidence of earlier runs does not count, and none is kept.
pub(crate) fn check(root: &Path, rows: &[Row], jobs: usize, code: &str) -> Result<()> {
    let evidence = tempfile::tempdir().context("cannot create a directory for the evidence")?;
    let store = Mutex::new(Store::open(evidence.path().to_path_buf())?);
    run(rows, jobs, root, &store, code)?;
    let cells = rows.iter().map(|row| cell::read(row, &lock(&store), code)).collect::<Result<Vec<Cell>>>()?;
    for cell in &cells {
        say(line(cell));
    }
    let failures = cells.iter().filter(|cell| !counts(cell)).count();
    ensure!(failures == 0, "{failures} of {} rows came out otherwise than expected", cells.len());
    Ok(())
}

fn counts(cell: &Cell) -> bool {
    cell.known.as_ref().is_some_and(cell::Known::counts)
}

/// A row in one line: whether it is as expected, and what was seen.
fn line(cell: &Cell) -> String {
    let verdict = if counts(cell) { "as expected" } else { "OTHERWISE THAN EXPECTED" };
    let Some(known) = &cell.known else {
        return format!("{verdict}: {}: no evidence", cell.name);
    };
    let said = known.cause.iter().chain(&known.drivers).chain(&known.addresses).map(String::as_str);
    let reservations = known.reservations();
    let details: Vec<&str> = said.chain(reservations.iter().map(String::as_str)).collect();
    format!("{verdict}: {}: {} ({})", cell.name, known.grade, details.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::{Known, Seal};
    use profile::Grade;

    fn cell(expected: bool, seal: Seal) -> Cell {
        let known = Known {
            grade: Grade::BootedEquivalent,
            cause: None,
            expected,
            drivers: vec!["virtio_scsi".into()],
            addresses: vec!["10.0.2.192/24".into()],
            seconds: None,
            day: String::new(),
            seal,
            stale: Vec::new(),
        };
        let (name, target) = ("a--kvm".to_owned(), "kvm".to_owned());
        Cell { name, guest: "a", target, control: false, known: Some(known) }
    }

    #[test]
    fn a_line_says_what_was_seen() {
        let line = line(&cell(true, Seal::Signed("key".into())));
        assert_eq!(line, "as expected: a--kvm: booted-equivalent (virtio_scsi, 10.0.2.192/24)");
    }

    #[test]
    fn what_is_unexpected_unsigned_or_unseen_does_not_count() {
        assert!(!counts(&cell(false, Seal::Signed("key".into()))));
        assert!(line(&cell(true, Seal::Unsigned)).starts_with("OTHERWISE THAN EXPECTED: a--kvm: "));
        assert!(!counts(&Cell { known: None, ..cell(true, Seal::Unsigned) }));
    }
}
