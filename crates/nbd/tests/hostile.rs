//! Peers that do not keep to the protocol: raw bytes to our server, and servers that lie to our client.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use block::{BlockRead, BlockWrite, MemoryDisk};
use nbd::{Client, Error, Export, Running, Server};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use support::serve;
use tempfile::TempDir;

const SIZE: u64 = 1 << 20;

fn server() -> (TempDir, Running) {
    let disk = || Arc::new(MemoryDisk::from_bytes(vec![5; SIZE as usize]));
    serve(Server::new().export("w", Export::Writable(disk())).export("r", Export::ReadOnly(disk())))
}

/// A client that says what it likes.
struct Raw(UnixStream);

impl Raw {
    /// Connects and answers the greeting.
    fn greet(running: &Running) -> Self {
        let mut raw = Self(UnixStream::connect(running.path()).unwrap());
        let greeting = raw.hear(18);
        assert_eq!(&greeting[..], b"NBDMAGICIHAVEOPT\0\x03");
        raw.say(&3_u32.to_be_bytes());
        raw
    }

    /// Comes as far as requests, with or without structured replies.
    fn transmission(running: &Running, export: &str, structured: bool) -> Self {
        let mut raw = Self::greet(running);
        if structured {
            assert_eq!(raw.option(8, &[]), vec![(1, vec![])]);
            let context = [&string(export)[..], &1_u32.to_be_bytes(), &string("base:allocation")].concat();
            assert_eq!(raw.option(10, &context).last(), Some(&(1, vec![])));
        }
        assert_eq!(raw.option(7, &[&string(export)[..], &[0, 0]].concat()).last(), Some(&(1, vec![])));
        raw
    }

    fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn hear(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn number(&mut self) -> u32 {
        u32::from_be_bytes(self.hear(4).try_into().unwrap())
    }

    /// Whether the server hangs up now.
    fn is_over(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0) | Err(_))
    }

    fn send_option(&mut self, number: u32, length: u32, data: &[u8]) {
        self.say(&[&b"IHAVEOPT"[..], &number.to_be_bytes(), &length.to_be_bytes(), data].concat());
    }

    /// Sends an option and returns the answers, up to the one that is final.
    fn option(&mut self, number: u32, data: &[u8]) -> Vec<(u32, Vec<u8>)> {
        self.send_option(number, data.len() as u32, data);
        let mut answers = Vec::new();
        loop {
            assert_eq!(self.hear(8), 0x0003_e889_0455_65a9_u64.to_be_bytes());
            assert_eq!(self.number(), number);
            let (kind, length) = (self.number(), self.number());
            let data = self.hear(length as usize);
            let last = kind == 1 || kind & (1 << 31) != 0;
            answers.push((kind, data));
            if last {
                return answers;
            }
        }
    }

    fn send_request(&mut self, command: u16, flags: u16, offset: u64, length: u32, payload: &[u8]) {
        let (magic, cookie) = (0x2560_9513_u32.to_be_bytes(), 77_u64.to_be_bytes());
        let head = [&magic[..], &flags.to_be_bytes(), &command.to_be_bytes(), &cookie, &offset.to_be_bytes()];
        self.say(&[&head.concat()[..], &length.to_be_bytes(), payload].concat());
    }

    /// Sends a request and returns the error of its simple reply.
    fn simple(&mut self, command: u16, flags: u16, offset: u64, length: u32, payload: &[u8]) -> u32 {
        self.send_request(command, flags, offset, length, payload);
        assert_eq!(self.number(), 0x6744_6698);
        let errno = self.number();
        assert_eq!(self.hear(8), 77_u64.to_be_bytes());
        errno
    }

    /// Sends a request and returns the chunks of its reply: kind and payload.
    fn chunks(&mut self, command: u16, flags: u16, offset: u64, length: u32) -> Vec<(u16, Vec<u8>)> {
        self.send_request(command, flags, offset, length, &[]);
        let mut chunks = Vec::new();
        loop {
            assert_eq!(self.number(), 0x668e_33ef);
            let flags_and_kind = self.number();
            assert_eq!(self.hear(8), 77_u64.to_be_bytes());
            let length = self.number();
            chunks.push((flags_and_kind as u16, self.hear(length as usize)));
            if flags_and_kind >> 16 & 1 == 1 {
                return chunks;
            }
        }
    }
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat()
}

const EPERM: u32 = 1;
const EINVAL: u32 = 22;
const ENOSPC: u32 = 28;
const ERR_UNSUP: u32 = (1 << 31) + 1;
const ERR_INVALID: u32 = (1 << 31) + 3;
const ERR_UNKNOWN: u32 = (1 << 31) + 6;
const ERR_TOO_BIG: u32 = (1 << 31) + 9;

