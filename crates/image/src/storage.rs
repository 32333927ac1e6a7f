//! The file of an image that is changed in place, by a repair or a new size: [`Storage`].

#[cfg(test)]
pub(crate) mod volatile;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

/// The bytes of one file, which grows when it is written behind its end.
///
/// What was written is durable once [`flush`](Self::flush) has returned, and not before: between two flushes any of
/// the writes may be lost or torn. Whoever changes an image orders its writes so that each such state is sound.
pub trait Storage: Send + Sync {
    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Fills `buf` from byte `offset`.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `data` at byte `offset`.
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file, or makes it longer with zeroes.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Says that bytes within the file no longer matter, so that they need take no room; answers with how many bytes of
    /// room that freed. What they read as afterwards is not said.
    fn discard(&self, _range: Range<u64>) -> io::Result<u64> {
        Ok(0)
    }
    /// Returns once everything written before is durable.
    fn flush(&self) -> io::Result<()>;
}

impl Storage for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buf, offset)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, data, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }

    fn discard(&self, range: Range<u64>) -> io::Result<u64> {
        let before = self.metadata()?.blocks();
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(self, punch, range.start, range.end.saturating_sub(range.start)) {
            // Not every filesystem can.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(before.saturating_sub(self.metadata()?.blocks()) * 512)
    }

    fn flush(&self) -> io::Result<()> {
        self.sync_data()
    }
}
