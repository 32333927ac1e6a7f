//! `anyvisor disk create`.

use super::args::Create;
use super::convert::new_image;
use super::size::both;
use super::source::Opened;
use crate::exit::{Exit, Usage};
use crate::output::{print, print_json};
use anyhow::{Context as _, Result};
use image::NewParent;
use serde::Serialize;
use std::path::Path;

/// What was made.
#[derive(Serialize)]
struct Created<'a> {
    path: &'a Path,
    format: &'static str,
    /// The disk's size in bytes.
    virtual_size: u64,
    /// What it stands on, as it says itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    backing: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &Create) -> Result<Exit> {
    let mut new = new_image(&args.target, &args.new)?;
    if let Some(backing) = &args.backing {
        let wanted = super::args::Source { from: args.backing_format, ..Default::default() };
        let opened = Opened::open(backing, &wanted)?;
        let parent = NewParent::new(&args.target, backing, opened.image.info());
        new.parent = Some(parent.with_context(|| format!("cannot name {}", backing.display()))?);
    }
    let parent_size = new.parent.as_ref().map(|parent| parent.virtual_size);
    let size = args.size.or(parent_size).ok_or_else(|| Usage("a new disk needs its --size".to_owned()))?;
    image::create(&args.target, size, &new)?;
    let backing = new.parent.map(|parent| parent.name);
    let created = Created { path: &args.target, format: new.format.name, virtual_size: size, backing };
    match args.json {
        true => print_json(&created)?,
        false => {
            print(&format!(
                "{}: {}, {}\n",
                created.path.display(),
                created.format,
                both(created.virtual_size)
            ))?;
        }
    }
    Ok(Exit::Done)
}
