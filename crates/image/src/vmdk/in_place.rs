//! An extent's file, opened to be read or to be changed: [`Bytes`], [`InPlace`].

use super::Reason;
use super::header::{Geometry, SparseHeader};
use crate::error::{Error, Result};
use crate::source::Source;
use crate::storage::Storage;
use std::io;
use std::path::Path;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// A file of which tables are read, by whichever way it was opened.
pub(super) trait Bytes {
    /// Its size in bytes.
    fn length(&self) -> u64;

    /// Fills `buf` from `offset`.
    fn fill(&self, buf: &mut [u8], offset: u64) -> Result<()>;

    /// Whether `length` bytes at `offset` lie within the file.
    fn has(&self, offset: u64, length: u64) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.length())
    }

    /// `length` bytes at `offset`, `None` when the file ends before their end.
    fn bytes_at(&self, offset: u64, length: u64) -> Result<Option<Vec<u8>>> {
        if !self.has(offset, length) {
            return Ok(None);
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes, offset)?;
        Ok(Some(bytes))
    }
}

impl Bytes for Source {
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

    /// What messages call it.
    pub(super) fn path(&self) -> &Path {
        self.path
    }

    /// The header of the hosted sparse extent that the file is, and what of it matters; `None` when it is none.
    pub(super) fn hosted(&self) -> Result<Option<(SparseHeader, Geometry)>> {
        let mut header = SparseHeader::new_zeroed();
        if !self.has(0, size_of::<SparseHeader>() as u64) {
            return Ok(None);
        }
        self.fill(header.as_mut_bytes(), 0)?;
        if header.magic != super::header::SPARSE_MAGIC {
            return Ok(None);
        }
        let geometry = Geometry::check(&header, 0).map_err(|reason| self.damaged(0, reason))?;
        Ok(Some((header, geometry)))
    }

    /// Writes `data` at `offset`.
    pub(super) fn write(&self, data: &[u8], offset: u64) -> Result<()> {
        self.storage.write_all_at(data, offset).map_err(failed("write", self.path))
    }

    /// Gives the file a length in bytes.
    pub(super) fn set_len(&self, length: u64) -> Result<()> {
        self.storage.set_len(length).map_err(failed("set the length of", self.path))
    }

    /// Returns once everything written before is durable.
    pub(super) fn flush(&self) -> Result<()> {
        self.storage.flush().map_err(failed("flush", self.path))
    }

    /// The error that the image cannot be changed so.
    pub(super) fn refused(&self, operation: &'static str, why: impl Into<String>) -> Error {
        Error::InPlace { operation, path: self.path.to_path_buf(), why: why.into() }
    }

    /// The error that something is wrong at byte `offset`.
    pub(super) fn damaged(&self, offset: u64, reason: Reason) -> Error {
        Error::Format { path: self.path.to_path_buf(), offset: Some(offset), reason: reason.into() }
    }
}

impl Bytes for InPlace<'_> {
    fn length(&self) -> u64 {
        self.length
    }

    fn fill(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.storage.read_exact_at(buf, offset).map_err(failed("read", self.path))
    }
}

/// The words of a table.
pub(super) fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    <[zerocopy::little_endian::U32]>::ref_from_bytes(bytes).unwrap_or_default().iter().map(|word| word.get())
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Host { operation, path: path.to_path_buf(), source }
}
