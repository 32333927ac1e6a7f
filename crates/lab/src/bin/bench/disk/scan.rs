//! The rows that only read: digests and comparisons, against reading the file.

use super::Bench;
use super::pair::{Goal, Kind};
use super::report::Row;
use super::timed::{Contender, in_turns, time};
use super::work::warm;
use crate::say;
use anyhow::Result;
use std::process::Command;

/// Measures them; those whose command this build does not have are left out.
pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    if !bench.wants("checksum") && !bench.wants("compare") {
        return Ok(Vec::new());
    }
    let other = bench.file(&Kind::Qcow2.file("same"));
    time(&mut bench.convert(&bench.disk, &other, Kind::Qcow2.ours()))?;
    warm(&other)?;
    warm(&bench.disk)?;
    let anyvisor = |arguments: &[&str]| {
        let mut command = Command::new(&bench.anyvisor);
        command.arg("disk").args(arguments).arg(&bench.disk);
        command
    };
    let read = || {
        let mut command = Command::new("dd");
        command.args(["bs=1M", "of=/dev/null"]).arg(format!("if={}", bench.disk.display()));
        command
    };
    let qemu = || {
        let mut command = Command::new("qemu-img");
        command.args(["compare", "-f", "raw", "-F", "qcow2"]).args([&bench.disk, &other]);
        command
    };
    let compare = || {
        let mut command = anyvisor(&["compare"]);
        command.arg(&other);
        command
    };
    let rows = [
        (
            "checksum blake3",
            vec![
                Contender::new("anyvisor", || anyvisor(&["checksum"])),
                Contender::new("dd of=/dev/null", read),
            ],
        ),
        (
            "checksum sha256",
            vec![
                Contender::new("anyvisor", || anyvisor(&["checksum", "--algorithm", "sha256"])),
                Contender::new("dd of=/dev/null", read),
            ],
        ),
        (
            "compare raw qcow2",
            vec![
                Contender::new("anyvisor", compare),
                Contender::new("qemu-img", qemu),
                Contender::new("dd of=/dev/null", read),
            ],
        ),
    ];
    let mut measured = Vec::new();
    for (name, contenders) in rows.into_iter().filter(|(name, _)| bench.wants(name)) {
        let runs = in_turns(&contenders, bench.options.runs);
        let row = Row::new(name.to_owned(), Goal::None, runs, [0; 2]);
        say(&row.to_string());
        measured.push(row);
    }
    Ok(measured)
}
