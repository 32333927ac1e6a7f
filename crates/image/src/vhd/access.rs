//! A VHD's file, opened to be read or to be changed: [`Bytes`], [`InPlace`].

use crate::error::{Error, Result};
use crate::source::Source;
use crate::storage::Storage;
use std::io;
use std::path::Path;
use zerocopy::FromBytes;

/// A file of which structures are read, by whichever way it was opened.
pub(super) trait Bytes {
    /// What messages call it.
    fn path(&self) -> &Path;

    /// Its size in bytes.
    fn length(&self) -> u64;

    /// Fills `buf` from `offset`.
    fn fill(&self, buf: &mut [u8], offset: u64) -> Result<()>;

    /// Whether `length` bytes at `offset` lie within the file.
    fn has(&self, offset: u64, length: u64) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.length())
    }

    /// The structure at `offset`, `None` when the file ends before its end.
    fn structure_at<T: FromBytes>(&self, offset: u64) -> Result<Option<T>>
    where
        Self: Sized,
    {
        let length = size_of::<T>();
        if !self.has(offset, length as u64) {
            return Ok(None);
        }
        let mut bytes = vec![0; length];
        self.fill(&mut bytes, offset)?;
        Ok(T::read_from_bytes(&bytes).ok())
    }
}

impl Bytes for Source {
    fn path(&self) -> &Path {
        &self.path
    }

    fn length(&self) -> u64 {
        self.size()
    }

    fn fill(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.read(buf, offset)
    }
}

/// A file that is changed in place.
pub(super) struct InPlace<'a> {
    storage: &'a dyn Storage,
    path: &'a Path,
    /// As it was when it was opened.
    length: u64,
}

impl<'a> InPlace<'a> {
    pub(super) fn new(storage: &'a dyn Storage, path: &'a Path) -> Result<Self> {
        let length = storage.length().map_err(failed("examine", path))?;
        Ok(Self { storage, path, length })
    }

    /// Writes `data` at `offset`.
    pub(super) fn write(&self, data: &[u8], offset: u64) -> Result<()> {
        self.storage.write_all_at(data, offset).map_err(failed("write", self.path))
    }

    /// Cuts the file to `length` bytes.
    pub(super) fn cut(&self, length: u64) -> Result<()> {
        self.storage.set_len(length).map_err(failed("cut", self.path))
    }

    /// Returns once everything written before is durable.
    pub(super) fn flush(&self) -> Result<()> {
        self.storage.flush().map_err(failed("flush", self.path))
    }

    /// The error that the image cannot be changed so.
    pub(super) fn refused(&self, operation: &'static str, why: impl Into<String>) -> Error {
        Error::InPlace { operation, path: self.path.to_path_buf(), why: why.into() }
    }
}

impl Bytes for InPlace<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn length(&self) -> u64 {
        self.length
    }

    fn fill(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.storage.read_exact_at(buf, offset).map_err(failed("read", self.path))
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Host { operation, path: path.to_path_buf(), source }
}
