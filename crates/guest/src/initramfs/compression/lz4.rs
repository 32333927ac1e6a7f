//! lz4's legacy frames, the only ones that a kernel reads (lz4, `doc/lz4_Frame_format.md`, "Legacy frame").

use super::blocks::Blocks;
use std::io;

/// In front of every frame.
pub(super) const MAGIC: [u8; 4] = [0x02, 0x21, 0x4C, 0x18];
/// The bytes in a block of a frame; the last one may have fewer.
const BLOCK: usize = 8 << 20;

/// Frames, one after another without a gap, as the kernel reads them.
pub(super) struct Lz4Legacy<'a> {
    rest: &'a [u8],
}

impl<'a> Lz4Legacy<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl Blocks for Lz4Legacy<'_> {
    /// Zeroes end the stream, and so does a number that nothing follows: the kernel's build appends the size of what it
    /// packed.
    fn next(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        while let Some((size, rest)) = self.rest.split_first_chunk::<4>() {
            if *size == MAGIC {
                self.rest = rest;
                continue;
            }
            let size = u32::from_le_bytes(*size) as usize;
            if size == 0 || rest.is_empty() {
                return Ok(false);
            }
            let (packed, rest) = rest.split_at_checked(size).ok_or(io::ErrorKind::UnexpectedEof)?;
            block.resize(BLOCK, 0);
            let length = lz4_flex::block::decompress_into(packed, block)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            block.truncate(length);
            self.rest = rest;
            return Ok(true);
        }
        Ok(false)
    }
}

/// Compresses as one frame.
pub fn lz4_legacy(bytes: &[u8]) -> Vec<u8> {
    let mut packed = MAGIC.to_vec();
    for block in bytes.chunks(BLOCK) {
        let block = lz4_flex::block::compress(block);
        packed.extend(u32::try_from(block.len()).unwrap_or(u32::MAX).to_le_bytes());
        packed.extend(block);
    }
    packed
}
