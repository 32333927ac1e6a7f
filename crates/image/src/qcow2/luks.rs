//! Encrypted clusters (QEMU `docs/interop/qcow2.rst`, "Full disk encryption header pointer"): [`Volume`].
//!
//! The header, of LUKS version 1, stands in the image where an extension says. Each sector of 512 bytes is encrypted by
//! itself, under the number that it has in the file, not on the disk.

use super::Reason;
use crate::bytes::Bytes;
use crate::error::Result;
use crate::open::Passphrase;
use crate::source::Source;
use luks::{Cipher, Secret};
use std::ops::Range;

/// Bytes that are encrypted together.
const SECTOR: u64 = luks::SECTOR;
/// The largest header that is believed, in bytes: eight slots of 4,000 stripes of 64 bytes are 2 MiB.
const MAX_HEADER: u64 = 16 << 20;

/// An unlocked volume.
pub(super) struct Volume {
    cipher: Cipher,
}

impl Volume {
    /// Unlocks the volume whose header is at `place` in the file.
    pub(super) fn unlock(
        file: &impl Bytes,
        place: Option<Range<u64>>,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self> {
        let nowhere = || file.error(None, Reason::LuksHeader { what: "is not where it should be" });
        let place = place.ok_or_else(nowhere)?;
        let length = place.end.saturating_sub(place.start);
        if length > MAX_HEADER || !file.holds(place.start, length) {
            return Err(nowhere());
        }
        let secret: Vec<Secret> =
            passphrase.map(|secret| Secret::passphrase(secret.as_bytes())).into_iter().collect();
        let mut read = |offset, length: usize| file.bytes(place.start + offset, length as u64);
        match luks::unlock_v1(length, &mut read, &secret) {
            Ok(unlocked) => Ok(Self { cipher: unlocked.cipher }),
            Err(luks::Error::Read(error)) => Err(error),
            Err(luks::Error::Refused(reason)) => Err(file.error(Some(place.start), Reason::from(reason))),
        }
    }

    /// Fills `buf` with what the bytes of `source` from `offset` on are, decrypted.
    pub(super) fn read(&self, source: &Source, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset + buf.len() as u64;
        let start = offset / SECTOR * SECTOR;
        if start == offset && end.is_multiple_of(SECTOR) {
            source.read(buf, offset)?;
            self.decrypt(buf, offset);
            return Ok(());
        }
        // The file may end inside a sector, of which the rest is then not wanted.
        let mut sectors = vec![0; (end.next_multiple_of(SECTOR) - start) as usize];
        let there = (source.size() - start).min(sectors.len() as u64);
        source.read(sectors.get_mut(..there as usize).unwrap_or_default(), start)?;
        self.decrypt(&mut sectors, start);
        if let Some(wanted) = sectors.get((offset - start) as usize..).and_then(|rest| rest.get(..buf.len()))
        {
            buf.copy_from_slice(wanted);
        }
        Ok(())
    }

    fn decrypt(&self, sectors: &mut [u8], offset: u64) {
        for (sector, bytes) in (offset / SECTOR..).zip(sectors.as_chunks_mut::<{ SECTOR as usize }>().0) {
            self.cipher.decrypt(sector, bytes);
        }
    }
}
