//! `anyvisor disk checksum`.

use super::args::{Algorithm, Checksum};
use super::source::Opened;
use super::watched::Watched;
use crate::exit::Exit;
use crate::output::{clean, print, print_json};
use crate::progress;
use anyhow::Result;
use serde::Serialize;
use std::path::Path;

/// The digest of a disk's content.
#[derive(Serialize)]
struct Digest<'a> {
    path: &'a Path,
    algorithm: &'static str,
    /// As hexadecimal digits.
    digest: String,
    /// The disk's size in bytes.
    virtual_size: u64,
}

/// Runs the command.
pub(super) fn run(args: &Checksum) -> Result<Exit> {
    let opened = Opened::open(&args.image, &args.options)?;
    let virtual_size = opened.image.info().virtual_size;
    let progress = progress::patient(&format!("reading {}", args.image.display()));
    progress.start(virtual_size);
    let disk = Watched::new(opened.image, progress.as_ref());
    let threads = args.threads.count();
    let (algorithm, digest) = match args.algorithm {
        Algorithm::Blake3 => ("blake3", image::digest(&disk, threads)?.to_hex().to_string()),
        Algorithm::Sha256 => ("sha256", hexadecimal(&image::digest_sha256(&disk, threads)?)),
    };
    drop(progress);
    match args.json {
        true => print_json(&Digest { path: &args.image, algorithm, digest, virtual_size })?,
        // As b3sum and sha256sum print it.
        false => print(&format!("{digest}  {}\n", clean(&args.image.to_string_lossy())))?,
    }
    Ok(Exit::Done)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
