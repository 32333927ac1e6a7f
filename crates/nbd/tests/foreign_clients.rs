//! Foreign clients against our server: libnbd's tools and QEMU's.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use block::{BlockRead, BlockWrite, MemoryDisk, Overlay, OverlayOptions, conformance};
use nbd::{Export, Server};
use serde_json::Value;
use std::sync::Arc;
use support::{run, serve, uri};

const SIZE: usize = 5 << 20;

#[test]
fn nbdinfo_sees_what_is_offered() {
    let server = Server::new()
        .export("one", Export::Writable(Arc::new(MemoryDisk::new(SIZE as u64))))
        .export("two", Export::ReadOnly(Arc::new(MemoryDisk::new(12_345))));
    let (_directory, running) = serve(server);
    let list: Value =
        serde_json::from_str(&run("nbdinfo", &["--json", "--list", &uri(&running, "")])).unwrap();
    assert_eq!(list["protocol"], "newstyle-fixed");
    assert_eq!(list["structured"], true);
    let [one, two] = list["exports"].as_array().unwrap().as_slice() else { panic!("two exports: {list}") };
    assert_eq!((&one["export-name"], &two["export-name"]), (&"one".into(), &"two".into()));
    assert_eq!((&one["export-size"], &two["export-size"]), (&SIZE.into(), &12_345.into()));
    assert_eq!((&one["is_read_only"], &two["is_read_only"]), (&false.into(), &true.into()));
    for able in ["can_flush", "can_fua", "can_trim", "can_zero"] {
        assert_eq!((&one[able], &two[able]), (&true.into(), &false.into()), "{able}");
    }
    for export in [one, two] {
        assert_eq!(export["can_multi_conn"], true);
        assert_eq!(export["can_df"], true);
        assert_eq!(export["contexts"], serde_json::json!(["base:allocation"]));
        assert_eq!(export["block_size_minimum"], 1);
        assert_eq!(export["block_size_preferred"], 4096);
        assert_eq!(export["block_size_maximum"], 32 << 20);
    }
}

#[test]
fn nbdinfo_and_qemu_img_map_the_holes() {
    let disk = MemoryDisk::new(SIZE as u64);
    disk.write_at(&[1; 100], 1 << 20).unwrap();
    disk.write_at(&[1; 100], (5 << 20) - 100).unwrap();
    let (_directory, running) = serve(Server::new().export("disk", Export::ReadOnly(Arc::new(disk))));
    let runs = [
        (0, 1 << 20, true),
        (1 << 20, 64 << 10, false),
        ((1 << 20) + (64 << 10), (4 << 20) - (128 << 10), true),
        ((5 << 20) - (64 << 10), 64 << 10, false),
    ];
    let map: Value =
        serde_json::from_str(&run("nbdinfo", &["--map", "--json", &uri(&running, "disk")])).unwrap();
    assert_eq!(map.as_array().unwrap().len(), runs.len(), "{map}");
    for (entry, (offset, length, hole)) in map.as_array().unwrap().iter().zip(runs) {
        let kind = if hole { 3 } else { 0 };
        assert_eq!(
            (&entry["offset"], &entry["length"], &entry["type"]),
            (&offset.into(), &length.into(), &kind.into())
        );
    }
    let map: Value =
        serde_json::from_str(&run("qemu-img", &["map", "--output=json", &uri(&running, "disk")])).unwrap();
    assert_eq!(map.as_array().unwrap().len(), runs.len(), "{map}");
    for (entry, (start, length, hole)) in map.as_array().unwrap().iter().zip(runs) {
        assert_eq!(
            (&entry["start"], &entry["length"], &entry["zero"]),
            (&start.into(), &length.into(), &hole.into())
        );
    }
}

#[test]
fn nbdcopy_copies_out_and_in() {
    let bytes = conformance::sample(SIZE, 1);
    let target = Arc::new(MemoryDisk::from_bytes(conformance::sample(SIZE, 2)));
    let server = Server::new()
        .export("source", Export::ReadOnly(Arc::new(MemoryDisk::from_bytes(bytes.clone()))))
        .export("target", Export::Writable(target.clone()));
    let (directory, running) = serve(server);
    let file = directory.path().join("copy.raw");
    run("nbdcopy", &[&uri(&running, "source"), file.to_str().unwrap()]);
    assert!(std::fs::read(&file).unwrap() == bytes);
    run("nbdcopy", &["--flush", file.to_str().unwrap(), &uri(&running, "target")]);
    assert!(target.to_bytes() == bytes);
    // From export to export, without block status and with many small requests in flight.
    target.discard(0..SIZE as u64).unwrap();
    let slow = ["--no-extents", "--request-size=4096", "--requests=64", "--connections=4"];
    run("nbdcopy", &[&slow[..], &[&uri(&running, "source"), &uri(&running, "target")]].concat());
    assert!(target.to_bytes() == bytes);
}

