//! `disk info`, `map`, `check`, `compare` and `checksum`.

use super::support::{run, text};
use super::{argument, disk, done, fails, json, sample};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn qcow2(directory: &TempDir) -> (PathBuf, PathBuf) {
    let source = sample(directory.path());
    let image = directory.path().join("disk.qcow2");
    run("qemu-img", &["convert", "-q", "-O", "qcow2", text(&source), text(&image)]);
    (source, image)
}

#[test]
fn info_says_what_an_image_is() {
    let directory = TempDir::new().unwrap();
    let (_, image) = qcow2(&directory);
    run("qemu-img", &["snapshot", "-c", "before", text(&image)]);
    let info = json(&["info", argument(&image)]);
    assert_eq!(info["format"], "qcow2");
    assert_eq!(info["virtual_size"], 9 << 20);
    assert_eq!(info["chain"][0]["cluster_size"], 65_536);
    assert_eq!(info["chain"][0]["snapshots"][0]["name"], "before");
    assert!(info["disk_size"].as_u64().unwrap() > 2 << 20);
    let text = done(&["info", argument(&image)]);
    for part in ["qcow2 v3", "9 MiB (9437184 bytes)", "64 KiB (65536 bytes)", "\"before\""] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[test]
fn a_hostile_name_cannot_drive_the_terminal() {
    let directory = TempDir::new().unwrap();
    let (_, image) = qcow2(&directory);
    run("qemu-img", &["snapshot", "-c", "\x1b[2Jgone", text(&image)]);
    let text = done(&["info", argument(&image)]);
    assert!(!text.contains('\x1b') && text.contains("[2Jgone"), "{text}");
}

/// What two maps have in common: QEMU says nothing of the file's name, and of the place of what is no data.
fn comparable(map: &Value) -> Vec<(u64, u64, u64, bool, bool, Option<u64>)> {
    let number = |run: &Value, field: &str| run[field].as_u64().unwrap();
    let yes = |run: &Value, field: &str| run[field].as_bool().unwrap();
    let runs = map.as_array().unwrap().iter().map(|run| {
        let place = yes(run, "data").then(|| run["offset"].as_u64()).flatten();
        (
            number(run, "start"),
            number(run, "length"),
            number(run, "depth"),
            yes(run, "data"),
            yes(run, "zero"),
            place,
        )
    });
    runs.collect()
}

#[test]
fn a_map_is_what_qemu_img_says() {
    let directory = TempDir::new().unwrap();
    // Whole clusters of data: we also say where there are holes in a cluster, and QEMU does not.
    let source = directory.path().join("whole.img");
    let noise = super::noise(1 << 20, 5);
    fs::write(&source, [&noise[..], &vec![0; 2 << 20], &noise[..128 << 10], &vec![0; 1 << 20]].concat())
        .unwrap();
    let base = directory.path().join("disk.qcow2");
    run("qemu-img", &["convert", "-q", "-O", "qcow2", text(&source), text(&base)]);
    let child = directory.path().join("child.qcow2");
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "disk.qcow2", text(&child), "12M"]);
    run("qemu-io", &["-c", "write -P 9 1M 64k", "-c", "write -z 64k 128k", text(&child)]);
    for image in [&base, &child] {
        let ours = json(&["map", argument(image)]);
        let theirs = run("qemu-img", &["map", "--output=json", text(image)]);
        let theirs: Value = serde_json::from_slice(&theirs.stdout).unwrap();
        assert_eq!(comparable(&ours), comparable(&theirs), "{ours}\n{theirs}");
    }
    let ours = json(&["map", argument(&child)]);
    let files: Vec<_> = ours.as_array().unwrap().iter().filter_map(|run| run["filename"].as_str()).collect();
    assert!(files.contains(&text(&base)) && files.contains(&text(&child)), "{files:?}");
    let table = done(&["map", argument(&child)]);
    assert!(table.lines().count() > 3 && table.contains("disk.qcow2 at 0x"), "{table}");
}

