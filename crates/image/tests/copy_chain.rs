//! Chains that are converted image by image: what a guest sees stays, and so does what each image holds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use block::{BlockRead, ExtentKind};
use image::{CopyOptions, Error, NewImage, NoProgress, by_name, convert_chain};
use std::path::Path;
use std::process::{Command, Stdio};
use support::{disk, file, open, qemu_img};

const SIZE: usize = 9 << 20;

fn qemu_io(directory: &Path, image: &str, command: &str) {
    let status = Command::new("qemu-io")
        .args(["-f", "qcow2", "-c", command, image])
        .current_dir(directory)
        .stdout(Stdio::null())
        .status()
        .expect("qemu-io runs (./dev test installs it: Debian package qemu-utils)");
    assert!(status.success(), "qemu-io {command}");
}

/// Three images on each other, by QEMU; and what a guest sees in the uppermost.
fn chain(directory: &Path) -> Vec<u8> {
    let mut bytes = disk(SIZE);
    file(directory, "base.raw", &bytes);
    qemu_img(directory, &["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "middle.qcow2"]);
    qemu_img(directory, &["create", "-q", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", "top.qcow2"]);
    for (image, place, length, byte) in [
        ("middle.qcow2", 1 << 20, 70_000, 0x11),
        ("middle.qcow2", 5 << 20, 4096, 0x22),
        ("top.qcow2", (1 << 20) + 4096, 512, 0x33),
        ("top.qcow2", 8 << 20, 1 << 20, 0x44),
    ] {
        // QEMU writes whole sectors.
        let length = length / 512 * 512;
        qemu_io(directory, image, &format!("write -P {byte} {place} {length}"));
        bytes[place..place + length].fill(byte);
    }
    qemu_io(directory, "top.qcow2", &format!("write -z {} {}", 5 << 20, 1 << 20));
    bytes[5 << 20..6 << 20].fill(0);
    bytes
}

/// How many bytes an image holds itself, zeroes included.
fn held(own: &dyn BlockRead) -> u64 {
    let extents = own.extents(0..own.size()).unwrap();
    let held = extents.iter().filter(|extent| !matches!(extent.kind, ExtentKind::Absent));
    held.map(|extent| extent.range.end - extent.range.start).sum()
}

#[test]
fn every_image_keeps_what_it_held_and_stands_on_the_one_below() {
    let directory = tempfile::tempdir().unwrap();
    let expected = chain(directory.path());
    let source = open(&directory.path().join("top.qcow2")).unwrap();
    for format in ["qcow2", "vhd", "vhdx", "vmdk"] {
        let format = by_name(format).unwrap();
        let out = tempfile::tempdir().unwrap();
        let target = out.path().join(format!("top.{}", format.name));
        let options = CopyOptions { sync: false, ..CopyOptions::default() };
        let new = NewImage::new(format);
        let made = convert_chain(&source, &target, &new, &options, &NoProgress).unwrap();
        let names: Vec<_> = made.iter().map(|image| image.path.file_stem().unwrap().to_owned()).collect();
        assert_eq!(names, ["base", "middle", "top"], "{}", format.name);
        let converted = open(&target).unwrap();
        assert_eq!(converted.layers().len(), 3);
        let mut bytes = vec![0; converted.size() as usize];
        converted.read_at(&mut bytes, 0).unwrap();
        assert!(bytes[..SIZE] == expected && bytes[SIZE..].iter().all(|byte| *byte == 0), "{}", format.name);
        for (old, new) in source.layers().iter().zip(converted.layers()).take(2) {
            // Formats round to their own units, of at most 2 MiB here.
            assert!(held(new.own.as_ref()) < held(old.own.as_ref()) + (5 << 20), "{}", format.name);
        }
        if format.name == "qcow2" {
            qemu_img(out.path(), &["check", "-q", "top.qcow2"]);
            file(out.path(), "expected.raw", &expected);
            qemu_img(out.path(), &["compare", "-f", "raw", "-F", "qcow2", "expected.raw", "top.qcow2"]);
        }
    }
}

#[test]
fn a_format_without_parents_is_refused_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    chain(directory.path());
    let source = open(&directory.path().join("top.qcow2")).unwrap();
    let out = tempfile::tempdir().unwrap();
    let target = out.path().join("top.raw");
    let options = CopyOptions::default();
    let error = convert_chain(&source, &target, &NewImage::raw(), &options, &NoProgress).unwrap_err();
    assert!(matches!(error, Error::Option { .. }), "{error}");
    assert_eq!(out.path().read_dir().unwrap().count(), 0);
    // A chain of one is no chain.
    let base = open(&directory.path().join("base.raw")).unwrap();
    let made = convert_chain(&base, &target, &NewImage::raw(), &options, &NoProgress).unwrap();
    assert_eq!(made.len(), 1);
    assert!(std::fs::read(&target).unwrap() == disk(SIZE));
}

#[test]
fn two_originals_of_one_name_do_not_collide() {
    let directory = tempfile::tempdir().unwrap();
    file(directory.path(), "disk.raw", &disk(1 << 20));
    qemu_img(directory.path(), &["create", "-q", "-f", "qcow2", "-b", "disk.raw", "-F", "raw", "disk.qcow2"]);
    let source = open(&directory.path().join("disk.qcow2")).unwrap();
    let out = tempfile::tempdir().unwrap();
    let target = out.path().join("disk.qcow2");
    let made =
        convert_chain(&source, &target, &NewImage::qcow2(), &CopyOptions::default(), &NoProgress).unwrap();
    let names: Vec<_> = made.iter().map(|image| image.path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["disk-2.qcow2", "disk.qcow2"]);
    block::conformance::read(&open(&target).unwrap(), &disk(1 << 20));
}
