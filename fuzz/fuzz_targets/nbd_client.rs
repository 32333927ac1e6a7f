//! Anything as what a server says to our client, which may fail but not panic, hang, or give extents that break
//! their contract.
#![no_main]

use block::{BlockRead, BlockWrite};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use nbd::Client;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixListener;

const SIZE: u64 = 300_000;
const REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;

/// What a server says: perhaps a good negotiation, perhaps well-formed chunks, and then anything.
#[derive(Arbitrary, Debug)]
struct Conversation {
    /// The transmission flags of a good negotiation.
    good: Option<u16>,
    chunks: Vec<Chunk>,
    anything: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
struct Chunk {
    done: bool,
    kind: u8,
    cookie: u8,
    place: u32,
    rest: Vec<u8>,
}

impl Conversation {
    fn bytes(&self) -> Vec<u8> {
        let mut said = Vec::new();
        if let Some(flags) = self.good {
            said.extend_from_slice(b"NBDMAGICIHAVEOPT\0\x03");
            answer(&mut said, 8, 1, &[]);
            answer(&mut said, 10, 4, b"\0\0\0\x09base:allocation");
            answer(&mut said, 10, 1, &[]);
            answer(&mut said, 7, 3, &[&[0, 0][..], &SIZE.to_be_bytes(), &flags.to_be_bytes()].concat());
            answer(&mut said, 7, 1, &[]);
            self.chunks.iter().for_each(|chunk| chunk.say(&mut said));
        }
        said.extend_from_slice(&self.anything);
        said
    }
}

fn answer(said: &mut Vec<u8>, option: u32, kind: u32, data: &[u8]) {
    said.extend_from_slice(&REPLY_MAGIC.to_be_bytes());
    for number in [option, kind, data.len() as u32] {
        said.extend_from_slice(&number.to_be_bytes());
    }
    said.extend_from_slice(data);
}

impl Chunk {
    fn say(&self, said: &mut Vec<u8>) {
        let kind = [0, 1, 2, 5, 0x8001, 0x8002, 99][usize::from(self.kind % 7)];
        let head = match kind {
            1 | 2 => u64::from(self.place % 400_000).to_be_bytes().to_vec(),
            5 => 9_u32.to_be_bytes().to_vec(),
            _ => Vec::new(),
        };
        said.extend_from_slice(&0x668e_33ef_u32.to_be_bytes());
        said.extend_from_slice(&u16::from(self.done).to_be_bytes());
        said.extend_from_slice(&u16::to_be_bytes(kind));
        said.extend_from_slice(&u64::from(self.cookie % 4).to_be_bytes());
        said.extend_from_slice(&((head.len() + self.rest.len()) as u32).to_be_bytes());
        said.extend_from_slice(&head);
        said.extend_from_slice(&self.rest);
    }
}

fuzz_target!(|conversation: Conversation| {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let said = conversation.bytes();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Nobody answers a second connection: it is refused rather than left to wait.
        drop(listener);
        let mut ears = stream.try_clone().unwrap();
        let hearing = std::thread::spawn(move || {
            let _ = std::io::copy(&mut ears, &mut std::io::sink());
        });
        // The client hangs up on nonsense.
        let _ = stream.write_all(&said);
        let _ = stream.shutdown(Shutdown::Write);
        hearing.join().unwrap();
    });
    if let Ok(client) = Client::connect(&path, "") {
        let range = 0..client.size().min(SIZE);
        if let Ok(extents) = client.extents(range.clone()) {
            let mut end = range.start;
            for extent in extents {
                assert!(extent.range.start == end && extent.range.end > end);
                end = extent.range.end;
            }
            assert_eq!(end, range.end);
        }
        let _ = client.read_at(&mut vec![0; range.end as usize], 0);
        let _ = client.write_at(&vec![1; range.end as usize], 0);
        let _ = client.zero(range);
        let _ = client.flush();
    }
    server.join().unwrap();
});
