//! The file as its regions are read from it, whoever holds it: [`File`].

use super::Reason;
use crate::error::{Error, Result};
use crate::source::Source;
use crate::storage::Storage;
use std::ops::Range;
use std::path::Path;
use zerocopy::FromBytes;

/// The granularity at which regions, blocks and the log are placed in the file, in bytes.
pub(super) const MIB: u64 = 1 << 20;
/// The unit of the log's updates, in bytes.
pub(super) const SECTOR: u64 = 4096;

/// The bytes of a VHDX file.
pub(super) trait File {
    /// The file's size in bytes.
    fn size(&self) -> u64;

    /// What messages call it.
    fn path(&self) -> &Path;

    /// Fills `buf` from byte `offset`.
    fn read(&self, buf: &mut [u8], offset: u64) -> Result<()>;

    /// Whether `length` bytes at `offset` lie within the file.
    fn holds(&self, offset: u64, length: u64) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.size())
    }

    /// `length` bytes at `offset`, which are the structure `what`. The caller bounds the length.
    fn bytes(&self, what: &'static str, offset: u64, length: u64) -> Result<Vec<u8>> {
        if !self.holds(offset, length) {
            return Err(self.error(offset, Reason::Truncated { what }));
        }
        let mut bytes = vec![0; length as usize];
        self.read(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// The error that something is wrong at byte `offset`.
    fn error(&self, offset: u64, reason: Reason) -> Error {
        Error::Format { path: self.path().to_path_buf(), offset: Some(offset), reason: reason.into() }
    }
}

impl File for Source {
    fn size(&self) -> u64 {
        Self::size(self)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        Self::read(self, buf, offset)
    }
}

/// A file that is changed in place.
pub(super) struct Stored<'a> {
    storage: &'a dyn Storage,
    path: &'a Path,
}

impl<'a> Stored<'a> {
    /// The file in `storage`, which messages call `path`.
    pub(super) fn new(storage: &'a dyn Storage, path: &'a Path) -> Self {
        Self { storage, path }
    }

    /// Writes all of `data` at byte `offset`.
    pub(super) fn write(&self, data: &[u8], offset: u64) -> Result<()> {
        self.storage.write_all_at(data, offset).map_err(|source| self.host("write", source))
    }

    /// Makes `length` bytes at `offset` zeroes. Holes stay holes.
    pub(super) fn zero(&self, offset: u64, length: u64) -> Result<()> {
        self.pieces(offset, length, &mut |piece, place| {
            if block::is_zero(piece) {
                Ok(true)
            } else {
                self.write(&vec![0; piece.len()], place).map(|()| true)
            }
        })?;
        Ok(())
    }

    /// Whether `length` bytes at `offset` are zeroes; behind the file's end they are.
    pub(super) fn is_zero(&self, offset: u64, length: u64) -> Result<bool> {
        self.pieces(offset, length, &mut |piece, _| Ok(block::is_zero(piece)))
    }

    /// Writes `data` at byte `offset`, all of which lies in the file, unless it stands there. Holes stay holes.
    pub(super) fn write_if_other(&self, data: &[u8], offset: u64) -> Result<()> {
        let mut found = vec![0; data.len()];
        self.read(&mut found, offset)?;
        if found == data { Ok(()) } else { self.write(data, offset) }
    }

    /// Hands on bytes of the file and where they are, up to its end, until `see` answers `false`; answers with the last
    /// answer.
    fn pieces(
        &self,
        offset: u64,
        length: u64,
        see: &mut dyn FnMut(&[u8], u64) -> Result<bool>,
    ) -> Result<bool> {
        let end = offset.saturating_add(length).min(self.size());
        let mut buffer = vec![0; length.min(MIB) as usize];
        let mut place = offset;
        while place < end {
            let Some(piece) = buffer.get_mut(..(end - place).min(MIB) as usize) else { break };
            self.read(piece, place)?;
            if !see(piece, place)? {
                return Ok(false);
            }
            place += piece.len() as u64;
        }
        Ok(true)
    }

    /// Makes the file at least `length` bytes long.
    pub(super) fn grow(&self, length: u64) -> Result<()> {
        if self.size() < length { self.set_len(length) } else { Ok(()) }
    }

    /// Gives the file its length in bytes.
    pub(super) fn set_len(&self, length: u64) -> Result<()> {
        self.storage.set_len(length).map_err(|source| self.host("set the size of", source))
    }

    /// Gives back the room of bytes that nothing uses; answers with how much that was.
    pub(super) fn discard(&self, range: Range<u64>) -> Result<u64> {
        self.storage.discard(range).map_err(|source| self.host("punch a hole in", source))
    }

    /// Returns once everything written before is durable.
    pub(super) fn flush(&self) -> Result<()> {
        self.storage.flush().map_err(|source| self.host("flush", source))
    }

    /// The error that this cannot be done to the file.
    pub(super) fn refused(&self, operation: &'static str, why: impl Into<String>) -> Error {
        Error::InPlace { operation, path: self.path.to_path_buf(), why: why.into() }
    }

    fn host(&self, operation: &'static str, source: std::io::Error) -> Error {
        Error::Host { operation, path: self.path.to_path_buf(), source }
    }
}

impl File for Stored<'_> {
    fn size(&self) -> u64 {
        // A file whose length cannot be told holds nothing: whatever is looked for is then missing from it.
        self.storage.length().unwrap_or(0)
    }

    fn path(&self) -> &Path {
        self.path
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.storage.read_exact_at(buf, offset).map_err(|source| self.host("read", source))
    }
}

/// The structure at byte `offset` of `bytes`; `None` when they end before it does.
pub(super) fn structure<T: FromBytes>(bytes: &[u8], offset: usize) -> Option<T> {
    T::read_from_prefix(bytes.get(offset..)?).ok().map(|(structure, _)| structure)
}

/// The CRC-32C of a structure, in which the checksum's own four bytes, at byte 4, count as zeroes
/// ([MS-VHDX] sections 2.2.2, 2.2.3.1 and 2.3.1.1).
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let (head, rest) = bytes.split_at(bytes.len().min(4));
    let crc = crc32c::crc32c_append(crc32c::crc32c(head), &[0; 4]);
    crc32c::crc32c_append(crc, rest.get(4..).unwrap_or_default())
}
