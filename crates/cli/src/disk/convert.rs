//! `anyvisor disk convert`.

use super::args::{Chain, Convert, Target};
use super::size::both;
use super::source::{Opened, same_file};
use crate::exit::{Exit, Usage};
use crate::output::{clean, print, print_json, size};
use crate::progress;
use anyhow::{Context as _, Result, ensure};
use image::{ConvertedImage, CopyOptions, CopyReport, Format, Image, NewImage};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// What was made.
#[derive(Serialize)]
struct Made<'a> {
    path: &'a Path,
    format: &'static str,
    #[serde(flatten)]
    report: CopyReport,
    /// The images that it stands on, the root first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parents: Vec<ConvertedImage>,
}

/// Runs the command.
pub(super) fn run(args: &Convert) -> Result<Exit> {
    ensure!(
        args.chain == Chain::Flatten || !args.checksum,
        Usage("--checksum is of one disk, and --chain keep makes an image of each layer".to_owned())
    );
    let mut new = new_image(&args.target, &args.new)?;
    new.compression = args.compress.map(Into::into);
    let opened = Opened::open(&args.source, &args.options)?;
    check_target(args, &opened)?;
    let made = convert(args, opened.image, &new)?;
    match args.json {
        true => print_json(&made)?,
        false => print(&text(&made))?,
    }
    Ok(Exit::Done)
}

fn convert<'a>(args: &'a Convert, image: Image, new: &NewImage) -> Result<Made<'a>> {
    let (path, format, options) = (args.target.as_path(), new.format.name, options(args));
    let progress = progress::patient(&format!("copying {}", args.source.display()));
    let mut converted = match args.chain {
        Chain::Keep => image::convert_chain(&image, path, new, &options, progress.as_ref())?,
        Chain::Flatten => {
            let report = image::copy(Arc::new(image), path, new, &options, progress.as_ref())?;
            return Ok(Made { path, format, report, parents: Vec::new() });
        }
    };
    let top = converted.pop().context("the chain has no image")?;
    Ok(Made { path, format, report: top.report, parents: converted })
}

/// What an image at `target` is to be.
///
/// # Errors
/// Wrong usage: its ending says nothing of its format.
pub(super) fn new_image(target: &Path, new: &Target) -> Result<NewImage> {
    let format = match new.to {
        Some(format) => format,
        None => by_ending(target)?,
    };
    Ok(NewImage {
        subformat: new.subformat.clone(),
        cluster_size: new.cluster_size,
        preallocate: new.preallocate,
        data_file: new.data_file,
        ..NewImage::new(format)
    })
}

fn by_ending(target: &Path) -> Result<&'static Format> {
    let writable: Vec<_> = image::FORMATS.iter().filter(|format| format.is_writable()).collect();
    let ending = target.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let found = image::by_name(ending).filter(|format| format.is_writable());
    found.ok_or_else(|| {
        let names: Vec<_> = writable.iter().map(|format| format.name).collect();
        Usage(format!(
            "the ending of {} says no format that can be written; say --to {}",
            target.display(),
            names.join("|")
        ))
        .into()
    })
}

/// Refuses to replace what is no plain file, or what the source is made of.
fn check_target(args: &Convert, opened: &Opened) -> Result<()> {
    let target = &args.target;
    if args.chain == Chain::Keep && args.force {
        check_directory(target, opened)?;
    }
    // What stands there and may not be replaced is the copy's to refuse.
    let Ok(metadata) = target.metadata() else { return Ok(()) };
    ensure!(
        metadata.is_file(),
        Usage(format!("{} is not a regular file, and only those are written", target.display()))
    );
    let own = opened.files().into_iter().find(|(_, file)| same_file(file, &metadata));
    own.map_or(Ok(()), |(path, _)| {
        Err(Usage(format!("{} belongs to the source ({})", target.display(), path.display())).into())
    })
}

/// Images below the source keep their names, so that in one directory new ones could replace them.
fn check_directory(target: &Path, opened: &Opened) -> Result<()> {
    let directory = |path: &Path| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new(".")).metadata().ok()
    };
    let here = directory(target);
    let shared = opened.files().into_iter().find(|(path, _)| {
        let there = directory(path);
        here.as_ref().zip(there.as_ref()).is_some_and(|(here, there)| same_file(here, there))
    });
    shared.map_or(Ok(()), |(path, _)| {
        Err(Usage(format!(
            "with --chain keep and --force the target must lie in another directory than {}",
            path.display()
        ))
        .into())
    })
}

fn options(args: &Convert) -> CopyOptions {
    let usual = CopyOptions::default();
    CopyOptions {
        threads: args.threads.count(),
        digest: args.checksum,
        overwrite: args.force,
        sync: !args.no_sync,
        ..usual
    }
}

fn text(made: &Made<'_>) -> String {
    let CopyReport { virtual_size, file_bytes, blake3, duration, .. } = &made.report;
    let mut text = format!(
        "{}\n  format        {}\n  virtual size  {}\n  on disk       {}\n",
        made.path.display(),
        made.format,
        both(*virtual_size),
        both(*file_bytes)
    );
    if let Some(digest) = blake3 {
        text += &format!("  BLAKE3        {}\n", digest.to_hex());
    }
    for parent in &made.parents {
        text += &format!(
            "  stands on     {}, {}\n",
            clean(&parent.path.to_string_lossy()),
            size(parent.report.file_bytes)
        );
    }
    text + &format!("  took          {:.1} s\n", duration.as_secs_f64())
}
