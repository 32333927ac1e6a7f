//! `anyvisor disk info`.

use super::args::Info;
use super::size::both;
use super::source::Opened;
use crate::exit::Exit;
use crate::output::{clean, print, print_json, size};
use anyhow::Result;
use image::{LayerInfo, SnapshotInfo};
use serde::Serialize;
use std::path::Path;

/// What is known of an image.
#[derive(Serialize)]
struct Facts<'a> {
    path: &'a Path,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subformat: Option<&'a str>,
    /// The disk's size in bytes.
    virtual_size: u64,
    /// What all files of the chain take on their filesystem, in bytes.
    disk_size: u64,
    /// The uppermost image first.
    chain: Vec<Link<'a>>,
}

/// One image of the chain.
#[derive(Serialize)]
struct Link<'a> {
    #[serde(flatten)]
    info: &'a LayerInfo,
    /// What its own files take on their filesystem, in bytes.
    disk_size: u64,
}

/// Runs the command.
pub(super) fn run(args: &Info) -> Result<Exit> {
    let opened = Opened::open(&args.image, &args.options)?;
    let info = opened.image.info();
    let link = |layer| Link { info: layer, disk_size: opened.allocated(layer) };
    let chain: Vec<_> = info.layers.iter().map(link).collect();
    let facts = Facts {
        path: &args.image,
        format: info.format,
        subformat: info.subformat.as_deref(),
        virtual_size: info.virtual_size,
        disk_size: chain.iter().map(|link| link.disk_size).sum(),
        chain,
    };
    match args.json {
        true => print_json(&facts)?,
        false => print(&text(&facts))?,
    }
    Ok(Exit::Done)
}

fn text(facts: &Facts<'_>) -> String {
    let mut text = format!("{}\n", clean(&facts.path.to_string_lossy()));
    for (number, link) in facts.chain.iter().enumerate() {
        if number > 0 {
            text += &format!("\nstands on {}\n", clean(link.info.files.first().map_or("", String::as_str)));
        }
        text += &link_text(link);
    }
    text
}

fn link_text(Link { info, disk_size }: &Link<'_>) -> String {
    let subformat = info.subformat.as_deref().map(|name| format!(" {}", clean(name))).unwrap_or_default();
    let mut text = line("format", &format!("{}{subformat}", info.format));
    text += &line("virtual size", &both(info.virtual_size));
    text += &line("on disk", &both(*disk_size));
    if let Some(cluster) = info.cluster_size {
        text += &line("cluster size", &both(cluster));
    }
    if let Some(id) = &info.content_id {
        text += &line("content ID", &clean(id));
    }
    for (name, value) in &info.facts {
        text += &line(name, &clean(value));
    }
    for name in info.files.iter().skip(1) {
        text += &line("file", &clean(name));
    }
    text + &info.snapshots.iter().map(snapshot_line).collect::<String>()
}

fn line(name: &str, value: &str) -> String {
    format!("  {name:<13} {value}\n")
}

fn snapshot_line(snapshot: &SnapshotInfo) -> String {
    let state = match snapshot.state_bytes {
        0 => String::new(),
        bytes => format!(", with {} of the machine's state", size(bytes)),
    };
    let text = format!(
        "{} {:?}, {}, taken {}{state}",
        clean(&snapshot.id),
        clean(&snapshot.name),
        size(snapshot.virtual_size),
        date(snapshot.seconds)
    );
    line("snapshot", &text)
}

/// A time in seconds since 1970 as a date, UTC. An image may claim any.
fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "at no possible time".to_owned(), |time| time.strftime("%F %R UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_and_absurd_ones_do_no_harm() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(1_700_000_000), "2023-11-14 22:13 UTC");
        assert_eq!(date(u64::MAX), "at no possible time");
    }
}