#[test]
fn options_that_are_unknown_malformed_or_too_long_are_answered() {
    let (_directory, running) = server();
    let mut raw = Raw::greet(&running);
    let last = |answers: Vec<(u32, Vec<u8>)>| answers.last().unwrap().0;
    for unknown in [0, 4, 5, 11, 12, u32::MAX] {
        assert_eq!(last(raw.option(unknown, b"whatever")), ERR_UNSUP, "option {unknown}");
    }
    assert_eq!(last(raw.option(99, &vec![0; 1 << 20])), ERR_TOO_BIG);
    for takes_none in [3, 8] {
        assert_eq!(last(raw.option(takes_none, b"data")), ERR_INVALID);
    }
    let malformed: [&[u8]; 5] =
        [b"", &[0, 0, 0], &[0xFF; 6], &[0, 0, 0, 1, b'w', 0, 1], &[0, 0, 0, 1, b'w', 0, 0, 0]];
    for option in [6, 7] {
        for data in malformed {
            assert_eq!(last(raw.option(option, data)), ERR_INVALID, "option {option} with {data:?}");
        }
        assert_eq!(last(raw.option(option, &[&string("x")[..], &[0, 0]].concat())), ERR_UNKNOWN);
        assert_eq!(last(raw.option(option, &[&[0, 0, 0, 2, 0xFF, 0xFE][..], &[0, 0]].concat())), ERR_UNKNOWN);
    }
    let context = [&string("w")[..], &1_u32.to_be_bytes(), &string("base:allocation")].concat();
    assert_eq!(last(raw.option(10, &context)), ERR_INVALID, "structured replies come first");
    assert_eq!(last(raw.option(8, &[])), 1);
    let many = [&string("w")[..], &u32::MAX.to_be_bytes(), &string("base:allocation")].concat();
    assert_eq!(last(raw.option(10, &many)), ERR_INVALID);
    let other = [&string("w")[..], &1_u32.to_be_bytes(), &string("x:y")].concat();
    assert_eq!(raw.option(10, &other), vec![(1, vec![])]);
    assert_eq!(raw.option(10, &context).len(), 2);
    let wildcard = [&string("w")[..], &1_u32.to_be_bytes(), &string("base:")].concat();
    assert_eq!((raw.option(9, &wildcard).len(), raw.option(10, &wildcard).len()), (2, 1));
    // After all that, it still works.
    assert_eq!(last(raw.option(7, &[&string("w")[..], &[0, 0]].concat())), 1);
    assert_eq!(raw.chunks(0, 0, 0, 4096).len(), 1);
}

#[test]
fn the_server_hangs_up_on_what_it_cannot_answer() {
    let (_directory, running) = server();
    let mut wrong_flags = Raw(UnixStream::connect(running.path()).unwrap());
    wrong_flags.hear(18);
    wrong_flags.say(&0x8000_0001_u32.to_be_bytes());
    assert!(wrong_flags.is_over());

    let mut wrong_magic = Raw::greet(&running);
    wrong_magic.say(&[0xAA; 16]);
    assert!(wrong_magic.is_over());

    let mut unknown_export = Raw::greet(&running);
    unknown_export.send_option(1, 1, b"x");
    assert!(unknown_export.is_over());

    let mut abort = Raw::greet(&running);
    assert_eq!(abort.option(2, &[]), vec![(1, vec![])]);
    assert!(abort.is_over());

    let mut wrong_request = Raw::transmission(&running, "w", false);
    wrong_request.say(&[0xAA; 28]);
    assert!(wrong_request.is_over());

    let mut leaving = Raw::transmission(&running, "w", true);
    leaving.send_request(2, 0, 0, 0, &[]);
    assert!(leaving.is_over());
}

#[test]
fn the_oldest_way_to_choose_an_export_works() {
    let (_directory, running) = server();
    let mut raw = Raw(UnixStream::connect(running.path()).unwrap());
    raw.hear(18);
    raw.say(&1_u32.to_be_bytes());
    raw.send_option(1, 1, b"r");
    let answer = raw.hear(8 + 2 + 124);
    assert_eq!(answer[..8], SIZE.to_be_bytes());
    assert_eq!(answer[8..10], [1, 3], "multiple connections, flags, read only");
    assert!(answer[10..].iter().all(|byte| *byte == 0));
    assert_eq!(raw.simple(0, 0, SIZE - 10, 10, &[]), 0);
    assert_eq!(raw.hear(10), [5; 10]);
}

