//! The server and the client of this crate against each other.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use block::{BlockRead, BlockWrite, Extent, FileDisk, MemoryDisk, Overlay, OverlayOptions, conformance};
use nbd::{Client, Error, Export, Running, Server};
use std::ops::Range;
use std::sync::Arc;
use support::serve;
use tempfile::TempDir;

/// A client with the server that it needs.
struct Remote {
    client: Client,
    _running: Running,
    _directory: TempDir,
}

impl Remote {
    fn new(disk: Arc<dyn BlockWrite>) -> Self {
        let (directory, running) = serve(Server::new().export("disk", Export::Writable(disk)));
        let client = Client::connect(running.path(), "disk").unwrap();
        Self { client, _running: running, _directory: directory }
    }
}

impl BlockRead for Remote {
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

impl BlockWrite for Remote {
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
fn a_remote_disk_conforms() {
    let bytes = conformance::sample(3_000_001, 4);
    let disk = MemoryDisk::from_bytes(bytes.clone());
    let (_directory, running) = serve(Server::new().export("", Export::ReadOnly(Arc::new(disk))));
    conformance::read(&Client::connect(running.path(), "").unwrap(), &bytes);

    let make = |size| Remote::new(Arc::new(MemoryDisk::new(size)));
    conformance::write(make);
    conformance::parallel(make);
}

#[test]
fn a_remote_overlay_over_a_file_conforms() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut model = conformance::sample(2_000_000, 9);
    std::io::Write::write_all(&mut file, &model).unwrap();
    let options = OverlayOptions::new(std::env::temp_dir());
    let overlay = Arc::new(Overlay::new(Arc::new(FileDisk::open(file.path()).unwrap()), options));
    let remote = Remote::new(overlay.clone());
    conformance::operations(&remote, &mut model, 1, 500);
    conformance::read(&remote, &model);
    conformance::read(&*overlay, &model);
}

#[test]
fn a_range_larger_than_any_request_is_cut() {
    let remote = Remote::new(Arc::new(MemoryDisk::new(6 << 30)));
    let data = conformance::sample(70 << 20, 1);
    remote.write_at(&data, (1 << 30) + 5).unwrap();
    let mut back = vec![0; data.len()];
    remote.read_at(&mut back, (1 << 30) + 5).unwrap();
    assert!(back == data);
    remote.zero(1..(6 << 30) - 1).unwrap();
    assert!(!remote.extents(0..6 << 30).unwrap().iter().any(Extent::is_data));
}

#[test]
fn exports_have_names_and_rights() {
    let server = Server::new()
        .export("writable", Export::Writable(Arc::new(MemoryDisk::new(1000))))
        .export("nur lesen, ü", Export::ReadOnly(Arc::new(MemoryDisk::new(2000))));
    let (_directory, running) = serve(server);
    let read_only = Client::connect(running.path(), "nur lesen, ü").unwrap();
    assert_eq!((read_only.size(), read_only.is_read_only()), (2000, true));
    assert!(read_only.write_at(&[1], 0).unwrap_err().to_string().contains("is read only"));
    assert!(read_only.zero(0..1).is_err() && read_only.discard(0..1).is_err());
    assert!(read_only.flush().is_ok());
    let error = Client::connect(running.path(), "other").unwrap_err();
    assert!(matches!(&error, Error::Refused { reply: "no such export", .. }), "{error}");
    assert_eq!(Client::connect(running.path(), "writable").unwrap().size(), 1000);
}

#[test]
fn the_end_of_a_server_is_the_end_of_its_socket_and_connections() {
    let (directory, running) =
        serve(Server::new().export("", Export::ReadOnly(Arc::new(MemoryDisk::new(1000)))));
    let path = running.path().to_path_buf();
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let client = Client::connect(&path, "").unwrap();
    drop(running);
    assert!(!path.exists());
    assert!(client.read_at(&mut [0; 10], 0).is_err());
    assert!(matches!(Client::connect(&path, ""), Err(Error::Socket { .. })));

    // The same path again, and the client finds the new server.
    let again =
        Server::new().export("", Export::ReadOnly(Arc::new(MemoryDisk::new(1000)))).listen(&path).unwrap();
    client.read_at(&mut [0; 10], 0).unwrap();
    drop(again);
    drop(directory);
}

#[test]
fn a_socket_that_exists_is_left_alone() {
    let (_directory, running) = serve(Server::new());
    assert!(matches!(Server::new().listen(running.path()), Err(Error::Socket { operation: "bind", .. })));
    assert!(running.path().exists());
}

/// A disk whose second half is broken.
struct Broken;

impl BlockRead for Broken {
    fn size(&self) -> u64 {
        1 << 20
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        match offset {
            0..0x8_0000 => buf.fill(7),
            0xF_0000.. => panic!("the disk panics, and this message belongs to a test"),
            _ => {
                return Err(block::Error::io(
                    "read",
                    "/broken",
                    Some(offset),
                    std::io::ErrorKind::Other.into(),
                ));
            }
        }
        Ok(())
    }
    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        Ok(vec![Extent::data(range)])
    }
}

#[test]
fn the_owner_learns_what_the_client_does_not() {
    let (_directory, running) = serve(Server::new().export("broken", Export::ReadOnly(Arc::new(Broken))));
    let client = Client::connect(running.path(), "broken").unwrap();
    assert!(running.first_error("broken").is_none());
    let error = client.read_at(&mut [0; 100], 0x8_1000).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server fails to read at byte 528384 of export \"broken\": EIO (\"the disk fails\")"
    );
    client.read_at(&mut [0; 100], 0x8_2000).unwrap_err();
    let first = running.first_error("broken").unwrap();
    assert_eq!(first.to_string(), "cannot read /broken at byte 528384");
    assert!(running.first_error("other").is_none());
    // The connection is still good.
    let mut buf = [0; 100];
    client.read_at(&mut buf, 0).unwrap();
    assert_eq!(buf, [7; 100]);
}

#[test]
fn a_disk_that_panics_ends_the_connection_and_no_other() {
    let (_directory, running) = serve(Server::new().export("broken", Export::ReadOnly(Arc::new(Broken))));
    let (bystander, client) = (
        Client::connect(running.path(), "broken").unwrap(),
        Client::connect(running.path(), "broken").unwrap(),
    );
    assert!(client.read_at(&mut [0; 100], 0xF_0000).is_err());
    bystander.read_at(&mut [0; 100], 0).unwrap();
    client.read_at(&mut [0; 100], 0).unwrap();
}

#[test]
fn many_threads_share_a_client() {
    let bytes = conformance::sample(4 << 20, 6);
    let remote = Remote::new(Arc::new(MemoryDisk::from_bytes(bytes.clone())));
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let (remote, bytes) = (&remote, &bytes);
            scope.spawn(move || {
                let mut random = conformance::Random::new(thread);
                for _ in 0..100 {
                    let range = random.range(bytes.len() as u64);
                    let mut buf = vec![0; (range.end - range.start) as usize];
                    remote.read_at(&mut buf, range.start).unwrap();
                    assert!(buf == bytes[range.start as usize..range.end as usize]);
                }
            });
        }
    });
}
