//! The file of an image that is changed in place, by a repair or a new size: [`Storage`].

#[cfg(test)]
pub(crate) mod volatile;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

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

    fn flush(&self) -> io::Result<()> {
        self.sync_data()
    }
}
