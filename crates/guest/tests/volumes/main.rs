//! Volume scans against foreign tools: tables that sfdisk and sgdisk wrote, filesystems that the distribution's
//! mkfs made, and real artefacts, each compared with what `blkid` says.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test ends where something is amiss, and says so"
)]

mod content;
mod corpus;
mod luks;
mod lvm;
mod raid;
mod tables;

use block::{BlockWrite, WritableFileDisk};
use guest::volume::{Volume, scan};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Runs a tool that the tests need; fails by its name when it is missing or refuses.
fn run(program: &str, arguments: &[&str], input: &str) -> String {
    let (output, code) = run_to_any_end(program, arguments, input);
    assert_eq!(code, Some(0), "{program} {arguments:?} refused");
    output
}

fn run_to_any_end(program: &str, arguments: &[&str], input: &str) -> (String, Option<i32>) {
    let mut child = Command::new(program)
        .args(arguments)
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs {program}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

/// An empty disk image.
fn image(directory: &Path, name: &str, size: u64) -> PathBuf {
    let path = directory.join(name);
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    path
}

fn open(path: &Path) -> Arc<dyn BlockWrite> {
    Arc::new(WritableFileDisk::open(path).unwrap())
}

fn scan_files(paths: &[&Path]) -> Vec<Volume> {
    let disks: Vec<_> = paths.iter().map(|path| open(path)).collect();
    scan(&disks).unwrap()
}

/// What `blkid` says of an image: (TYPE, UUID, LABEL). The type is `ambivalent` when it finds signatures of several.
fn blkid(path: &Path) -> (Option<String>, Option<String>, Option<String>) {
    let (text, code) = run_to_any_end("blkid", &["-p", "-o", "export", path.to_str().unwrap()], "");
    if code == Some(8) {
        return (Some("ambivalent".into()), None, None);
    }
    assert!(matches!(code, Some(0 | 2)), "blkid ended with {code:?}");
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.replace('\\', ""))
    };
    (field("TYPE"), field("UUID"), field("LABEL"))
}
