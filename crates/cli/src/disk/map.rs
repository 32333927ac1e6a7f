//! `anyvisor disk map`.

use super::args::Map;
use super::source::{Opened, same_file};
use crate::exit::Exit;
use crate::output::clean;
use anyhow::{Context as _, Result};
use block::{ExtentKind, FileLocation};
use image::ImageLayer;
use serde::Serialize;
use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// How much of the disk is asked for at once, in bytes: more and more while there is little to say of it. The most
/// bounds the answer for a disk that turns dense.
const WINDOW: Range<u64> = 64 << 20..1 << 30;
/// An answer of so few pieces says that more can be asked for.
const SPARSE: usize = 4;

/// A run of the disk, with the fields that `qemu-img map --output=json` has, and the file's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Run {
    /// In bytes of the disk.
    start: u64,
    /// In bytes.
    length: u64,
    /// Which image of the chain says so: 0 is the uppermost.
    depth: usize,
    /// Whether any image of the chain says anything.
    present: bool,
    /// Whether it reads as zeroes.
    zero: bool,
    /// Whether it is stored.
    data: bool,
    /// Where in the file it lies as it is: not compressed, not encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    /// The file in which it lies as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &Map) -> Result<Exit> {
    let opened = Opened::open(&args.image, &args.options)?;
    let mut output = BufWriter::new(io::stdout().lock());
    let written = match args.json {
        true => json(&opened, &mut output),
        false => table(&opened, &mut output),
    };
    match written.and_then(|()| Ok(output.flush()?)) {
        Err(error) if is_broken_pipe(&error) => {}
        other => other?,
    }
    Ok(Exit::Done)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// One run at a time: the map of a large disk is not held in memory.
fn json(opened: &Opened, output: &mut impl Write) -> Result<()> {
    let mut separator = "[";
    walk(opened, &mut |run| {
        write!(output, "{separator}{}", serde_json::to_string(run)?)?;
        separator = ",\n";
        Ok(())
    })?;
    let head = if separator == "[" { "[" } else { "" };
    Ok(writeln!(output, "{head}]")?)
}

fn table(opened: &Opened, output: &mut impl Write) -> Result<()> {
    writeln!(output, "{:>18} {:>18}  {:<6} {:>5}  where", "start", "length", "what", "image")?;
    walk(opened, &mut |run| {
        let what = match run {
            Run { data: true, .. } => "data",
            Run { present: true, .. } => "zero",
            _ => "absent",
        };
        let place = match (run.offset, &run.filename) {
            (Some(offset), Some(name)) => format!("  {} at {offset:#x}", clean(name)),
            (Some(offset), None) => format!("  at {offset:#x}"),
            _ => String::new(),
        };
        Ok(writeln!(output, "{:>#18x} {:>#18x}  {what:<6} {:>5}{place}", run.start, run.length, run.depth)?)
    })
}

/// Hands on the runs of the disk in order, each as long as it can be.
fn walk(opened: &Opened, see: &mut dyn FnMut(&Run) -> Result<()>) -> Result<()> {
    let size = opened.image.info().virtual_size;
    let mut names = Names { files: opened.files(), known: Vec::new() };
    let mut pending: Option<Run> = None;
    let (mut position, mut window) = (0, WINDOW.start);
    while position < size {
        let end = position.saturating_add(window).min(size);
        let mut runs = Vec::new();
        collect(opened.image.layers(), 0, position..end, &mut names, &mut runs)?;
        window = if runs.len() <= SPARSE { (window * 2).min(WINDOW.end) } else { WINDOW.start };
        for next in runs {
            match &mut pending {
                Some(last) if continues(last, &next) => last.length += next.length,
                _ => {
                    if let Some(last) = pending.replace(next) {
                        see(&last)?;
                    }
                }
            }
        }
        position = end;
    }
    pending.map_or(Ok(()), |last| see(&last))
}

/// Whether `next` is more of the same.
fn continues(last: &Run, next: &Run) -> bool {
    let kind = |run: &Run| (run.depth, run.present, run.zero, run.data);
    let in_a_row = match (last.offset, next.offset) {
        (Some(here), Some(there)) => here + last.length == there && last.filename == next.filename,
        (here, there) => here == there,
    };
    kind(last) == kind(next) && in_a_row
}

/// Adds what the image at `depth` and those below it say of `range`.
fn collect(
    layers: &[ImageLayer],
    depth: usize,
    range: Range<u64>,
    names: &mut Names,
    runs: &mut Vec<Run>,
) -> Result<()> {
    let Some(layer) = layers.get(depth) else { return Ok(()) };
    // A parent may be smaller than its child, which reads zeroes behind the parent's end.
    let end = range.end.min(layer.own.size()).max(range.start);
    let extents = if end > range.start {
        layer
            .own
            .extents(range.start..end)
            .with_context(|| format!("cannot map the disk at byte {}", range.start))?
    } else {
        Vec::new()
    };
    for extent in extents {
        let absent = matches!(extent.kind, ExtentKind::Absent);
        if absent && depth + 1 < layers.len() {
            collect(layers, depth + 1, extent.range, names, runs)?;
            continue;
        }
        let location = match extent.kind {
            ExtentKind::Data(Some(ref location)) => Some(location),
            _ => None,
        };
        runs.push(Run {
            start: extent.range.start,
            length: extent.len(),
            depth,
            present: !absent,
            zero: !extent.is_data(),
            data: extent.is_data(),
            offset: location.map(|location| location.offset),
            filename: location.and_then(|location| names.of(location)),
        });
    }
    if end < range.end {
        // It is the child that reads zeroes there.
        let (start, length, depth) = (end, range.end - end, depth.saturating_sub(1));
        let filename = None;
        runs.push(Run {
            start,
            length,
            depth,
            present: false,
            zero: true,
            data: false,
            offset: None,
            filename,
        });
    }
    Ok(())
}

/// What open files are called.
struct Names {
    /// The files of the chain.
    files: Vec<(PathBuf, Metadata)>,
    /// Those that were met already.
    known: Vec<(Arc<File>, Option<String>)>,
}

impl Names {
    fn of(&mut self, location: &FileLocation) -> Option<String> {
        if let Some((_, name)) = self.known.iter().find(|(file, _)| Arc::ptr_eq(file, &location.file)) {
            return name.clone();
        }
        let metadata = location.file.metadata().ok();
        let found =
            self.files.iter().find(|(_, file)| metadata.as_ref().is_some_and(|own| same_file(own, file)));
        let name = found.map(|(path, _)| path.to_string_lossy().into_owned());
        self.known.push((Arc::clone(&location.file), name.clone()));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u64, length: u64, offset: Option<u64>) -> Run {
        let data = offset.is_some();
        Run { start, length, depth: 0, present: true, zero: !data, data, offset, filename: None }
    }

    #[test]
    fn runs_join_only_where_the_file_goes_on_too() {
        assert!(continues(&run(0, 10, Some(100)), &run(10, 5, Some(110))));
        assert!(!continues(&run(0, 10, Some(100)), &run(10, 5, Some(111))));
        assert!(!continues(&run(0, 10, Some(100)), &run(10, 5, None)));
        assert!(continues(&run(0, 10, None), &run(10, 5, None)));
    }
}
