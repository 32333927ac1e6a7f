//! What a header and tables are read from, whether it may be written or not: [`Bytes`].

use crate::error::{Error, Result};
use crate::source::Source;
use crate::storage::Storage;
use std::path::Path;
use zerocopy::FromBytes;

/// The bytes of an image's file.
pub(super) trait Bytes {
    /// What messages call the file.
    fn path(&self) -> &Path;

    /// The file's size in bytes.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset`.
    fn read(&self, buf: &mut [u8], offset: u64) -> Result<()>;

    /// Whether `length` bytes at `offset` lie within the file.
    fn holds(&self, offset: u64, length: u64) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.size())
    }

    /// `length` bytes at `offset`. The caller has compared `length` with what the file holds.
    fn bytes(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        self.read(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// `count` big-endian words at `offset`, as [`bytes`](Self::bytes).
    fn words(&self, offset: u64, count: u64) -> Result<Vec<u64>> {
        let bytes = self.bytes(offset, count * 8)?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_be_bytes(*word)).collect())
    }

    /// The structure at `offset`, `None` when the file ends before its end.
    fn structure<T: FromBytes>(&self, offset: u64) -> Result<Option<T>> {
        let length = size_of::<T>() as u64;
        if !self.holds(offset, length) {
            return Ok(None);
        }
        Ok(T::read_from_bytes(&self.bytes(offset, length)?).ok())
    }

    /// The error that `reason` holds at `offset`.
    fn error(&self, offset: Option<u64>, reason: super::Reason) -> Error {
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
        Self::read(self, buf, offset)
    }
}

/// A file that is changed in place.
pub(super) struct Stored<'a> {
    storage: &'a dyn Storage,
    path: &'a Path,
    size: u64,
}

impl<'a> Stored<'a> {
    pub(super) fn new(storage: &'a dyn Storage, path: &'a Path) -> Result<Self> {
        let failed = |source| Error::Host { operation: "examine", path: path.to_path_buf(), source };
        Ok(Self { storage, path, size: storage.length().map_err(failed)? })
    }

    /// Writes all of `data` at byte `offset`.
    pub(super) fn write(&self, data: &[u8], offset: u64) -> Result<()> {
        self.storage.write_all_at(data, offset).map_err(self.failed("write"))
    }

    /// Writes big-endian words at byte `offset`.
    pub(super) fn write_words(&self, words: &[u64], offset: u64) -> Result<()> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        self.write(&bytes, offset)
    }

    /// Makes the file longer or shorter.
    pub(super) fn set_len(&mut self, length: u64) -> Result<()> {
        self.storage.set_len(length).map_err(self.failed("set the size of"))?;
        self.size = length;
        Ok(())
    }

    /// Returns once everything written before is durable.
    pub(super) fn flush(&self) -> Result<()> {
        self.storage.flush().map_err(self.failed("flush"))
    }

    fn failed(&self, operation: &'static str) -> impl FnOnce(std::io::Error) -> Error + use<> {
        let path = self.path.to_path_buf();
        move |source| Error::Host { operation, path, source }
    }
}

impl Bytes for Stored<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.storage.read_exact_at(buf, offset).map_err(self.failed("read"))
    }
}
