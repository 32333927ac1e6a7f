//! Our client against foreign servers: QEMU's and nbdkit.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use block::{BlockRead, BlockWrite, Extent, conformance};
use nbd::{Client, Error};
use std::ops::Range;
use std::path::PathBuf;
use support::{Background, run};
use tempfile::TempDir;

/// A client of a foreign server, with that server.
struct Foreign {
    client: Client,
    _server: Background,
    _directory: TempDir,
}

impl Foreign {
    /// nbdkit with these arguments behind those for the socket.
    fn nbdkit(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("nbd.sock");
        let common = ["--foreground", "--exit-with-parent", "--unix", socket.to_str().unwrap()];
        let server = Background::listening("nbdkit", &[&common[..], arguments].concat(), &socket);
        Self { client: Client::connect(&socket, "").unwrap(), _server: server, _directory: directory }
    }

    /// qemu-nbd with an image that `make` makes in a directory.
    fn qemu(arguments: &[&str], make: impl FnOnce(PathBuf) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("nbd.sock");
        let image = make(directory.path().join("image"));
        let common =
            ["--persistent", "--shared=8", "--export-name=disk", "--socket", socket.to_str().unwrap()];
        let server =
            Background::listening("qemu-nbd", &[&common[..], arguments, &[&image]].concat(), &socket);
        Self { client: Client::connect(&socket, "disk").unwrap(), _server: server, _directory: directory }
    }
}

impl BlockRead for Foreign {
    fn size(&self) -> u64 {
        self.client.size()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        self.client.read_at(buf, offset)
    }
    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        self.client.extents(range)
    }
}

impl BlockWrite for Foreign {
    fn write_at(&self, data: &[u8], offset: u64) -> block::Result<()> {
        self.client.write_at(data, offset)
    }
    fn zero(&self, range: Range<u64>) -> block::Result<()> {
        self.client.zero(range)
    }
    fn discard(&self, range: Range<u64>) -> block::Result<()> {
        self.client.discard(range)
    }
    fn flush(&self) -> block::Result<()> {
        self.client.flush()
    }
}

#[test]
fn nbdkit_conforms_through_us() {
    let make = |size: u64| Foreign::nbdkit(&["memory", &size.to_string()]);
    conformance::write(make);
    conformance::parallel(make);
}

#[test]
fn a_server_with_whole_sectors_only_conforms_through_us() {
    let make = |size: u64| {
        let size = size.next_multiple_of(4096).to_string();
        let policy = ["blocksize-error-policy=error", "blocksize-minimum=4096", "blocksize-maximum=65536"];
        Foreign::nbdkit(&[&["--filter=blocksize-policy", "memory", &size], &policy[..]].concat())
    };
    conformance::write(make);
    // Neighbouring stripes of 1536 bytes share blocks of 4096: edges are read, changed and written back.
    conformance::parallel(make);
}

#[test]
fn a_server_that_can_do_little_conforms_through_us() {
    // No structured replies, no zeroing, no extents, one connection.
    let make = |size: u64| {
        let filters =
            ["--no-sr", "--filter=nozero", "--filter=multi-conn", "memory", "multi-conn-mode=disable"];
        Foreign::nbdkit(&[&filters[..], &[&size.to_string()]].concat())
    };
    conformance::write(make);
    conformance::parallel(make);
}

#[test]
fn an_old_server_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("nbd.sock");
    let arguments = ["--foreground", "--oldstyle", "--unix", socket.to_str().unwrap(), "memory", "1M"];
    let _server = Background::listening("nbdkit", &arguments, &socket);
    assert!(matches!(Client::connect(&socket, "").unwrap_err(), Error::OldServer));
}

#[test]
fn a_servers_error_is_told_with_its_place() {
    let foreign =
        Foreign::nbdkit(&["--filter=error", "memory", "1M", "error-pread=ENOSPC", "error-pread-rate=1"]);
    let error = foreign.read_at(&mut [0; 10], 4096).unwrap_err().to_string();
    assert!(error.starts_with("the server fails to read at byte 4096 of export \"\": ENOSPC"), "{error}");
    foreign.write_at(&[1; 10], 4096).unwrap();
}

#[test]
fn qemu_conforms_through_us() {
    let make = |size: u64| {
        Foreign::qemu(&["--format=raw", "--discard=unmap"], |image| {
            std::fs::File::create(&image).unwrap().set_len(size.next_multiple_of(512)).unwrap();
            image.to_str().unwrap().to_owned()
        })
    };
    conformance::write(make);
    conformance::parallel(make);
}

#[test]
fn qemu_shows_us_a_qcow2() {
    let bytes = conformance::sample(5 << 20, 8);
    let foreign = Foreign::qemu(&["--read-only", "--format=qcow2"], |image| {
        let raw = image.with_extension("raw");
        std::fs::write(&raw, &bytes).unwrap();
        let image = image.to_str().unwrap();
        run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", raw.to_str().unwrap(), image]);
        image.to_owned()
    });
    assert!(foreign.client.is_read_only());
    assert!(foreign.extents(0..5 << 20).unwrap().iter().any(|extent| !extent.is_data()));
    conformance::read(&foreign, &bytes);
}