#[test]
fn requests_that_cannot_be_served_are_refused_as_the_protocol_says() {
    let (_directory, running) = server();
    let mut raw = Raw::transmission(&running, "w", false);
    let outside = [(SIZE, 1), (SIZE - 1, 2), (u64::MAX, 1), (u64::MAX - 3, 100)];
    for (offset, length) in outside {
        assert_eq!(raw.simple(0, 0, offset, length, &[]), EINVAL, "read");
        assert_eq!(raw.simple(1, 0, offset, length, &vec![1; length as usize]), ENOSPC, "write");
        assert_eq!(raw.simple(4, 0, offset, length, &[]), EINVAL, "trim");
        assert_eq!(raw.simple(6, 0, offset, length, &[]), ENOSPC, "zero");
    }
    assert_eq!(raw.simple(6, 0, 0, u32::MAX, &[]), ENOSPC);
    assert_eq!(raw.simple(0, 0, 0, u32::MAX, &[]), EINVAL);
    assert_eq!(raw.simple(1, 0, 0, (32 << 20) + 1, &vec![1; (32 << 20) + 1]), EINVAL);
    for unknown in [5, 8, 9, 0x7FFF, u16::MAX] {
        assert_eq!(raw.simple(unknown, 0, 0, 10, &[]), EINVAL, "command {unknown}");
    }
    // The status of blocks, without a context; and flags that do not belong there.
    assert_eq!(raw.simple(7, 0, 0, 4096, &[]), EINVAL);
    for (command, flags) in [(0, 4), (0, 2), (1, 4), (1, 2), (4, 2), (6, 16), (6, 8), (3, 8)] {
        assert_eq!(raw.simple(command, flags, 0, 1, if command == 1 { &[1] } else { &[] }), EINVAL);
    }
    assert_eq!(raw.simple(1, 1, 0, 1, &[5]), 0);

    let mut raw = Raw::transmission(&running, "r", false);
    for command in [1, 4, 6] {
        assert_eq!(raw.simple(command, 0, 0, 1, if command == 1 { &[1] } else { &[] }), EPERM);
    }
    assert_eq!(raw.simple(3, 0, 0, 0, &[]), 0, "a flush of what never changes");
    assert_eq!(Client::connect(running.path(), "r").unwrap().size(), SIZE);
}

#[test]
fn structured_replies_have_their_chunks() {
    let disk = MemoryDisk::new(SIZE);
    disk.write_at(&[1; 100], 65_536).unwrap();
    let (_directory, running) = serve(Server::new().export("d", Export::ReadOnly(Arc::new(disk))));
    let mut raw = Raw::transmission(&running, "d", true);
    let kinds = |chunks: &[(u16, Vec<u8>)]| chunks.iter().map(|chunk| chunk.0).collect::<Vec<_>>();
    let (data, hole, status, error) = (1, 2, 5, 0x8001);
    assert_eq!(kinds(&raw.chunks(0, 0, 0, 300_000)), [hole, data, hole]);
    assert_eq!(kinds(&raw.chunks(0, 0, 65_000, 70_000)), [data], "short holes are data");
    assert_eq!(kinds(&raw.chunks(0, 4, 0, 300_000)), [data], "not fragmented");
    assert_eq!(kinds(&raw.chunks(0, 4, 0, 1000)), [hole]);
    assert_eq!(kinds(&raw.chunks(0, 0, 0, 0)), [0]);
    assert_eq!(kinds(&raw.chunks(0, 0, SIZE, 1)), [error]);
    let said = raw.chunks(7, 0, 0, SIZE as u32);
    assert_eq!((said.len(), said[0].0, said[0].1.len()), (1, status, 4 + 3 * 8));
    let said = raw.chunks(7, 8, 100_000, 500_000);
    assert_eq!((said[0].0, said[0].1.len()), (status, 4 + 8), "only one is asked for");
    assert_eq!(said[0].1[4..8], (131_072_u32 - 100_000).to_be_bytes());
    assert_eq!(kinds(&raw.chunks(7, 0, 0, 0)), [error]);
    assert_eq!(kinds(&raw.chunks(7, 0, 1, SIZE as u32)), [error]);
}

