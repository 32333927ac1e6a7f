//! A file whose power is cut at any of its writes: [`Recording`] and [`Recording::cuts`].

use block::conformance::Random;
use image::Storage;
use std::io;
use std::sync::Mutex;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;
/// The longest that a file may become, in bytes: all of it lies in memory.
const MOST: usize = 64 << 20;

/// A file in memory that remembers in which order it was changed.
pub(crate) struct Recording {
    before: Vec<u8>,
    state: Mutex<State>,
}

struct State {
    current: Vec<u8>,
    changes: Vec<Change>,
}

enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
    Flush,
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => write(bytes, *offset, data),
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Flush => {}
        }
    }

    /// Applies none of it, all, or some of its sectors.
    fn apply_maybe(&self, bytes: &mut Vec<u8>, random: &mut Random) {
        match (random.below(3), self) {
            (0, _) => {}
            (1, Self::Write { offset, data }) => {
                let first = SECTOR - offset % SECTOR;
                let (head, rest) = data.split_at(first.min(data.len()));
                let pieces = std::iter::once(head).chain(rest.chunks(SECTOR));
                let mut place = *offset;
                for piece in pieces {
                    if random.below(2) == 0 {
                        write(bytes, place, piece);
                    }
                    place += piece.len();
                }
            }
            _ => self.apply(bytes),
        }
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

impl Recording {
    /// A file of these bytes, which are durable.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let state = State { current: bytes.to_vec(), changes: Vec::new() };
        Self { before: bytes.to_vec(), state: Mutex::new(state) }
    }

    /// What stands in it now.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.state.lock().unwrap().current.clone()
    }

    /// Whether everything that was written is durable.
    pub(crate) fn is_flushed(&self) -> bool {
        matches!(self.state.lock().unwrap().changes.last(), None | Some(Change::Flush))
    }

    /// Hands on what power cuts before, between and behind the changes would have left: for every change that comes
    /// last, with nothing of what was not flushed lost, all of it, and `seeds` choices between.
    pub(crate) fn cuts(&self, seeds: u64, mut see: impl FnMut(usize, Vec<u8>)) {
        let state = self.state.lock().unwrap();
        let mut durable = self.before.clone();
        let mut pending: Vec<&Change> = Vec::new();
        for (number, change) in state.changes.iter().enumerate() {
            if matches!(change, Change::Flush) {
                pending.drain(..).for_each(|change| change.apply(&mut durable));
                continue;
            }
            pending.push(change);
            see(number, durable.clone());
            let mut whole = durable.clone();
            pending.iter().for_each(|change| change.apply(&mut whole));
            see(number, whole);
            for seed in 0..seeds {
                let mut random = Random::new(seed * 1000 + number as u64);
                let mut left = durable.clone();
                pending.iter().for_each(|change| change.apply_maybe(&mut left, &mut random));
                see(number, left);
            }
        }
    }
}

impl Storage for Recording {
    fn length(&self) -> io::Result<u64> {
        Ok(self.state.lock().unwrap().current.len() as u64)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.state.lock().unwrap();
        let end = usize::try_from(offset).ok().and_then(|start| start.checked_add(buf.len()));
        let bytes = end.and_then(|end| state.current.get(offset as usize..end));
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.record(Change::Write { offset: offset as usize, data: data.to_vec() });
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.record(Change::Length(length as usize));
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.record(Change::Flush);
        Ok(())
    }
}

impl Recording {
    fn record(&self, change: Change) {
        let end = match &change {
            Change::Write { offset, data } => offset + data.len(),
            Change::Length(length) => *length,
            Change::Flush => 0,
        };
        assert!(end <= MOST, "the file would become {end} bytes long");
        let mut state = self.state.lock().unwrap();
        change.apply(&mut state.current);
        state.changes.push(change);
    }
}
