//! `anyvisor disk resize`.

use super::args::Resize;
use super::size::{NewSize, both};
use super::source::Opened;
use crate::exit::{Exit, Usage};
use crate::output::{print, print_json};
use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use std::path::Path;

/// What was done.
#[derive(Serialize)]
struct Resized<'a> {
    path: &'a Path,
    /// The disk's size before, in bytes.
    before: u64,
    /// And now.
    virtual_size: u64,
}

/// Runs the command.
pub(super) fn run(args: &Resize) -> Result<Exit> {
    let before = Opened::open(&args.image, &Default::default())?.image.info().virtual_size;
    let virtual_size = match args.size {
        NewSize::To(size) => size,
        NewSize::By(more) => before.checked_add(more).context("the disk would be beyond all measure")?,
    };
    ensure!(
        virtual_size.is_multiple_of(512),
        Usage(format!("{virtual_size} bytes are no whole number of sectors of 512"))
    );
    ensure!(
        virtual_size >= before || args.shrink,
        Usage(format!(
            "the disk has {} and would lose what lies behind {}; say --shrink if the guest no longer uses that",
            both(before),
            both(virtual_size)
        ))
    );
    if virtual_size != before {
        image::resize(&args.image, virtual_size)?;
    }
    match args.json {
        true => print_json(&Resized { path: &args.image, before, virtual_size })?,
        false => print(&format!("{}: {} → {}\n", args.image.display(), both(before), both(virtual_size)))?,
    }
    Ok(Exit::Done)
}
