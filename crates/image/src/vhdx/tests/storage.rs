//! A file in memory that can lose what was not flushed: [`Memory`].

use crate::copy::{Files, Place};
use crate::storage::Storage;
use block::conformance::Random;
use block::{BlockRead, BlockWrite, MemoryDisk};
use std::io;
use std::ops::Range;
use std::sync::Mutex;

/// The longest file.
const LONGEST: u64 = 1 << 42;
/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// A file in memory.
pub(super) struct Memory(Mutex<State>);

struct State {
    disk: MemoryDisk,
    length: u64,
    /// The file as it was flushed last, and what was done since.
    durable: (MemoryDisk, u64),
    pending: Vec<Pending>,
    /// How many more changes succeed before the power fails.
    left: usize,
}

#[derive(Clone)]
enum Pending {
    Write(u64, Vec<u8>),
    Length(u64),
    Discard(Range<u64>),
}

impl Default for Memory {
    fn default() -> Self {
        Self::of(MemoryDisk::new(LONGEST), 0)
    }
}

impl Memory {
    fn of(disk: MemoryDisk, length: u64) -> Self {
        let durable = (disk.clone(), length);
        Self(Mutex::new(State { disk, length, durable, pending: Vec::new(), left: usize::MAX }))
    }

    /// The bytes; those behind the file's end are zeroes.
    pub(super) fn disk(&self) -> MemoryDisk {
        self.0.lock().unwrap().disk.clone()
    }

    /// Bytes of the file.
    pub(super) fn length(&self) -> u64 {
        self.0.lock().unwrap().length
    }

    /// A durable copy of it, in which the power fails after so many changes.
    pub(super) fn failing_after(&self, changes: usize) -> Self {
        let copy = Self::of(self.disk(), self.length());
        copy.0.lock().unwrap().left = changes;
        copy
    }

    /// What a power cut would leave: of every change since the last flush all, nothing or some sectors.
    pub(super) fn crashed(&self, seed: u64) -> Self {
        let state = self.0.lock().unwrap();
        let mut random = Random::new(seed);
        let (disk, mut length) = (state.durable.0.clone(), state.durable.1);
        for pending in &state.pending {
            let lost = random.below(3);
            match pending {
                _ if lost == 0 => {}
                Pending::Length(new) => length = *new,
                Pending::Discard(range) => disk.zero(range.clone()).unwrap(),
                Pending::Write(offset, data) => {
                    for (place, sector) in (*offset..).step_by(SECTOR).zip(data.chunks(SECTOR)) {
                        if lost == 1 || random.below(2) == 0 {
                            disk.write_at(sector, place).unwrap();
                            length = length.max(place + sector.len() as u64);
                        }
                    }
                }
            }
        }
        Self::of(disk, length)
    }

    /// Writes durably, as part of a test's setting.
    pub(super) fn put(&self, data: &[u8], offset: u64) {
        self.write_all_at(data, offset).unwrap();
        Storage::flush(self).unwrap();
    }

    /// Reads bytes of the file.
    pub(super) fn get(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    fn change(&self, pending: Pending) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.left = state.left.checked_sub(1).ok_or_else(|| io::Error::other("the power failed"))?;
        match &pending {
            Pending::Write(offset, data) => {
                state.disk.write_at(data, *offset).unwrap();
                state.length = state.length.max(offset + data.len() as u64);
            }
            Pending::Length(length) => {
                state.disk.zero(*length..LONGEST).unwrap();
                state.length = *length;
            }
            Pending::Discard(range) => state.disk.zero(range.clone()).unwrap(),
        }
        state.pending.push(pending);
        Ok(())
    }
}

impl Storage for Memory {
    fn length(&self) -> io::Result<u64> {
        Ok(Self::length(self))
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if offset + buf.len() as u64 > Self::length(self) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.lock().unwrap().disk.read_at(buf, offset).map_err(io::Error::other)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.change(Pending::Write(offset, data.to_vec()))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(Pending::Length(length))
    }

    fn discard(&self, range: Range<u64>) -> io::Result<u64> {
        let data = |disk: &MemoryDisk| -> u64 {
            let extents = disk.extents(range.clone()).unwrap();
            extents.iter().filter(|extent| extent.is_data()).map(block::Extent::len).sum()
        };
        let before = data(&self.disk());
        self.change(Pending::Discard(range.clone()))?;
        Ok(before - data(&self.disk()))
    }

    fn flush(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.left = state.left.checked_sub(1).ok_or_else(|| io::Error::other("the power failed"))?;
        state.durable = (state.disk.clone(), state.length);
        state.pending.clear();
        Ok(())
    }
}

impl Files for Memory {
    fn write(&self, data: &[u8], place: Place) -> io::Result<()> {
        self.write_all_at(data, place.offset)
    }

    fn set_len(&self, _file: usize, length: u64) -> io::Result<()> {
        Storage::set_len(self, length)
    }

    fn allocate(&self, _file: usize, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }
}
