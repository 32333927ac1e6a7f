//! Where the overlay's data lies: in memory up to a limit, then in an unlinked temporary file.

use super::BLOCK;
use crate::{Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Room for one block.
#[derive(Debug)]
pub(super) enum Room {
    /// In memory.
    Memory(Box<[u8]>),
    /// In the spill file, at this multiple of the block's size.
    Spill(u64),
}

/// Hands out room for blocks and takes it back.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    /// Made when it is first needed. It has no name: nothing is left behind, however the process ends.
    spill: OnceLock<File>,
    free: Mutex<Free>,
}

#[derive(Debug)]
struct Free {
    /// How many more blocks may lie in memory.
    memory: u64,
    /// Places in the spill file that were given back.
    places: Vec<u64>,
    /// The first place of the spill file that was never used.
    next: u64,
}

impl Store {
    pub(super) fn new(memory_limit: u64, directory: PathBuf) -> Self {
        let free = Free { memory: memory_limit / BLOCK, places: Vec::new(), next: 0 };
        Self { directory, spill: OnceLock::new(), free: Mutex::new(free) }
    }

    /// Room for a block, with no particular contents: only what was written to it may be read.
    pub(super) fn take(&self) -> Result<Room> {
        let mut free = self.free();
        if free.memory > 0 {
            free.memory -= 1;
            drop(free);
            return Ok(Room::Memory(vec![0; BLOCK as usize].into_boxed_slice()));
        }
        // Still under the lock, so that the file is made once.
        self.spill_file()?;
        if let Some(place) = free.places.pop() {
            return Ok(Room::Spill(place));
        }
        free.next += 1;
        Ok(Room::Spill(free.next - 1))
    }

    /// Takes room back.
    pub(super) fn give_back(&self, room: Room) {
        match room {
            Room::Memory(_) => self.free().memory += 1,
            Room::Spill(place) => self.free().places.push(place),
        }
    }

    /// Fills `buf` from `inner` (bytes) of the block on.
    pub(super) fn read(&self, room: &Room, inner: u64, buf: &mut [u8]) -> Result<()> {
        match room {
            Room::Memory(block) => {
                let inner = inner as usize;
                buf.copy_from_slice(&block[inner..inner + buf.len()]);
                Ok(())
            }
            Room::Spill(place) => {
                let offset = place * BLOCK + inner;
                let read = self.spill_file()?.read_exact_at(buf, offset);
                read.map_err(|source| self.error("read a spill file in", offset, source))
            }
        }
    }

    /// Writes `data` at `inner` (bytes) of the block.
    pub(super) fn write(&self, room: &mut Room, inner: u64, data: &[u8]) -> Result<()> {
        match room {
            Room::Memory(block) => {
                let inner = inner as usize;
                block[inner..inner + data.len()].copy_from_slice(data);
                Ok(())
            }
            Room::Spill(place) => {
                let offset = *place * BLOCK + inner;
                let written = self.spill_file()?.write_all_at(data, offset);
                written.map_err(|source| self.error("write a spill file in", offset, source))
            }
        }
    }

    fn spill_file(&self) -> Result<&File> {
        if let Some(file) = self.spill.get() {
            return Ok(file);
        }
        let file = tempfile::tempfile_in(&self.directory)
            .map_err(|source| Error::io("make a spill file in", &self.directory, None, source))?;
        Ok(self.spill.get_or_init(|| file))
    }

    fn error(&self, operation: &'static str, offset: u64, source: std::io::Error) -> Error {
        Error::io(operation, &self.directory, Some(offset), source)
    }

    // Every change under this lock is one assignment or one push: a panic elsewhere leaves it whole.
    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_first_then_the_file_and_both_are_reused() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(2 * BLOCK + 1, directory.path().to_path_buf());
        let rooms: Vec<Room> = (0..4).map(|_| store.take().unwrap()).collect();
        let in_memory = |rooms: &[Room]| rooms.iter().filter(|room| matches!(room, Room::Memory(_))).count();
        assert_eq!(in_memory(&rooms), 2);
        assert!(matches!(rooms[3], Room::Spill(1)));
        rooms.into_iter().for_each(|room| store.give_back(room));
        let again: Vec<Room> = (0..4).map(|_| store.take().unwrap()).collect();
        assert_eq!(in_memory(&again), 2);
        assert!(matches!(store.take().unwrap(), Room::Spill(2)));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the spill file has no name");
    }

    #[test]
    fn a_directory_that_is_not_there_is_a_clear_error() {
        let store = Store::new(0, PathBuf::from("/nonexistent/directory"));
        let error = store.take().unwrap_err();
        assert_eq!(error.to_string(), "cannot make a spill file in /nonexistent/directory");
    }
}
