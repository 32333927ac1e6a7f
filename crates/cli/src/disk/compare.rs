//! `anyvisor disk compare`.

use super::args::Compare;
use super::size::both;
use super::source::Opened;
use super::watched::Watched;
use crate::exit::{self, Exit};
use crate::output::{clean, print, print_json};
use crate::progress;
use anyhow::Result;
use serde::Serialize;
use std::path::Path;

/// What came of it.
#[derive(Serialize)]
struct Compared<'a> {
    first: Side<'a>,
    second: Side<'a>,
    /// Whether a guest would see the same.
    same: bool,
    /// The first byte that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

#[derive(Serialize)]
struct Side<'a> {
    path: &'a Path,
    /// The disk's size in bytes.
    virtual_size: u64,
}

/// Runs the command. 1 is an answer here, so that what fails is 2.
pub(super) fn run(args: &Compare) -> Exit {
    compare(args).unwrap_or_else(|error| match exit::report(&error) {
        Exit::Refused => Exit::Refused,
        _ => Exit::Usage,
    })
}

fn compare(args: &Compare) -> Result<Exit> {
    let first = Opened::open(&args.first, &args.first_options())?;
    let second = Opened::open(&args.second, &args.second_options())?;
    let sizes = [&first, &second].map(|opened| opened.image.info().virtual_size);
    let progress =
        progress::patient(&format!("comparing {} and {}", args.first.display(), args.second.display()));
    progress.start(sizes[0].saturating_add(sizes[1]));
    let [one, other] = [first.image, second.image].map(|image| Watched::new(image, progress.as_ref()));
    let offset = image::compare(&one, &other, args.threads.count())?;
    drop(progress);
    let same = offset.is_none() && (sizes[0] == sizes[1] || !args.strict);
    let side = |path, virtual_size| Side { path, virtual_size };
    let compared =
        Compared { first: side(&args.first, sizes[0]), second: side(&args.second, sizes[1]), same, offset };
    match args.json {
        true => print_json(&compared)?,
        false => print(&text(&compared))?,
    }
    Ok(if same { Exit::Done } else { Exit::Failed })
}

fn text(compared: &Compared<'_>) -> String {
    let Compared { first, second, .. } = compared;
    let name = |side: &Side<'_>| clean(&side.path.to_string_lossy());
    let pair = format!("{} and {}", name(first), name(second));
    let mut text = match compared.offset {
        None => format!("{pair} hold the same\n"),
        Some(offset) => format!("{pair} differ first at byte {offset}\n"),
    };
    if first.virtual_size != second.virtual_size {
        text += &format!(
            "  their sizes differ: {} and {}\n",
            both(first.virtual_size),
            both(second.virtual_size)
        );
    }
    text
}
