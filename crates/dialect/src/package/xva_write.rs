//! Writing an XVA as a stream: [`write_xva`].
//!
//! What comes out is what xapi's `xe vm-import` takes: `ova.xml`, then every disk in the order of the references, cut into
//! blocks of 1 MiB of which those of zeroes are left out, but for the first and the last. Each block is followed by its
//! SHA-1 digest, which every release understands (the newer ones write XXH64 themselves).

use super::ova_write::header;
use super::xva::{BLOCK, DESCRIPTION};
use crate::xva::vdi_reference;
use block::{BlockRead, is_zero};
use image::copy::Progress;
use sha1::{Digest, Sha1};
use std::io::{self, Write};
use std::sync::Arc;

/// What members of a tar archive are padded to, in bytes.
const RECORD: u64 = 512;
/// How much of a disk is asked for its holes at once, in bytes.
const SPAN: u64 = 256 << 20;

/// Why an XVA could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XvaWriteError {
    /// A disk cannot be read.
    #[error("cannot read the disk of number {number}")]
    Read {
        /// Its number, from 0.
        number: usize,
        /// Why not.
        #[source]
        source: block::Error,
    },
    /// The archive cannot be written.
    #[error("cannot write the archive")]
    Write(#[from] io::Error),
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WrittenXva {
    /// The length of the archive in bytes.
    pub size: u64,
    /// How many bytes of disks are in it.
    pub data_bytes: u64,
}

/// Writes the archive to `out`, from its first byte to its last: the description that [`crate::xva::render`] made of the
/// machine, and the machine's disks in order, with the sizes that the description says. `progress` hears of the disks'
/// bytes, left out or not.
///
/// # Errors
/// When a disk cannot be read, or `out` cannot be written.
pub fn write_xva(
    out: impl Write,
    description: &str,
    disks: &[Arc<dyn BlockRead>],
    progress: &dyn Progress,
) -> Result<WrittenXva, XvaWriteError> {
    let mut archive = Archive { out, written: WrittenXva::default() };
    progress.start(disks.iter().map(BlockRead::size).fold(0, u64::saturating_add));
    archive.member(DESCRIPTION, description.as_bytes())?;
    for (number, disk) in disks.iter().enumerate() {
        archive.disk(number, disk.as_ref(), progress)?;
    }
    archive.bytes(&[0; 2 * RECORD as usize])?;
    archive.out.flush()?;
    Ok(archive.written)
}

struct Archive<W> {
    out: W,
    written: WrittenXva,
}

impl<W: Write> Archive<W> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written.size += bytes.len() as u64;
        Ok(())
    }

    fn member(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let size = bytes.len() as u64;
        self.bytes(&header(name, b'0', size, 0))?;
        self.bytes(bytes)?;
        let padding = size.next_multiple_of(RECORD) - size;
        self.bytes([0; RECORD as usize].get(..usize::try_from(padding).unwrap_or(0)).unwrap_or_default())
    }

    fn disk(
        &mut self,
        number: usize,
        disk: &dyn BlockRead,
        progress: &dyn Progress,
    ) -> Result<(), XvaWriteError> {
        let failed = |source| XvaWriteError::Read { number, source };
        let reference = vdi_reference(number);
        let size = disk.size();
        let mut buffer = vec![0; usize::try_from(BLOCK).unwrap_or_default()];
        let mut start = 0;
        while start < size {
            let end = start.saturating_add(SPAN).min(size);
            let extents = disk.extents(start..end).map_err(failed)?;
            let mut data = extents
                .iter()
                .filter(|extent| extent.is_data())
                .map(|extent| extent.range.clone())
                .peekable();
            let mut at = start;
            while at < end {
                let until = at.saturating_add(BLOCK).min(end);
                while data.next_if(|range| range.end <= at).is_some() {}
                let must = at == 0 || until == size;
                if must || data.peek().is_some_and(|range| range.start < until) {
                    let length = usize::try_from(until - at).unwrap_or_default();
                    let block = buffer.get_mut(..length).unwrap_or_default();
                    disk.read_at(block, at).map_err(failed)?;
                    if must || !is_zero(block) {
                        self.block(&format!("{reference}/{:08}", at / BLOCK), block)?;
                    }
                }
                progress.advance(until - at);
                at = until;
            }
            start = end;
        }
        Ok(())
    }

    fn block(&mut self, name: &str, block: &[u8]) -> io::Result<()> {
        self.member(name, block)?;
        self.written.data_bytes += block.len() as u64;
        let digest: String = Sha1::digest(block).iter().map(|byte| format!("{byte:02x}")).collect();
        self.member(&format!("{name}.checksum"), digest.as_bytes())
    }
}
