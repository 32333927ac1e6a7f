//! `disk convert`: there and back in every format, chains, and what is refused.

use super::support::{names, run, text};
use super::{argument, disk, done, fails, json, sample, variants};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[test]
fn every_format_there_and_back() {
    let directory = TempDir::new().unwrap();
    let source = sample(directory.path());
    for (format, subformat) in variants() {
        let own = directory.path().join(format!("{format}-{subformat}"));
        fs::create_dir(&own).unwrap();
        let (image, back) = (own.join(format!("disk.{format}")), own.join("back.img"));
        let mut arguments = vec!["convert", argument(&source), argument(&image), "--checksum"];
        if !subformat.is_empty() {
            arguments.extend(["--subformat", subformat]);
        }
        let made = json(&arguments);
        assert_eq!(made["format"], format);
        assert_eq!(made["virtual_size"], 9 << 20);
        assert_eq!(made["blake3"], blake3::hash(&fs::read(&source).unwrap()).to_hex().as_str());
        let info = json(&["info", argument(&image)]);
        assert_eq!(info["format"], format, "{subformat}");
        done(&["convert", argument(&image), argument(&back)]);
        assert!(fs::read(&back).unwrap() == fs::read(&source).unwrap(), "{format} {subformat}");
        done(&["compare", argument(&image), argument(&source), "--strict"]);
        done(&["check", argument(&image)]);
        // QEMU calls a VHD otherwise, and takes a fixed one for raw unless it is told.
        let name = if format == "vhd" { "vpc" } else { format };
        run("qemu-img", &["compare", "-q", "-f", "raw", "-F", name, text(&source), text(&image)]);
    }
}

#[test]
fn compression_and_clusters_are_as_asked_for() {
    let directory = TempDir::new().unwrap();
    let source = sample(directory.path());
    for method in ["zlib", "zstd"] {
        let target = directory.path().join(format!("{method}.qcow2"));
        let compress = format!("--compress={method}");
        done(&["convert", argument(&source), argument(&target), &compress, "--cluster-size", "128K"]);
        let info = json(&["info", argument(&target)]);
        assert_eq!(info["chain"][0]["cluster_size"], 128 << 10);
        let seen: serde_json::Value =
            serde_json::from_slice(&run("qemu-img", &["info", "--output=json", text(&target)]).stdout)
                .unwrap();
        assert_eq!(seen["cluster-size"], 128 << 10);
        assert_eq!(seen["format-specific"]["data"]["compression-type"], method);
        run("qemu-img", &["compare", "-q", text(&source), text(&target)]);
    }
}

/// `base.qcow2` under `middle.qcow2` under `top.qcow2`, as QEMU makes them.
fn chain(directory: &TempDir) -> std::path::PathBuf {
    let path = |name: &str| directory.path().join(name);
    let source = sample(directory.path());
    run("qemu-img", &["convert", "-q", "-O", "qcow2", text(&source), text(&path("base.qcow2"))]);
    for (below, name, write) in
        [("base", "middle", "write -P 1 3M 100k"), ("middle", "top", "write -P 2 3100k 5k")]
    {
        let child = path(&format!("{name}.qcow2"));
        run(
            "qemu-img",
            &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &format!("{below}.qcow2"), text(&child)],
        );
        run("qemu-io", &["-c", write, text(&child)]);
    }
    path("top.qcow2")
}

#[test]
fn a_chain_is_flattened_or_kept() {
    let directory = TempDir::new().unwrap();
    let top = chain(&directory);
    let flat = directory.path().join("flat.qcow2");
    done(&["convert", argument(&top), argument(&flat)]);
    assert_eq!(json(&["info", argument(&flat)])["chain"].as_array().unwrap().len(), 1);
    for format in ["qcow2", "vhd", "vhdx"] {
        let kept = directory.path().join(format!("kept-{format}"));
        fs::create_dir(&kept).unwrap();
        let image = kept.join(format!("top.{format}"));
        let made = json(&["convert", argument(&top), argument(&image), "--chain", "keep"]);
        assert_eq!(made["parents"].as_array().unwrap().len(), 2, "{made}");
        let expected = ["base", "middle", "top"].map(|stem| format!("{stem}.{format}"));
        assert_eq!(names(&kept), expected);
        let info = json(&["info", argument(&image)]);
        assert_eq!(info["chain"].as_array().unwrap().len(), 3, "{info}");
        done(&["compare", argument(&image), argument(&flat)]);
        done(&["check", argument(&image)]);
        // QEMU reads no parent of a VHD's or VHDX's.
        if format == "qcow2" {
            run("qemu-img", &["compare", "-q", text(&image), text(&flat)]);
        }
    }
}

