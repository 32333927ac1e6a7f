//! What the gate lets through, and what each refusal says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use block::BlockRead;
use image::{DirectoryGate, ErrorKind, Gate};
use std::os::unix::fs::symlink;
use std::path::Path;
use support::{chain, file};

/// A directory `vm` with files, beside a file that must not be reached.
fn layout() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let vm = root.path().join("vm");
    std::fs::create_dir_all(vm.join("sub")).unwrap();
    file(root.path(), "secret", b"secret");
    file(&vm, "disk.vmdk", b"disk");
    file(&vm, "a:b.vmdk", b"colon");
    file(&vm.join("sub"), "base.vmdk", b"base");
    symlink("sub/base.vmdk", vm.join("inside")).unwrap();
    symlink("../secret", vm.join("outside")).unwrap();
    symlink("..", vm.join("up")).unwrap();
    symlink("/etc", vm.join("etc")).unwrap();
    root
}

fn read(gate: &dyn Gate, name: &str) -> Result<String, String> {
    match gate.open(name) {
        Err(error) => {
            assert!(!error.remedy().is_empty());
            Err(chain(&error))
        }
        Ok(disk) => {
            let mut bytes = vec![0; disk.size() as usize];
            disk.read_at(&mut bytes, 0).unwrap();
            Ok(String::from_utf8(bytes).unwrap())
        }
    }
}

#[test]
fn what_lies_below_is_opened() {
    let root = layout();
    let vm = root.path().join("vm");
    let gate = DirectoryGate::new(&vm).unwrap();
    let absolute = vm.canonicalize().unwrap().join("sub/base.vmdk");
    for (name, content) in [
        ("disk.vmdk", "disk"),
        ("./sub//base.vmdk", "base"),
        ("sub/../disk.vmdk", "disk"),
        ("inside", "base"),
        ("a:b.vmdk", "colon"),
        ("C:\\Virtual Machines\\disk.vmdk", "disk"),
        (absolute.to_str().unwrap(), "base"),
    ] {
        assert_eq!(read(&gate, name).as_deref(), Ok(content), "{name}");
    }
    assert_eq!(gate.describe("sub/base.vmdk"), vm.join("sub/base.vmdk"));
}

#[test]
fn everything_else_is_refused_with_its_reason() {
    let root = layout();
    let vm = root.path().join("vm");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        vm.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(vm.join("socket")).unwrap();
    let gate = DirectoryGate::new(&vm).unwrap();
    let long = "x".repeat(5000);
    for (name, reason) in [
        ("../secret", "leads out of"),
        ("sub/../../secret", "leads out of"),
        ("up/secret", "leads out of"),
        ("outside", "leads out of"),
        ("etc/passwd", "leads out of"),
        ("..\\..\\..", "leads out of"),
        ("/etc/passwd", "absolute name outside of"),
        ("/dev/zero", "absolute name outside of"),
        ("sub", "it is a directory and not a regular file"),
        ("pipe", "it is a pipe and not a regular file"),
        ("socket", "it is a socket and not a regular file"),
        ("gone.vmdk", "there is no such file in"),
        ("disk.vmdk/x", "Not a directory"),
        ("nbd:unix:/run/x", "it names a protocol (nbd), and only files are read"),
        ("nbd+unix:///x", "it names a protocol (nbd+unix)"),
        ("json:{\"file\":{}}", "it names a protocol (json)"),
        ("https://host/disk.vmdk", "it names a protocol (https)"),
        ("", "it is not a file name"),
        (".", "it is not a file name"),
        ("a\0b", "it is not a file name"),
        (&long, "it is not a file name"),
    ] {
        let message = read(&gate, name).expect_err(name);
        assert!(message.contains(reason), "{name}: {message}");
    }
    assert_eq!(gate.open("gone.vmdk").err().unwrap().kind(), ErrorKind::Missing);
    assert_eq!(gate.open("/etc/passwd").err().unwrap().kind(), ErrorKind::Refused);
}

#[test]
fn a_file_that_the_user_names_may_be_a_link_and_its_neighbours_are_those_of_the_file() {
    let root = layout();
    let link = root.path().join("link");
    symlink("vm/disk.vmdk", &link).unwrap();
    let (gate, name) = DirectoryGate::for_file(&link).unwrap();
    assert_eq!(name, "disk.vmdk");
    assert_eq!(read(&gate, "sub/base.vmdk").as_deref(), Ok("base"));
    assert!(DirectoryGate::for_file(Path::new("/nonexistent/file")).is_err());
}