#[test]
fn the_map_of_an_enormous_disk_is_short_and_quick() {
    let directory = TempDir::new().unwrap();
    let image = directory.path().join("large.qcow2");
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", text(&image), "64T"]);
    assert_eq!(json(&["map", argument(&image)]).as_array().unwrap().len(), 1);
    let empty = directory.path().join("empty.img");
    fs::write(&empty, "").unwrap();
    assert_eq!(json(&["map", argument(&empty)]).as_array().unwrap().len(), 0);
}

#[test]
fn a_check_tells_leaks_from_damage() {
    let directory = TempDir::new().unwrap();
    let (_, image) = qcow2(&directory);
    let clean = json(&["check", argument(&image)]);
    assert_eq!((clean["clean"].as_bool(), clean["damages"].as_u64()), (Some(true), Some(0)));
    // The first entry of the L1 table, whose place stands at byte 40, is sent astray.
    let mut bytes = fs::read(&image).unwrap();
    let table = u64::from_be_bytes(bytes[40..48].try_into().unwrap()) as usize;
    bytes[table..table + 8].copy_from_slice(&0x8000_7fff_ffff_0000_u64.to_be_bytes());
    fs::write(&image, bytes).unwrap();
    let ran = disk(&["check", argument(&image)]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains('✗') && ran.stdout.contains("damage"), "{}", ran.stdout);
    let ran = disk(&["check", argument(&image), "--json"]);
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(!found["clean"].as_bool().unwrap() && found["damages"].as_u64().unwrap() > 0, "{found}");
    fails(&["check", argument(&directory.path().join("absent"))], 1, &["No such file"]);
}

#[test]
fn comparing_answers_with_the_exit_code() {
    let directory = TempDir::new().unwrap();
    let (source, image) = qcow2(&directory);
    let same = json(&["compare", argument(&source), argument(&image)]);
    assert_eq!(same["same"], true);
    let other = directory.path().join("other.img");
    let mut bytes = fs::read(&source).unwrap();
    bytes[7_000_000] = 1;
    fs::write(&other, &bytes).unwrap();
    let ran = disk(&["compare", argument(&image), argument(&other), "--json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let different: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&different["same"], &different["offset"]), (&Value::from(false), &Value::from(7_000_000)));
    // A longer disk whose rest is zeroes is the same, unless that matters.
    bytes[7_000_000] = 0;
    bytes.resize(10 << 20, 0);
    fs::write(&other, &bytes).unwrap();
    assert!(done(&["compare", argument(&image), argument(&other)]).contains("sizes differ"));
    assert_eq!(disk(&["compare", argument(&image), argument(&other), "--strict"]).code, Some(1));
    fails(&["compare", argument(&image), argument(&directory.path().join("absent"))], 2, &["absent"]);
    fs::write(&other, b"QFI\xfb\0\0\0\x09 and nothing that makes sense").unwrap();
    fails(&["compare", argument(&image), argument(&other)], 3, &["other.img", "→"]);
}

#[test]
fn a_checksum_is_that_of_the_raw_image_whatever_the_format() {
    let directory = TempDir::new().unwrap();
    let (source, image) = qcow2(&directory);
    let bytes = fs::read(&source).unwrap();
    let blake3 = blake3::hash(&bytes).to_hex().to_string();
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    for path in [&source, &image] {
        let printed = |digest: &str, path: &Path| format!("{digest}  {}\n", path.display());
        assert_eq!(done(&["checksum", argument(path)]), printed(&blake3, path));
        let algorithm = ["checksum", argument(path), "--algorithm", "sha256", "--threads", "2"];
        assert_eq!(done(&algorithm), printed(&sha256, path));
        let document = json(&algorithm);
        assert_eq!(
            (&document["algorithm"], &document["digest"]),
            (&"sha256".into(), &sha256.as_str().into())
        );
    }
}