#[test]
fn the_source_is_never_replaced() {
    let directory = TempDir::new().unwrap();
    let top = chain(&directory);
    let base = directory.path().join("base.qcow2");
    let before = fs::read(&base).unwrap();
    fails(
        &["convert", argument(&top), argument(&base), "--force"],
        2,
        &["base.qcow2", "belongs to the source"],
    );
    fails(&["convert", argument(&top), argument(&top), "--force"], 2, &["belongs to the source"]);
    let new = directory.path().join("new.qcow2");
    fails(
        &["convert", argument(&top), argument(&new), "--chain", "keep", "--force"],
        2,
        &["another directory"],
    );
    fails(&["convert", argument(&top), argument(&new), "--chain", "keep"], 1, &["exists"]);
    assert!(fs::read(&base).unwrap() == before);
    let socket = directory.path().join("s.raw");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    fails(&["convert", argument(&top), argument(&socket), "--force"], 2, &["not a regular file"]);
}

#[test]
fn an_existing_target_is_replaced_only_by_force() {
    let directory = TempDir::new().unwrap();
    let source = sample(directory.path());
    let target = directory.path().join("disk.qcow2");
    fs::write(&target, "precious").unwrap();
    fails(&["convert", argument(&source), argument(&target)], 1, &["disk.qcow2 exists", "--force"]);
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    done(&["convert", argument(&source), argument(&target), "--force", "--no-sync", "--threads", "1"]);
    done(&["compare", argument(&source), argument(&target)]);
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    let directory = TempDir::new().unwrap();
    let source = sample(directory.path());
    let target = directory.path().join("disk");
    let wrong = |arguments: &[&str], says: &[&str]| {
        fails(&[&["convert", argument(&source), argument(&target)], arguments].concat(), 2, says);
    };
    wrong(&[], &["--to", "ending"]);
    wrong(&["--to", "abacus"], &["formats that are written", "qcow2"]);
    wrong(&["--to", "raw", "--compress=zstd"], &["compression"]);
    wrong(&["--to", "qcow2", "--cluster-size", "3000"], &["clusters of 3000 bytes"]);
    wrong(&["--to", "qcow2", "--cluster-size", "many"], &["is no unit"]);
    wrong(&["--to", "vdi", "--subformat", "square"], &["square", "dynamic"]);
    wrong(&["--to", "raw", "--chain", "keep", "--checksum"], &["--checksum"]);
    assert_eq!(names(directory.path()), ["sample.img"]);
}

#[test]
fn a_source_that_cannot_be_read_is_refused_with_a_remedy() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let target = path("out.raw");
    let refuse = |name: &str, says: &[&str]| {
        fails(&["convert", argument(&path(name)), argument(&target)], 3, &[says, &["→"]].concat());
    };
    fs::write(path("bad.dmg"), [vec![0; 4096], b"koly".to_vec(), vec![0; 508]].concat()).unwrap();
    refuse("bad.dmg", &["Apple disk image", "not supported"]);
    let source = sample(directory.path());
    done(&["convert", argument(&source), argument(&path("cut.qcow2"))]);
    let whole = fs::read(path("cut.qcow2")).unwrap();
    fs::write(path("cut.qcow2"), &whole[..whole.len() / 3]).unwrap();
    refuse("cut.qcow2", &["cut.qcow2"]);
    run(
        "qemu-img",
        &[
            "create",
            "-q",
            "-u",
            "-f",
            "qcow2",
            "-F",
            "raw",
            "-b",
            "/etc/passwd",
            text(&path("hostile.qcow2")),
            "1M",
        ],
    );
    refuse("hostile.qcow2", &["/etc/passwd", "outside"]);
    fails(&["convert", argument(&path("absent.img")), argument(&target)], 1, &["absent.img", "No such file"]);
    assert!(!target.exists());
}

#[test]
fn a_killed_copy_leaves_nothing_under_the_targets_name() {
    let directory = TempDir::new().unwrap();
    let source = directory.path().join("large.img");
    fs::write(&source, super::noise(24 << 20, 9)).unwrap();
    let target = directory.path().join("large.vmdk");
    let arguments =
        ["disk", "convert", argument(&source), argument(&target), "--subformat", "streamOptimized"];
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_anyvisor"));
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let begun = Instant::now();
    assert!(start().wait().unwrap().success());
    let whole = begun.elapsed();
    let expected = fs::read(&target).unwrap().len();
    for part in 0..6 {
        fs::remove_file(&target).unwrap_or_default();
        let mut child = start();
        std::thread::sleep(whole * part / 6 + Duration::from_millis(1));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!target.exists() || target.metadata().unwrap().len() == expected as u64);
    }
    fs::remove_file(&target).unwrap_or_default();
    let ran = disk(&arguments[1..]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(names(directory.path()), ["large.img", "large.vmdk"]);
}
