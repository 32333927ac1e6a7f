//! `anyvisor disk convert`.

use super::args::{Chain, Convert, Target};
use super::size::both;
use super::source::{Opened, same_file};
use crate::exit::{Exit, Usage};
use crate::output::{print, print_json};
use crate::progress;
use anyhow::{Result, ensure};
use image::{CopyOptions, CopyReport, Format, NewImage};
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
}

/// Runs the command.
pub(super) fn run(args: &Convert) -> Result<Exit> {
    let mut new = new_image(&args.target, &args.new)?;
    new.compression = args.compress.map(Into::into);
    let opened = Opened::open(&args.source, &args.options)?;
    check_target(&args.target, &opened)?;
    let options = options(args);
    let progress = progress::patient(&format!("copying {}", args.source.display()));
    let made = match args.chain {
        Chain::Keep => return Err(Usage("--chain keep is not supported yet".to_owned()).into()),
        Chain::Flatten => {
            let report =
                image::copy(Arc::new(opened.image), &args.target, &new, &options, progress.as_ref())?;
            Made { path: &args.target, format: new.format.name, report }
        }
    };
    drop(progress);
    match args.json {
        true => print_json(&made)?,
        false => print(&text(&made))?,
    }
    Ok(Exit::Done)
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
fn check_target(target: &Path, opened: &Opened) -> Result<()> {
    // What stands there and may not be replaced is the copy's to refuse.
    let Ok(metadata) = target.metadata() else { return Ok(()) };
    ensure!(
        metadata.is_file(),
        Usage(format!("{} is not a regular file, and only those are written", target.display()))
    );
    let own = opened.files().into_iter().find(|(_, file)| same_file(file, &metadata));
    match own {
        Some((path, _)) => {
            Err(Usage(format!("{} belongs to the source ({})", target.display(), path.display())).into())
        }
        None => Ok(()),
    }
}

fn options(args: &Convert) -> CopyOptions {
    let usual = CopyOptions::default();
    CopyOptions {
        threads: args.threads.map_or(usual.threads, usize::from),
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
    text + &format!("  took          {:.1} s\n", duration.as_secs_f64())
}
