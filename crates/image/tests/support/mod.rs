//! What the tests of this crate share: images made by QEMU, and ways to look at them.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part of it, and fails by panicking")]

pub(crate) mod crash;

use image::{DirectoryGate, Gate, Image};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Runs `qemu-img` in `directory`; answers with what it printed.
pub(crate) fn qemu_img(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("qemu-img")
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("qemu-img runs (./dev test installs it: Debian package qemu-utils)");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "qemu-img {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A disk of `size` bytes with noise, text and zeroes in stretches of many lengths.
pub(crate) fn disk(size: usize) -> Vec<u8> {
    let mut bytes = block::conformance::sample(size, 77);
    let mut place = 0;
    for length in [70_000, 300, 4096, 65_536, 200_000, 1 << 20, 12_345, 3 << 20].into_iter().cycle() {
        let Some(stretch) = bytes.get_mut(place..) else { break };
        let length = length.min(stretch.len());
        match (place / 1000) % 3 {
            0 => stretch[..length].fill(0),
            1 => {
                stretch[..length].iter_mut().enumerate().for_each(|(index, byte)| *byte = (index / 50) as u8)
            }
            _ => {}
        }
        place += length.max(1);
    }
    bytes
}

/// Writes `bytes` to `name` in `directory`.
pub(crate) fn file(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Opens the image at `path` through the gate to its directory.
pub(crate) fn open(path: &Path) -> image::Result<Image> {
    let (gate, name) = DirectoryGate::for_file(path)?;
    let gate: Arc<dyn Gate> = Arc::new(gate);
    image::open(&gate, &name)
}

/// The error and everything behind it, as a person would read it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

/// What opening and reading the whole image at `path` fails with.
pub(crate) fn failure(path: &Path) -> String {
    match open(path) {
        Err(error) => chain(&error),
        Ok(image) => match image::digest(&image, 2) {
            Err(error) => chain(&error),
            Ok(_) => panic!("{} can be read", path.display()),
        },
    }
}
