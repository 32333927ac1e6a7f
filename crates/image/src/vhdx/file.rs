//! The file as its regions are read from it, whoever holds it: [`File`]; and changed in place.

use super::Reason;
use crate::bytes::{Bytes, Stored};
use crate::error::{Error, Result};
use zerocopy::FromBytes;

/// The granularity at which regions, blocks and the log are placed in the file, in bytes.
pub(super) const MIB: u64 = 1 << 20;
/// The unit of the log's updates, in bytes.
pub(super) const SECTOR: u64 = 4096;

/// A VHDX file.
pub(super) trait File: Bytes {
    /// `length` bytes at `offset`, which are the structure `what`. The caller bounds the length.
    fn part(&self, what: &'static str, offset: u64, length: u64) -> Result<Vec<u8>> {
        self.bytes_at(offset, length)?.ok_or_else(|| self.damaged(offset, Reason::Truncated { what }))
    }

    /// The error that something is wrong at byte `offset`.
    fn damaged(&self, offset: u64, reason: Reason) -> Error {
        Error::Format { path: self.path().to_path_buf(), offset: Some(offset), reason: reason.into() }
    }
}

impl<B: Bytes> File for B {}

impl Stored<'_> {
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
