//! `convert SOURCE TARGET FORMAT [SUBFORMAT] [--compress=zlib|zstd] [--digest] [--sync] [--threads=N]`: the copy engine
//! by itself, to be measured.

#![allow(clippy::print_stdout, reason = "it prints what it did")]

use image::{Compression, CopyOptions, DirectoryGate, Gate, NewImage, NoProgress};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let (flags, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let [source, target, format, subformat @ ..] = names.as_slice() else {
        return Err("usage: convert SOURCE TARGET FORMAT [SUBFORMAT] [FLAGS]".into());
    };
    let mut new = NewImage::new(image::by_name(format).ok_or("an unknown format")?);
    new.subformat = subformat.first().cloned();
    let usual = CopyOptions::default();
    let mut options = CopyOptions { overwrite: true, digest: false, sync: false, ..usual };
    for flag in &flags {
        match flag.split_once('=').unwrap_or((flag, "")) {
            ("--compress", "zstd") => new.compression = Some(Compression::Zstd),
            ("--compress", _) => new.compression = Some(Compression::Zlib),
            ("--digest", _) => options.digest = true,
            ("--sync", _) => options.sync = true,
            ("--threads", number) => options.threads = number.parse()?,
            _ => return Err(format!("unknown: {flag}").into()),
        }
    }
    let (gate, name) = DirectoryGate::for_file(source)?;
    let gate: Arc<dyn Gate> = Arc::new(gate);
    let image = image::open(&gate, &name)?;
    let report = image::copy(Arc::new(image), Path::new(target), &new, &options, &NoProgress)?;
    println!("{report:?}");
    Ok(())
}
