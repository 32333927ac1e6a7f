//! An unlocked LUKS volume as a disk: [`Decrypted`].

use block::{BlockRead, BlockWrite, Extent, Result, check_range, check_span};
use luks::{SECTOR, Secret, Unlocked};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

/// How many bytes are encrypted at once before they are written.
const PIECE: u64 = 256 << 10;

/// What an encrypted volume holds. Sectors are decrypted and encrypted as they pass; nothing else is kept of them.
pub(crate) struct Decrypted {
    device: Arc<dyn BlockWrite>,
    unlocked: Unlocked,
    /// Held for writing by a write that has to read the rest of a sector first, for reading by every other write.
    edges: RwLock<()>,
}

impl Decrypted {
    /// Unlocks the volume on `device` with the first of `secrets` that fits.
    pub(crate) fn open(
        device: &Arc<dyn BlockWrite>,
        secrets: &[Secret],
    ) -> std::result::Result<Self, luks::Error<block::Error>> {
        let mut read = |offset: u64, length: usize| {
            let mut bytes = vec![0; length];
            device.read_at(&mut bytes, offset)?;
            Ok(bytes)
        };
        let unlocked = luks::unlock(device.size(), &mut read, secrets)?;
        Ok(Self { device: device.clone(), unlocked, edges: RwLock::new(()) })
    }

    /// Calls `work` on each sector of `bytes`, which begin at `offset`, with its number.
    fn each(&self, bytes: &mut [u8], offset: u64, work: impl Fn(u64, &mut [u8])) {
        let step = self.unlocked.sector / SECTOR;
        let first = self.unlocked.first.wrapping_add(offset / SECTOR);
        for (place, sector) in (0_u64..).zip(bytes.chunks_exact_mut(self.unlocked.sector as usize)) {
            work(first.wrapping_add(place * step), sector);
        }
    }

    /// Reads whole sectors.
    fn read_sectors(&self, sectors: &mut [u8], offset: u64) -> Result<()> {
        self.device.read_at(sectors, self.unlocked.payload.start + offset)?;
        self.each(sectors, offset, |number, sector| self.unlocked.cipher.decrypt(number, sector));
        Ok(())
    }

    /// Writes whole sectors, which are encrypted on the way.
    fn write_sectors(&self, sectors: &[u8], offset: u64) -> Result<()> {
        for (place, piece) in (0..).zip(sectors.chunks(PIECE as usize)) {
            let at = offset + place * PIECE;
            let mut bytes = piece.to_vec();
            self.each(&mut bytes, at, |number, sector| self.unlocked.cipher.encrypt(number, sector));
            self.device.write_at(&bytes, self.unlocked.payload.start + at)?;
        }
        Ok(())
    }

    /// The whole sectors around a range.
    fn around(&self, range: Range<u64>) -> Range<u64> {
        let sector = self.unlocked.sector;
        range.start / sector * sector..range.end.next_multiple_of(sector)
    }

    /// Writes what need not be whole sectors; the rest of the first and the last stays.
    fn write_within(&self, data: &[u8], offset: u64) -> Result<()> {
        let span = self.around(offset..offset + data.len() as u64);
        let _alone = self.edges.write().unwrap_or_else(PoisonError::into_inner);
        let mut sectors = vec![0; (span.end - span.start) as usize];
        self.read_sectors(&mut sectors, span.start)?;
        let start = (offset - span.start) as usize;
        if let Some(place) = sectors.get_mut(start..start + data.len()) {
            place.copy_from_slice(data);
        }
        self.write_sectors(&sectors, span.start)
    }
}

impl BlockRead for Decrypted {
    fn size(&self) -> u64 {
        let payload = &self.unlocked.payload;
        (payload.end - payload.start) / self.unlocked.sector * self.unlocked.sector
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size())?;
        let wanted = offset..offset + buf.len() as u64;
        let span = self.around(wanted.clone());
        if span == wanted {
            return self.read_sectors(buf, offset);
        }
        let mut sectors = vec![0; (span.end - span.start) as usize];
        self.read_sectors(&mut sectors, span.start)?;
        let start = (offset - span.start) as usize;
        if let Some(found) = sectors.get(start..start + buf.len()) {
            buf.copy_from_slice(found);
        }
        Ok(())
    }

    /// Everything is data: zeroes of the device below are noise here.
    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        check_span(&range, self.size())?;
        Ok(if range.is_empty() { Vec::new() } else { vec![Extent::data(range)] })
    }
}

impl BlockWrite for Decrypted {
    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        check_range(offset, data.len() as u64, self.size())?;
        let wanted = offset..offset + data.len() as u64;
        if self.around(wanted.clone()) != wanted {
            return self.write_within(data, offset);
        }
        let _shared = self.edges.read().unwrap_or_else(PoisonError::into_inner);
        self.write_sectors(data, offset)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        check_span(&range, self.size())?;
        let zeroes = vec![0; PIECE as usize];
        let mut at = range.start;
        while at < range.end {
            // The first piece ends at a sector's end, so that the others need not be read first.
            let end = (at / PIECE + 1).saturating_mul(PIECE).min(range.end);
            self.write_at(zeroes.get(..(end - at) as usize).unwrap_or_default(), at)?;
            at = end;
        }
        Ok(())
    }

    /// Reads as zeroes afterwards, which has to be written: what an encrypted disk does not keep, it cannot say.
    fn discard(&self, range: Range<u64>) -> Result<()> {
        self.zero(range)
    }

    fn flush(&self) -> Result<()> {
        self.device.flush()
    }
}