#[test]
fn clients_that_vanish_at_any_point_leave_the_server_well() {
    let (_directory, running) = server();
    let mut said = 3_u32.to_be_bytes().to_vec();
    said.extend_from_slice(&[&b"IHAVEOPT"[..], &[0, 0, 0, 7, 0, 0, 0, 7, 0, 0, 0, 1, b'w', 0, 0]].concat());
    said.extend_from_slice(&0x2560_9513_u32.to_be_bytes());
    said.extend_from_slice(&[
        0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3,
    ]);
    for length in 0..said.len() {
        let mut stream = UnixStream::connect(running.path()).unwrap();
        // The server may hang up before everything is said.
        let _ = stream.write_all(&said[..length]);
    }
    Client::connect(running.path(), "w").unwrap().read_at(&mut [0; 10], 0).unwrap();
}

#[test]
fn a_client_that_never_listens_does_not_stop_the_server() {
    let (_directory, running) = server();
    let mut deaf = Raw::transmission(&running, "w", false);
    deaf.0.set_nonblocking(true).unwrap();
    let request =
        [&0x2560_9513_u32.to_be_bytes()[..], &[0; 12], &0_u64.to_be_bytes(), &(SIZE as u32).to_be_bytes()];
    let request = request.concat();
    // Until neither the socket nor the server takes any more.
    while deaf.0.write_all(&request).is_ok() {}
    Client::connect(running.path(), "w").unwrap().read_at(&mut [0; 10], 0).unwrap();
    drop(running);
}

#[test]
fn more_connections_than_are_served_are_closed() {
    let (_directory, running) = server();
    let first: Vec<Raw> = (0..64).map(|_| Raw::greet(&running)).collect();
    assert!(Raw(UnixStream::connect(running.path()).unwrap()).is_over(), "one more");
    drop(first);
    // The places become free as the server sees the connections end.
    while Client::connect(running.path(), "w").is_err() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// A server that says `said` to whoever connects, whatever it hears.
fn parrot(path: &Path, said: Vec<u8>) -> std::thread::JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut ears = stream.try_clone().unwrap();
        let hearing = std::thread::spawn(move || std::io::copy(&mut ears, &mut std::io::sink()));
        // The client may hang up first.
        let _ = stream.write_all(&said);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = hearing.join();
    })
}

/// What a good server says until the first request, of an export of `SIZE` bytes with structured replies.
fn good_start(flags: u16) -> Vec<u8> {
    let answer = |option: u32, kind: u32, data: &[u8]| {
        let length = (data.len() as u32).to_be_bytes();
        let magic = 0x0003_e889_0455_65a9_u64.to_be_bytes();
        [&magic[..], &option.to_be_bytes(), &kind.to_be_bytes(), &length, data].concat()
    };
    [
        b"NBDMAGICIHAVEOPT\0\x03".to_vec(),
        answer(8, 1, &[]),
        answer(10, 4, &[&9_u32.to_be_bytes()[..], b"base:allocation"].concat()),
        answer(10, 1, &[]),
        answer(7, 3, &[&[0, 0][..], &SIZE.to_be_bytes(), &flags.to_be_bytes()].concat()),
        answer(7, 1, &[]),
    ]
    .concat()
}

fn chunk(flags: u16, kind: u16, payload: &[u8]) -> Vec<u8> {
    let head = [&0x668e_33ef_u32.to_be_bytes()[..], &flags.to_be_bytes(), &kind.to_be_bytes()].concat();
    let rest = [&1_u64.to_be_bytes()[..], &(payload.len() as u32).to_be_bytes(), payload].concat();
    [head, rest].concat()
}

fn at(offset: u64, rest: &[u8]) -> Vec<u8> {
    [&offset.to_be_bytes()[..], rest].concat()
}

/// What our client makes of a server that says `reply` to its first request.
fn asked<T>(reply: &[u8], ask: impl FnOnce(&Client) -> T) -> T {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nbd.sock");
    let server = parrot(&path, [&good_start(1)[..], reply].concat());
    let client = Client::connect(&path, "").unwrap();
    let answer = ask(&client);
    drop(client);
    server.join().unwrap();
    answer
}

#[test]
fn a_greeting_that_is_none_is_an_error() {
    let http = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    let old = [&b"NBDMAGIC"[..], &0x0000_4202_8186_1253_u64.to_be_bytes(), &[0; 136]].concat();
    let start = good_start(1);
    let mut no_size = start[..18].to_vec();
    for option in [8_u32, 10, 7] {
        no_size.extend_from_slice(&0x0003_e889_0455_65a9_u64.to_be_bytes());
        no_size.extend_from_slice(&option.to_be_bytes());
        no_size.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
    }
    let mut endless = start[..18].to_vec();
    for _ in 0..2000 {
        endless.extend_from_slice(&0x0003_e889_0455_65a9_u64.to_be_bytes());
        endless.extend_from_slice(&[0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 0]);
    }
    let mut long = start[..18].to_vec();
    long.extend_from_slice(&0x0003_e889_0455_65a9_u64.to_be_bytes());
    long.extend_from_slice(&[0, 0, 0, 8, 0, 0, 0, 3, 0xFF, 0xFF, 0xFF, 0xFF]);
    for said in [http, old, no_size, endless, long, start[..100].to_vec(), Vec::new()] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nbd.sock");
        let server = parrot(&path, said);
        let error = Client::connect(&path, "").unwrap_err();
        assert!(!matches!(error, Error::Socket { .. } | Error::Refused { .. }), "{error}");
        server.join().unwrap();
    }
}

