//! A file for tests that loses its power: [`VolatileFile`].

use super::Storage;
use block::{BlockRead, BlockWrite, CrashDisk, MemoryDisk};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How long a file can become, in bytes.
const CAPACITY: u64 = 64 << 20;

/// A file in memory of which what was not flushed can be lost, and that fails after a number of operations.
pub(crate) struct VolatileFile {
    disk: CrashDisk,
    length: Mutex<Length>,
    /// How many more operations succeed.
    left: AtomicUsize,
}

struct Length {
    durable: u64,
    current: u64,
}

impl VolatileFile {
    /// A file with `bytes`, which are durable.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let disk = MemoryDisk::new(CAPACITY);
        disk.write_at(bytes, 0).expect("it fits");
        let length = bytes.len() as u64;
        Self {
            disk: CrashDisk::from_disk(disk),
            length: Mutex::new(Length { durable: length, current: length }),
            left: AtomicUsize::new(usize::MAX),
        }
    }

    /// The same file, of which all changes but the first `operations` fail.
    pub(crate) fn failing_after(self, operations: usize) -> Self {
        Self { left: AtomicUsize::new(operations), ..self }
    }

    /// What stands in it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length.lock().expect("no test has panicked").current as usize];
        self.disk.read_at(&mut bytes, 0).expect("it lies within the disk");
        bytes
    }

    /// What a power cut now would leave; `seed` chooses what of the changes since the last flush.
    pub(crate) fn crash(&self, seed: u64) -> Vec<u8> {
        let length = self.length.lock().expect("no test has panicked");
        // A file that was to be cut can still be long, one that has grown can still be short.
        let length = if seed.is_multiple_of(2) { length.durable } else { length.current };
        let mut bytes = vec![0; length as usize];
        let left = self.disk.crash(seed).expect("it lies in memory");
        left.read_at(&mut bytes, 0).expect("it lies within the disk");
        bytes
    }

    fn count(&self) -> io::Result<()> {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 0 { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }
}

impl Storage for VolatileFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.length.lock().expect("no test has panicked").current)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if offset + buf.len() as u64 > self.length()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.disk.read_at(buf, offset).map_err(io::Error::other)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.count()?;
        self.disk.write_at(data, offset).map_err(io::Error::other)?;
        let mut length = self.length.lock().expect("no test has panicked");
        length.current = length.current.max(offset + data.len() as u64);
        Ok(())
    }

    fn set_len(&self, new: u64) -> io::Result<()> {
        self.count()?;
        let mut length = self.length.lock().expect("no test has panicked");
        if new < length.current {
            self.disk.zero(new..length.current).map_err(io::Error::other)?;
        }
        length.current = new;
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.count()?;
        self.disk.flush().map_err(io::Error::other)?;
        let mut length = self.length.lock().expect("no test has panicked");
        length.durable = length.current;
        Ok(())
    }
}
