//! Anything as what a client says to our server, which may answer anything but not panic, hang, or write to an
//! export that is read only.
#![no_main]

use block::{BlockRead, MemoryDisk};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use nbd::{Export, Server};
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

const SIZE: usize = 70_000;

/// What a client says: perhaps a good negotiation, perhaps good requests, and then anything.
#[derive(Arbitrary, Debug)]
struct Conversation {
    negotiation: Option<Negotiation>,
    requests: Vec<Request>,
    anything: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
struct Negotiation {
    read_only: bool,
    structured: bool,
}

/// A well-formed request for a place near the disk's end or its start.
#[derive(Arbitrary, Debug)]
struct Request {
    flags: u8,
    command: u8,
    offset: u32,
    length: u16,
    payload: u8,
}

impl Conversation {
    fn bytes(&self) -> Vec<u8> {
        let mut said = Vec::new();
        if let Some(negotiation) = &self.negotiation {
            negotiation.say(&mut said);
            self.requests.iter().take(200).for_each(|request| request.say(&mut said));
        }
        said.extend_from_slice(&self.anything);
        said
    }
}

impl Negotiation {
    fn say(&self, said: &mut Vec<u8>) {
        let string = |text: &str| [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
        let export = string(if self.read_only { "r" } else { "w" });
        let context = [&export, &1_u32.to_be_bytes()[..], &string("base:allocation")].concat();
        said.extend_from_slice(&3_u32.to_be_bytes());
        let mut option = |number: u32, data: &[u8]| {
            said.extend_from_slice(b"IHAVEOPT");
            said.extend_from_slice(&number.to_be_bytes());
            said.extend_from_slice(&(data.len() as u32).to_be_bytes());
            said.extend_from_slice(data);
        };
        if self.structured {
            option(8, &[]);
            option(10, &context);
        }
        option(7, &[&export, &[0, 0][..]].concat());
    }
}

impl Request {
    fn say(&self, said: &mut Vec<u8>) {
        let command = u16::from(self.command % 10);
        let length = u32::from(self.length);
        said.extend_from_slice(&0x2560_9513_u32.to_be_bytes());
        said.extend_from_slice(&u16::from(self.flags % 64).to_be_bytes());
        said.extend_from_slice(&command.to_be_bytes());
        said.extend_from_slice(&7_u64.to_be_bytes());
        said.extend_from_slice(&u64::from(self.offset % 80_000).to_be_bytes());
        said.extend_from_slice(&length.to_be_bytes());
        if command == 1 {
            said.resize(said.len() + length as usize, self.payload);
        }
    }
}

fuzz_target!(|conversation: Conversation| {
    let disk = Arc::new(MemoryDisk::new(SIZE as u64));
    let constant = Arc::new(MemoryDisk::from_bytes(vec![1; SIZE]));
    let server =
        Server::new().export("w", Export::Writable(disk)).export("r", Export::ReadOnly(constant.clone()));
    let (mut client, peer) = UnixStream::pair().unwrap();
    let mut ears = client.try_clone().unwrap();
    let hearing = std::thread::spawn(move || {
        // The server closes a connection that it does not like; then reading ends with an error.
        let _ = std::io::copy(&mut ears, &mut std::io::sink());
    });
    let said = conversation.bytes();
    let speaking = std::thread::spawn(move || {
        let _ = client.write_all(&said);
        let _ = client.shutdown(Shutdown::Write);
    });
    server.serve(&peer);
    drop(peer);
    speaking.join().unwrap();
    hearing.join().unwrap();
    let mut buf = vec![0; SIZE];
    constant.read_at(&mut buf, 0).unwrap();
    assert!(buf.iter().all(|byte| *byte == 1), "a read-only export was written");
});
