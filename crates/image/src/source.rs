//! One file of an image, with the name that messages call it by: [`Source`].

use crate::error::{Error, Result};
use block::BlockRead;
use std::path::PathBuf;
use std::sync::Arc;
use zerocopy::FromBytes;

/// One file of an image.
#[derive(Clone)]
pub(crate) struct Source {
    /// Its bytes.
    pub(crate) disk: Arc<dyn BlockRead>,
    /// What messages call it.
    pub(crate) path: PathBuf,
}

impl Source {
    /// The file's size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.disk.size()
    }

    /// Whether `length` bytes at `offset` lie within the file.
    pub(crate) fn holds(&self, offset: u64, length: u64) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.size())
    }

    /// Fills `buf` from `offset`.
    pub(crate) fn read(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.disk.read_at(buf, offset).map_err(|source| Error::Read { path: self.path.clone(), source })
    }

    /// `length` bytes at `offset`. The caller has compared `length` with what the file holds.
    pub(crate) fn bytes(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        block::check_range(offset, length, self.size())
            .map_err(|source| Error::Read { path: self.path.clone(), source })?;
        let mut bytes = vec![0; length as usize];
        self.read(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// The structure at `offset`, `None` when the file ends before its end.
    pub(crate) fn structure<T: FromBytes>(&self, offset: u64) -> Result<Option<T>> {
        let length = size_of::<T>() as u64;
        if !self.holds(offset, length) {
            return Ok(None);
        }
        let bytes = self.bytes(offset, length)?;
        Ok(T::read_from_bytes(&bytes).ok())
    }
}
