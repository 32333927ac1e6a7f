//! A kill at any moment: nothing looks finished that is not, and the same command run again succeeds.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{anyvisor, convert, names, noise, small_ova, text};
use tempfile::TempDir;

const KILLS: u64 = 20;

fn start(source: &Path, output: &Path) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_anyvisor"))
        .args(["convert", text(source), "--to", "kvm", "--output", text(output)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What is visible under a final name is whole: the manifest only with everything it names, and a disk only with
/// the contents of the source.
fn assert_nothing_half_finished(output: &Path, raw: &Path) {
    let visible: Vec<_> = names(output).into_iter().filter(|name| !name.starts_with('.')).collect();
    if visible.iter().any(|name| name.ends_with(".manifest.json")) {
        assert_eq!(visible, ["small-disk1.qcow2", "small.manifest.json", "small.sh", "small.xml"]);
    }
    if visible.iter().any(|name| name.ends_with(".qcow2")) {
        let disk = output.join("small-disk1.qcow2");
        support::run("qemu-img", &["compare", "-q", "-f", "raw", "-F", "qcow2", text(raw), text(&disk)]);
    }
}

#[test]
fn twenty_kills() {
    let directory = TempDir::new().unwrap();
    let source = small_ova(directory.path(), 192);
    let before = blake3(&source);
    let raw = directory.path().join("small.raw");

    let whole = directory.path().join("whole");
    let begin = Instant::now();
    assert_eq!(convert(&source, &whole, &[]).code, Some(0));
    let duration = begin.elapsed();

    let output = directory.path().join("out");
    let moments = noise(KILLS as usize * 2, duration.as_nanos() as u64);
    let mut killed = 0;
    for moment in moments.chunks(2) {
        let share = f64::from(u16::from_le_bytes([moment[0], moment[1]])) / f64::from(u16::MAX);
        let mut child = start(&source, &output);
        std::thread::sleep(Duration::from_secs_f64(duration.as_secs_f64() * share));
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        assert_nothing_half_finished(&output, &raw);
        if names(&output).contains(&"small.manifest.json".to_owned()) {
            fs::remove_dir_all(&output).unwrap();
        }
    }
    println!("{killed} of {KILLS} runs were killed before their end");
    assert!(killed >= 10, "only {killed} runs were interrupted");

    let again = convert(&source, &output, &[]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_nothing_half_finished(&output, &raw);
    assert_eq!(names(&output), ["small-disk1.qcow2", "small.manifest.json", "small.sh", "small.xml"]);
    assert_eq!(blake3(&source), before, "the source was changed");
}

#[test]
fn a_finished_machine_is_never_replaced() {
    let directory = TempDir::new().unwrap();
    let source = small_ova(directory.path(), 3);
    let output = directory.path().join("out");
    assert_eq!(convert(&source, &output, &[]).code, Some(0));
    let manifest = fs::read(output.join("small.manifest.json")).unwrap();
    let again = convert(&source, &output, &[]);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("already exists") && again.stderr.contains("--name"), "{}", again.stderr);
    assert_eq!(fs::read(output.join("small.manifest.json")).unwrap(), manifest);
    assert_eq!(convert(&source, &output, &["--name", "second", "--disk-format", "raw"]).code, Some(0));
    assert_eq!(
        fs::read(output.join("second-disk1.raw")).unwrap(),
        fs::read(directory.path().join("small.raw")).unwrap()
    );
}

#[test]
fn a_dry_run_touches_nothing() {
    let directory = TempDir::new().unwrap();
    let source = small_ova(directory.path(), 3);
    let output = directory.path().join("out");
    let ran = convert(&source, &output, &["--dry-run"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stdout.contains("small-disk1.qcow2") && ran.stdout.contains("Nothing was touched"),
        "{}",
        ran.stdout
    );
    assert!(!output.exists());
    let json = convert(&source, &output, &["--dry-run", "--json"]);
    assert!(serde_json::from_str::<serde_json::Value>(&json.stdout).unwrap()["plan"].is_object());
}

#[test]
fn a_dry_run_makes_no_key_either() {
    let directory = TempDir::new().unwrap();
    let source = small_ova(directory.path(), 3);
    let data = directory.path().join("data");
    let ran = Command::new(env!("CARGO_BIN_EXE_anyvisor"))
        .args(["convert", text(&source), "--to", "kvm", "--dry-run", "--rehearse", "--output"])
        .arg(directory.path().join("out"))
        .env("XDG_DATA_HOME", &data)
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(!data.exists());
}

#[test]
fn the_manifest_records_what_was_done() {
    let directory = TempDir::new().unwrap();
    let source = small_ova(directory.path(), 3);
    let output = directory.path().join("out");
    let ran = convert(&source, &output, &["--json"]);
    let printed: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let written: serde_json::Value =
        serde_json::from_slice(&fs::read(output.join("small.manifest.json")).unwrap()).unwrap();
    assert_eq!(printed["disks"], written["disks"]);
    let raw = fs::read(directory.path().join("small.raw")).unwrap();
    assert_eq!(written["disks"][0]["blake3"], ::blake3::hash(&raw).to_hex().as_str());
    assert_eq!(written["source"]["digests"].as_array().unwrap().len(), 2);
    assert!(anyvisor(&["inspect", text(&source)]).stdout.contains("small"));
}

fn blake3(path: &Path) -> String {
    ::blake3::hash(&fs::read(path).unwrap()).to_hex().to_string()
}