#[test]
fn qemu_img_converts_and_compares() {
    let bytes = conformance::sample(SIZE, 3);
    let target = Arc::new(Overlay::new(
        Arc::new(MemoryDisk::from_bytes(conformance::sample(SIZE, 4))),
        OverlayOptions::new(std::env::temp_dir()),
    ));
    let server = Server::new()
        .export("source", Export::ReadOnly(Arc::new(MemoryDisk::from_bytes(bytes.clone()))))
        .export("target", Export::Writable(target.clone()));
    let (directory, running) = serve(server);
    let (source, remote) = (uri(&running, "source"), uri(&running, "target"));
    let image = directory.path().join("copy.qcow2");
    let image = image.to_str().unwrap();
    run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", &source, image]);
    run("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &source, image]);
    run("qemu-img", &["convert", "-n", "-f", "qcow2", "-O", "raw", image, &remote]);
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", &source, &remote]);
    conformance::read(&*target, &bytes);
    assert!(running.first_error("source").is_none() && running.first_error("target").is_none());
}

#[test]
fn qemu_io_writes_zeroes_trims_and_flushes() {
    let disk = Arc::new(MemoryDisk::from_bytes(vec![9; SIZE]));
    let (_directory, running) = serve(Server::new().export("disk", Export::Writable(disk.clone())));
    let commands = [
        "write -P 1 0 64k",
        "write -f -P 2 100k 3000",
        "write -z 200k 64k",
        "write -z -u 1M 1M",
        "discard 3M 512k",
        "aio_write -P 3 4M 128k",
        "aio_write -P 4 4608k 128k",
        "aio_flush",
        "flush",
        "read -P 1 0 64k",
        "read -P 0 1M 1M",
        "read -P 9 64k 4k",
    ];
    let uri = uri(&running, "disk");
    let mut arguments = vec!["-f", "raw"];
    for command in commands {
        arguments.extend(["-c", command]);
    }
    let said = run("qemu-io", &[&arguments[..], &[&uri]].concat());
    assert!(!said.contains("failed"), "{said}");
    let mut expected = vec![9; SIZE];
    expected[..64 << 10].fill(1);
    expected[100 << 10..(100 << 10) + 3000].fill(2);
    expected[200 << 10..264 << 10].fill(0);
    expected[1 << 20..2 << 20].fill(0);
    expected[3 << 20..(3 << 20) + (512 << 10)].fill(0);
    expected[4 << 20..(4 << 20) + (128 << 10)].fill(3);
    expected[4608 << 10..4736 << 10].fill(4);
    conformance::read(&*disk, &expected);
}

#[test]
fn qemu_cannot_write_what_is_read_only() {
    let disk = Arc::new(MemoryDisk::from_bytes(vec![9; SIZE]));
    let (_directory, running) = serve(Server::new().export("disk", Export::ReadOnly(disk.clone())));
    let said = run("qemu-io", &["-r", "-f", "raw", "-c", "read -P 9 0 1M", &uri(&running, "disk")]);
    assert!(said.contains("read 1048576/1048576 bytes"), "{said}");
    let refused = std::process::Command::new("qemu-io")
        .args(["-f", "raw", "-c", "write 0 1k", &uri(&running, "disk")])
        .output()
        .unwrap();
    assert!(!refused.status.success());
    assert_eq!(disk.to_bytes(), vec![9; SIZE]);
    assert_eq!(disk.size(), SIZE as u64);
}

#[test]
fn a_loopback_port_serves_as_a_socket_does() {
    let disk = Arc::new(MemoryDisk::from_bytes(conformance::sample(3 << 20, 8)));
    let bytes = disk.to_bytes();
    let server = Server::new().export("disk", Export::Writable(disk));
    let running = server.listen_on_loopback(0).unwrap();
    let address = running.address().unwrap();
    assert!(address.ip().is_loopback() && running.path().as_os_str().is_empty());
    let uri = format!("nbd://{address}/disk");
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.raw");
    run("nbdcopy", &[&uri, copy.to_str().unwrap()]);
    assert!(std::fs::read(&copy).unwrap() == bytes);
    run("qemu-io", &["-f", "raw", "-c", "write -P 7 1000000 70000", "-c", "read -P 7 1000000 70000", &uri]);
    let taken = Server::new().listen_on_loopback(address.port());
    assert!(matches!(taken, Err(nbd::Error::Port { port, .. }) if port == address.port()));
    drop(running);
    assert!(std::net::TcpStream::connect(address).is_err());
}
