//! The bytes of one file of an image, whether it is only read or changed in place: [`Bytes`], [`Stored`].

use crate::error::{Error, Reason, Result};
use crate::source::Source;
use crate::storage::Storage;
use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::path::Path;
use zerocopy::FromBytes;

/// A file of which structures are read, by whichever way it was opened.
pub(crate) trait Bytes {
    /// What messages call it.
    fn path(&self) -> &Path;

    /// Its size in bytes.
    fn size(&self) -> u64;

    /// Fills `buf` from byte `offset`.
    fn read(&self, buf: &mut [u8], offset: u64) -> Result<()>;

    /// Whether `length` bytes at `offset` lie within the file.
    fn holds(&self, offset: u64, length: u64) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.size())
    }

    /// `length` bytes at `offset`, which the caller has compared with what the file holds.
    fn bytes(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        block::check_range(offset, length, self.size())
            .map_err(|source| Error::Read { path: self.path().to_path_buf(), source })?;
        let mut bytes = vec![0; length as usize];
        self.read(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// `length` bytes at `offset`, `None` when the file ends before their end.
    fn bytes_at(&self, offset: u64, length: u64) -> Result<Option<Vec<u8>>> {
        if self.holds(offset, length) { self.bytes(offset, length).map(Some) } else { Ok(None) }
    }

    /// `count` big-endian words at `offset`, as [`bytes`](Self::bytes).
    fn words(&self, offset: u64, count: u64) -> Result<Vec<u64>> {
        let bytes = self.bytes(offset, count * 8)?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_be_bytes(*word)).collect())
    }

    /// The structure at `offset`, `None` when the file ends before its end.
    fn structure<T: FromBytes>(&self, offset: u64) -> Result<Option<T>>
    where
        Self: Sized,
    {
        let bytes = self.bytes_at(offset, size_of::<T>() as u64)?;
        Ok(bytes.and_then(|bytes| T::read_from_bytes(&bytes).ok()))
    }

    /// The error that `reason` holds at `offset`.
    fn error(&self, offset: Option<u64>, reason: impl Into<Reason>) -> Error
    where
        Self: Sized,
    {
        Error::Format { path: self.path().to_path_buf(), offset, reason: reason.into() }
    }
}

impl Bytes for Source {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.disk.read_at(buf, offset).map_err(|source| Error::Read { path: self.path.clone(), source })
    }
}

/// A file that is changed in place.
pub(crate) struct Stored<'a> {
    storage: &'a dyn Storage,
    path: &'a Path,
    /// Nobody else changes it meanwhile.
    size: Cell<u64>,
}

impl<'a> Stored<'a> {
    /// The file in `storage`, which messages call `path`.
    pub(crate) fn new(storage: &'a dyn Storage, path: &'a Path) -> Result<Self> {
        let size = storage.length().map_err(failed("examine", path))?;
        Ok(Self { storage, path, size: Cell::new(size) })
    }

    /// Writes all of `data` at byte `offset`.
    pub(crate) fn write(&self, data: &[u8], offset: u64) -> Result<()> {
        self.storage.write_all_at(data, offset).map_err(failed("write", self.path))?;
        self.size.set(self.size.get().max(offset.saturating_add(data.len() as u64)));
        Ok(())
    }

    /// Writes big-endian words at byte `offset`.
    pub(crate) fn write_words(&self, words: &[u64], offset: u64) -> Result<()> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        self.write(&bytes, offset)
    }

    /// Makes the file longer or shorter.
    pub(crate) fn set_len(&self, length: u64) -> Result<()> {
        self.storage.set_len(length).map_err(failed("set the size of", self.path))?;
        self.size.set(length);
        Ok(())
    }

    /// Gives back the room of bytes that nothing uses; answers with how much that was.
    pub(crate) fn discard(&self, range: Range<u64>) -> Result<u64> {
        self.storage.discard(range).map_err(failed("punch a hole in", self.path))
    }

    /// Returns once everything written before is durable.
    pub(crate) fn flush(&self) -> Result<()> {
        self.storage.flush().map_err(failed("flush", self.path))
    }

    /// The error that the image cannot be changed so.
    pub(crate) fn refused(&self, operation: &'static str, why: impl Into<String>) -> Error {
        Error::InPlace { operation, path: self.path.to_path_buf(), why: why.into() }
    }
}

impl Bytes for Stored<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn size(&self) -> u64 {
        self.size.get()
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.storage.read_exact_at(buf, offset).map_err(failed("read", self.path))
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Host { operation, path: path.to_path_buf(), source }
}
