//! `convert SOURCE TARGET [qcow2|raw] [--no-digest]`: the copy engine by itself, to be measured.

#![allow(clippy::print_stdout, reason = "it prints what it did")]

use image::{CopyOptions, DirectoryGate, Gate, NewImage, NoProgress};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target, rest @ ..] = arguments.as_slice() else {
        return Err("usage: convert SOURCE TARGET [qcow2|raw] [--no-digest]".into());
    };
    let has = |word: &str| rest.iter().any(|argument| argument == word);
    let format = if has("raw") { NewImage::raw() } else { NewImage::qcow2() };
    let options = CopyOptions { overwrite: true, digest: !has("--no-digest"), ..CopyOptions::default() };
    let (gate, name) = DirectoryGate::for_file(source)?;
    let gate: Arc<dyn Gate> = Arc::new(gate);
    let image = image::open(&gate, &name)?;
    let report = image::copy(Arc::new(image), Path::new(target), &format, &options, &NoProgress)?;
    println!("{report:?}");
    Ok(())
}
