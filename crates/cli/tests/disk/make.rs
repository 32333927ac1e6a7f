//! `disk create` and `disk resize`.

use super::support::{names, run, text};
use super::{argument, done, fails, json, sample, variants};
use std::fs;
use tempfile::TempDir;

#[test]
fn an_empty_image_in_every_format() {
    let directory = TempDir::new().unwrap();
    for (format, subformat) in variants() {
        let own = directory.path().join(format!("{format}-{subformat}"));
        fs::create_dir(&own).unwrap();
        let image = own.join(format!("disk.{format}"));
        let mut arguments = vec!["create", argument(&image), "--size", "16M"];
        if !subformat.is_empty() {
            arguments.extend(["--subformat", subformat]);
        }
        done(&arguments);
        let info = json(&["info", argument(&image)]);
        assert_eq!((&info["format"], &info["virtual_size"]), (&format.into(), &(16 << 20).into()));
        done(&["check", argument(&image)]);
        let zeroes = own.join("zeroes");
        fs::File::create(&zeroes).unwrap().set_len(16 << 20).unwrap();
        let name = if format == "vhd" { "vpc" } else { format };
        run("qemu-img", &["compare", "-q", "-f", name, "-F", "raw", text(&image), text(&zeroes)]);
        fails(&arguments, 1, &["exists"]);
    }
}

#[test]
fn a_child_reads_as_what_it_stands_on() {
    let directory = TempDir::new().unwrap();
    let source = sample(directory.path());
    for format in ["qcow2", "vhd", "vhdx"] {
        let (base, child) = (format!("base.{format}"), format!("child.{format}"));
        let (base, child) = (directory.path().join(base), directory.path().join(child));
        done(&["convert", argument(&source), argument(&base)]);
        let made = json(&["create", argument(&child), "--backing", argument(&base)]);
        assert_eq!(
            (&made["backing"], &made["virtual_size"]),
            (&format!("base.{format}").into(), &(9 << 20).into())
        );
        assert!(child.metadata().unwrap().len() < 9 << 20);
        done(&["compare", argument(&child), argument(&source), "--strict"]);
        done(&["check", argument(&child)]);
    }
    // What is written to the child by somebody else does not reach the parent.
    let child = directory.path().join("child.qcow2");
    run("qemu-io", &["-c", "write -P 1 0 64k", text(&child)]);
    run("qemu-img", &["check", "-q", text(&child)]);
    done(&["compare", argument(&directory.path().join("base.qcow2")), argument(&source)]);
}

#[test]
fn a_new_disk_needs_a_size_that_makes_sense() {
    let directory = TempDir::new().unwrap();
    let image = directory.path().join("disk.qcow2");
    fails(&["create", argument(&image)], 2, &["--size"]);
    fails(&["create", argument(&image), "--size", "65P"], 2, &["64 PiB"]);
    fails(&["create", argument(&image), "--size", "1M", "--backing-format", "raw"], 2, &["--backing"]);
    assert_eq!(names(directory.path()), [""; 0]);
}

#[test]
fn a_disk_grows_and_shrinks_only_when_told() {
    let directory = TempDir::new().unwrap();
    let source = sample(directory.path());
    let before = fs::read(&source).unwrap();
    let resized = json(&["resize", argument(&source), "+1M"]);
    assert_eq!((&resized["before"], &resized["virtual_size"]), (&(9 << 20).into(), &(10 << 20).into()));
    let after = fs::read(&source).unwrap();
    assert!(
        after.len() == 10 << 20
            && after.starts_with(&before)
            && after[9 << 20..].iter().all(|byte| *byte == 0)
    );
    fails(&["resize", argument(&source), "9M"], 2, &["--shrink", "10 MiB (10485760 bytes)"]);
    fails(&["resize", argument(&source), "+1"], 2, &["512"]);
    done(&["resize", argument(&source), "9M", "--shrink"]);
    assert!(fs::read(&source).unwrap() == before);
    let zip = directory.path().join("disk.zip");
    fs::write(&zip, b"PK\x03\x04 and more").unwrap();
    fails(&["resize", argument(&zip), "+1M"], 3, &["ZIP"]);
}

/// QEMU locks an image that it has open for writing: nobody may resize it then.
#[test]
fn an_image_that_a_guest_may_be_running_on_is_left_alone() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let directory = TempDir::new().unwrap();
    let image = sample(directory.path());
    let mut qemu = std::process::Command::new("qemu-io")
        .args(["-f", "raw", text(&image)])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("qemu-io cannot be run ({error}); ./dev test installs it"));
    let (mut input, output) = (qemu.stdin.take().unwrap(), qemu.stdout.take().unwrap());
    // Once it has answered, it has the image open.
    input.write_all(b"length\n").unwrap();
    assert!(BufReader::new(output).lines().any(|line| line.unwrap().contains("9 MiB")));
    fails(&["resize", argument(&image), "+1M"], 1, &["another program has it open"]);
    drop(input);
    qemu.wait().unwrap();
    done(&["resize", argument(&image), "+1M"]);
}
