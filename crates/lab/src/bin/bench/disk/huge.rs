//! The rows with disks of 64 TiB, or the most that a format can, of which 1 GiB is there.

use super::Bench;
use super::pair::Kind;
use super::report::Huge;
use super::timed::time;
use crate::say;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How many pieces of a mebibyte there are.
const PIECES: u64 = 1024;
/// The most that a VHD can hold, in bytes.
const LARGEST_VHD: u64 = 2040 << 30;
/// The largest file of the usual filesystem, in bytes: what a raw image can be here.
const LARGEST_RAW: u64 = 15 << 40;
/// What VMware allows, in bytes.
const LARGEST_VMDK: u64 = 62 << 40;

fn largest(kind: Kind) -> u64 {
    match kind {
        Kind::Raw => LARGEST_RAW,
        Kind::Vhd => LARGEST_VHD,
        Kind::Vmdk | Kind::VmdkStream => LARGEST_VMDK,
        _ => 64 << 40,
    }
}

/// Converts between every two formats.
pub(super) fn run(bench: &Bench, notes: &mut Vec<String>) -> Result<Vec<Huge>> {
    if !bench.wants("huge") {
        return Ok(Vec::new());
    }
    let kinds = if bench.options.quick { &Kind::PLAIN[..2] } else { &Kind::PLAIN[..] };
    let mut rows = Vec::new();
    let mut sizes: Vec<u64> = kinds.iter().map(|kind| largest(*kind)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    for size in sizes {
        let seed = seed(bench, size)?;
        for from in kinds.iter().copied().filter(|kind| largest(*kind) >= size) {
            let source = bench.file(&from.file("huge-source"));
            if let Err(error) = time(&mut bench.convert(&seed, &source, from.ours())) {
                notes.push(format!("{} of {} TiB: {error:#}", from.name(), size >> 40));
                continue;
            }
            // Every pair once, at the largest size that both have.
            let targets = kinds.iter().copied().filter(|to| largest(from).min(largest(*to)) == size);
            for to in targets {
                match row(bench, (from, &source), to, size) {
                    Ok(row) => rows.push(row),
                    Err(error) => notes.push(format!("{} -> {}: {error:#}", from.name(), to.name())),
                }
            }
            fs::remove_file(&source).context("cannot remove an image")?;
        }
        fs::remove_file(&seed).context("cannot remove an image")?;
    }
    Ok(rows)
}

fn row(bench: &Bench, from: (Kind, &Path), to: Kind, size: u64) -> Result<Huge> {
    let target = bench.file(&to.file("huge-target"));
    let timed = time(&mut bench.convert(from.1, &target, to.ours()));
    let _ = fs::remove_file(&target);
    let timed = timed?;
    let row = Huge {
        name: format!("huge: {} -> {}", from.0.name(), to.name()),
        virtual_bytes: size,
        seconds: timed.wall_seconds,
        peak_resident: timed.peak_resident,
    };
    say(&row.to_string());
    Ok(row)
}

/// A qcow2 image by QEMU of a disk of `size` bytes, with pieces of data all over it.
fn seed(bench: &Bench, size: u64) -> Result<PathBuf> {
    let path = bench.file("huge-seed.qcow2");
    let status = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .arg(&path)
        .arg(size.to_string())
        .status()
        .context("cannot run qemu-img")?;
    ensure!(status.success(), "qemu-img ended with {status}");
    let mut child = Command::new("qemu-io")
        .args(["-f", "qcow2", "-t", "unsafe"])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot run qemu-io")?;
    let mut input = child.stdin.take().context("qemu-io has no input")?;
    for piece in 0..PIECES {
        let offset = size / PIECES * piece / (1 << 20) * (1 << 20);
        writeln!(input, "write -P {} {offset} 1M", piece % 255 + 1).context("cannot tell qemu-io")?;
    }
    drop(input);
    let status = child.wait().context("cannot wait for qemu-io")?;
    ensure!(status.success(), "qemu-io ended with {status}");
    Ok(path)
}
