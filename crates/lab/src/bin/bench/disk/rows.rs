//! The rows that convert the disk, in the page cache, from every format to every other.

use super::Bench;
use super::pair::{Goal, Kind};
use super::report::Row;
use super::timed::{Contender, in_turns, time};
use super::work::warm;
use crate::say;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Measures every pair.
pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for from in [Kind::PLAIN.as_slice(), &[Kind::VmdkStream]].concat() {
        let targets: Vec<Kind> = targets(bench, from);
        let wanted: Vec<Kind> = targets.into_iter().filter(|to| bench.wants(&name(from, *to))).collect();
        if wanted.is_empty() {
            continue;
        }
        let source = source(bench, from)?;
        for to in wanted {
            let row = pair(bench, from, to, &source)?;
            say(&row.to_string());
            rows.push(row);
        }
        if source != bench.disk {
            fs::remove_file(&source).with_context(|| format!("cannot remove {}", source.display()))?;
        }
    }
    Ok(rows)
}

fn targets(bench: &Bench, from: Kind) -> Vec<Kind> {
    let quick = bench.options.quick;
    let packed = [Kind::VmdkStream, Kind::Qcow2Zlib, Kind::Qcow2Zstd];
    match from {
        Kind::Raw => [Kind::PLAIN.as_slice(), &packed].concat(),
        Kind::VmdkStream if quick => vec![Kind::Raw, Kind::Qcow2],
        _ if quick => vec![Kind::Raw],
        Kind::Qcow2 => [Kind::PLAIN.as_slice(), &packed].concat(),
        _ => Kind::PLAIN.to_vec(),
    }
}

fn name(from: Kind, to: Kind) -> String {
    format!("{} -> {}", from.name(), to.name())
}

/// The disk as an image of a kind, in the page cache.
fn source(bench: &Bench, kind: Kind) -> Result<PathBuf> {
    let path = match kind {
        Kind::Raw => bench.disk.clone(),
        _ => {
            let path = bench.file(&kind.file("source"));
            time(&mut bench.convert(&bench.disk, &path, kind.ours()))?;
            path
        }
    };
    warm(&path)?;
    Ok(path)
}

fn pair(bench: &Bench, from: Kind, to: Kind, source: &Path) -> Result<Row> {
    let ours = bench.file(&to.file("ours"));
    let theirs = bench.file(&to.file("theirs"));
    let copied = bench.file("copied.raw");
    let fresh = |target: &Path| {
        // That it is not there is as good.
        let _ = fs::remove_file(target);
    };
    let anyvisor = |threads: &'static str| {
        let (ours, fresh) = (&ours, &fresh);
        move || {
            fresh(ours);
            bench.convert(source, ours, &[to.ours(), &["--threads", threads]].concat())
        }
    };
    let qemu = |fast| {
        let (theirs, fresh) = (&theirs, &fresh);
        move || {
            fresh(theirs);
            to.qemu(from, source, theirs, fast)
        }
    };
    let mut contenders = vec![
        Contender::new("anyvisor, 2 threads", anyvisor("2")),
        Contender::new("anyvisor, 1 thread", anyvisor("1")),
        Contender::new("qemu-img", qemu(false)),
        Contender::new("qemu-img -W -m 16", qemu(true)),
    ];
    let goal = to.goal(from);
    if goal == Goal::Plain {
        let cp = || {
            fresh(&copied);
            let mut command = Command::new("cp");
            command.arg("--sparse=always").args([&bench.disk, &copied]);
            command
        };
        contenders.push(Contender::new("cp --sparse=always", cp));
    }
    let runs = in_turns(&contenders, bench.options.runs);
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let sizes = [bytes(&ours), bytes(&theirs)];
    [&ours, &theirs, &copied].into_iter().for_each(|path| fresh(path));
    Ok(Row::new(name(from, to), goal, runs, sizes))
}
