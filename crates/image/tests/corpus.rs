//! Disks that real products wrote, where the collection of them stands beside the project.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it skips"
)]

mod support;

use block::BlockRead;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The collection, or `None` with a line that says so.
fn corpus() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: there is no collection of real disks at {}", path.display());
    None
}

/// The rows of the collection's index that concern files below `directories`: path, format, digest of the disk.
fn rows(corpus: &Path, directories: &[&str]) -> Vec<(String, String, String)> {
    let index = std::fs::read_to_string(corpus.join("INDEX.tsv")).unwrap();
    let of = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        (fields[0].to_owned(), fields[8].to_owned(), fields[10].to_owned())
    };
    index
        .lines()
        .skip(1)
        .map(of)
        .filter(|row| directories.iter().any(|directory| row.0.starts_with(directory)))
        .collect()
}

/// Copies a file of the collection to `directory`, uncompressed, and with it everything in the same folder.
fn unpack(corpus: &Path, directory: &Path, path: &str) -> PathBuf {
    let folder = corpus.join(path).parent().unwrap().to_path_buf();
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap();
        let (tool, plain) = match name.rsplit_once('.') {
            Some((plain, "xz")) => ("xz", plain),
            Some((plain, "gz")) => ("gzip", plain),
            Some((plain, "bz2")) => ("bzip2", plain),
            _ => ("cat", name),
        };
        if !file.is_file() || directory.join(plain).exists() {
            continue;
        }
        let arguments: &[&str] = if tool == "cat" { &[] } else { &["-dc"] };
        let target = std::fs::File::create(directory.join(plain)).unwrap();
        let status = Command::new(tool).args(arguments).arg(&file).stdout(target).status().expect("it runs");
        assert!(status.success(), "{tool} {}", file.display());
    }
    let name = Path::new(path).file_name().unwrap().to_str().unwrap();
    let plain =
        ["xz", "gz", "bz2"].iter().find_map(|end| name.strip_suffix(&format!(".{end}"))).unwrap_or(name);
    directory.join(plain)
}

fn sha256(disk: &dyn BlockRead) -> String {
    let mut hasher = Sha256::new();
    let mut buf = vec![0; 4 << 20];
    let mut offset = 0;
    while offset < disk.size() {
        let length = (disk.size() - offset).min(buf.len() as u64) as usize;
        disk.read_at(&mut buf[..length], offset).unwrap();
        hasher.update(&buf[..length]);
        offset += length as u64;
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads what the disk says is data.
fn read_data(disk: &dyn BlockRead) {
    for extent in disk.extents(0..disk.size()).unwrap().into_iter().filter(|extent| extent.is_data()) {
        disk.read_at(&mut vec![0; extent.len() as usize], extent.range.start).unwrap();
    }
}

/// The digest of an empty disk of 16 GiB takes a minute and shows nothing that a smaller one does not.
const LARGEST: u64 = 2 << 30;

/// The index's names of formats where they are not ours.
fn our_name(format: &str) -> &str {
    if format == "vpc" { "vhd" } else { format }
}

/// Opens every disk below `directory` of the collection and holds it against its listed format, size and digest;
/// there must be `at_least` so many.
fn reads_as_others_read_it(directory: &str, at_least: usize) {
    let Some(corpus) = corpus() else { return };
    let mut read = 0;
    for (path, format, digest) in rows(&corpus, &[directory]) {
        if digest.is_empty() || path.ends_with(".tar.xz") {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let disk = match support::open(&unpack(&corpus, directory.path(), &path)) {
            Ok(disk) => disk,
            Err(error) => panic!("{path}: {}", support::chain(&error)),
        };
        assert_eq!(disk.info().format, our_name(&format), "{path}");
        if digest.starts_with("all-zero") {
            let extents = disk.extents(0..disk.size()).unwrap();
            assert!(extents.iter().all(|extent| !extent.is_data()), "{path} is empty");
        } else if disk.size() <= LARGEST {
            assert_eq!(sha256(&disk), digest, "{path}");
        } else {
            read_data(&disk);
        }
        println!("{path}: {format}, {} bytes", disk.size());
        read += 1;
    }
    assert!(read >= at_least, "{read}");
}

#[test]
fn vmdk() {
    reads_as_others_read_it("disk-vmdk/", 10);
}

#[test]
fn qcow2() {
    reads_as_others_read_it("disk-qcow2/", 9);
}

#[test]
fn raw() {
    reads_as_others_read_it("disk-raw/", 1);
}

#[test]
fn vhd() {
    reads_as_others_read_it("disk-vhd/", 9);
}

#[test]
fn vhdx() {
    reads_as_others_read_it("disk-vhdx/", 6);
}

#[test]
fn vdi() {
    reads_as_others_read_it("disk-vdi/", 1);
}

#[test]
fn parallels() {
    reads_as_others_read_it("disk-parallels/", 4);
}

#[test]
fn qed() {
    reads_as_others_read_it("disk-other/virtualbox/", 1);
}

#[test]
fn other_formats_are_refused_by_name_and_never_taken_for_raw() {
    let Some(corpus) = corpus() else { return };
    for (path, format, _) in rows(&corpus, &["disk-other/"]) {
        if !matches!(format.as_str(), "bochs" | "dmg") {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let error = support::open(&unpack(&corpus, directory.path(), &path)).expect_err(&path);
        assert_eq!(error.kind(), image::ErrorKind::Unsupported, "{path}: {error}");
        println!("{error}");
    }
}

#[test]
fn malformed_images_fail_each_with_its_own_reason() {
    let Some(corpus) = corpus() else { return };
    let mut reasons = std::collections::BTreeSet::new();
    for (path, format, _) in rows(&corpus, &["malformed/"]) {
        if image::by_name(&format).is_none() {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let reason = support::failure(&unpack(&corpus, directory.path(), &path));
        println!("{reason}");
        let file = directory.path().to_string_lossy().into_owned();
        assert!(reasons.insert(reason.replace(&file, "")), "said twice: {reason}");
    }
}
