//! `anyvisor disk`, run as a user runs it, its images held against what QEMU's and libnbd's tools say of them.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod convert;
mod look;
mod make;
mod serve;
#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use support::{Ran, anyvisor, noise, text};

/// Runs `anyvisor disk` with `arguments`.
fn disk(arguments: &[&str]) -> Ran {
    anyvisor(&[&["disk"], arguments].concat())
}

/// The same, which has to succeed; answers with what stood on standard output.
#[track_caller]
fn done(arguments: &[&str]) -> String {
    let ran = disk(arguments);
    assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
    ran.stdout
}

/// The same with `--json`, as JSON.
#[track_caller]
fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&done(&[arguments, &["--json"]].concat())).unwrap()
}

/// The same, which has to end with `code`, and to say each of `says`.
#[track_caller]
fn fails(arguments: &[&str], code: i32, says: &[&str]) {
    let ran = disk(arguments);
    assert_eq!(ran.code, Some(code), "{arguments:?}: {}{}", ran.stdout, ran.stderr);
    for part in says {
        assert!(ran.stderr.contains(part), "{part:?} is missing in: {}", ran.stderr);
    }
}

/// A raw disk of 9 MiB in `directory`: noise, zeroes, and a little text at odd places.
fn sample(directory: &Path) -> PathBuf {
    let mut bytes = noise(2 << 20, 4);
    bytes.resize(9 << 20, 0);
    bytes[5_000_000..5_000_013].copy_from_slice(b"some odd text");
    bytes[(8 << 20) - 3..(8 << 20) + 70_000].fill(7);
    let path = directory.join("sample.img");
    fs::write(&path, bytes).unwrap();
    path
}

/// The names of a format's subformats that can be written, or one empty name.
fn variants() -> Vec<(&'static str, &'static str)> {
    let writable = image::FORMATS.iter().copied().filter(|format| format.is_writable());
    let of = |format: &'static image::Format| {
        let none = format.subformats.is_empty().then_some("");
        format.subformats.iter().copied().chain(none).map(|subformat| (format.name, subformat))
    };
    writable.flat_map(of).collect()
}

/// `path`, as an argument.
fn argument(path: &Path) -> &str {
    text(path)
}