#[test]
fn good_chunks_in_any_order_are_a_read() {
    let reply = [
        chunk(0, 1, &at(300, &[3; 100])),
        chunk(0, 2, &at(200, &100_u32.to_be_bytes())),
        chunk(0, 1, &at(100, &[1; 100])),
        chunk(1, 0, &[]),
    ];
    let mut buf = [9; 300];
    asked(&reply.concat(), |client| client.read_at(&mut buf, 100)).unwrap();
    assert_eq!(buf.to_vec(), [[1; 100], [0; 100], [3; 100]].concat());
}

#[test]
fn a_reply_that_lies_is_an_error() {
    let replies: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("no data", chunk(1, 0, &[])),
        ("too little", chunk(1, 1, &at(100, &[1; 299]))),
        ("too much", chunk(1, 1, &at(100, &[1; 301]))),
        ("before", chunk(1, 1, &at(99, &[1; 300]))),
        ("behind", chunk(1, 2, &at(u64::MAX, &1_u32.to_be_bytes()))),
        ("a huge hole", chunk(1, 2, &at(100, &u32::MAX.to_be_bytes()))),
        ("an empty hole", chunk(0, 2, &at(100, &0_u32.to_be_bytes()))),
        ("twice", [chunk(0, 1, &at(100, &[1; 200])), chunk(1, 1, &at(250, &[1; 150]))].concat()),
        ("a status", chunk(1, 5, &[&9_u32.to_be_bytes()[..], &[0; 8]].concat())),
        ("an unknown chunk", chunk(1, 99, &[])),
        ("a malformed error", chunk(1, 0x8001, &[0, 0, 0, 5, 0xFF, 0xFF])),
        ("an error that is none", chunk(1, 0x8001, &[0, 0, 0, 0, 0, 0])),
        ("a long error", chunk(1, 0x8001, &vec![1; 100_000])),
        ("no end", chunk(0, 0, &[]).repeat(70_000)),
        (
            "a simple reply",
            [&0x6744_6698_u32.to_be_bytes()[..], &[0; 4], &1_u64.to_be_bytes(), &[1; 300]].concat(),
        ),
        ("another magic", vec![0xAA; 400]),
    ];
    for (name, reply) in replies {
        let result = asked(&reply, |client| client.read_at(&mut [0; 300], 100));
        assert!(result.is_err(), "{name}");
    }
    let other = [&0x668e_33ef_u32.to_be_bytes()[..], &[0, 1, 0, 0], &8_u64.to_be_bytes(), &[0; 4]].concat();
    assert!(asked(&other, |client| client.read_at(&mut [0; 300], 100)).is_err(), "another cookie");
}

#[test]
fn a_status_that_lies_is_an_error() {
    let status = |context: u32, descriptors: &[(u32, u32)]| {
        let mut payload = context.to_be_bytes().to_vec();
        for (length, flags) in descriptors {
            payload.extend_from_slice(&length.to_be_bytes());
            payload.extend_from_slice(&flags.to_be_bytes());
        }
        chunk(1, 5, &payload)
    };
    let extents = |reply: &[u8]| asked(reply, |client| client.extents(0..SIZE));
    let good = extents(&status(9, &[(4096, 3), (u32::MAX, 0)])).unwrap();
    assert_eq!(good.iter().map(|extent| extent.range.clone()).collect::<Vec<_>>(), [0..4096, 4096..SIZE]);
    for reply in [
        status(9, &[]),
        status(9, &[(0, 0)]),
        status(9, &[(4096, 0), (0, 3), (4096, 0)]),
        status(8, &[(SIZE as u32, 0)]),
        chunk(1, 5, &[0, 0, 0, 9, 1]),
        chunk(1, 5, &[]),
        chunk(1, 0, &[]),
        [chunk(0, 5, &[0; 12]), chunk(1, 5, &[0; 12])].concat(),
    ] {
        assert!(extents(&reply).is_err());
    }
}
