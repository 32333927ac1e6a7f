//! A stream that is stored in blocks, of which one at a time is unpacked.

use std::io::{self, Read};

/// A container of blocks.
pub(super) trait Blocks {
    /// Unpacks the next block into `block`, which comes empty; `false` at the end of the stream.
    ///
    /// # Errors
    /// When the block is damaged or cut short.
    fn next(&mut self, block: &mut Vec<u8>) -> io::Result<bool>;
}

/// Reads block after block.
pub(super) struct BlockReader<B> {
    blocks: B,
    block: Vec<u8>,
    position: usize,
    /// Whether the end was seen; what lies behind it is not the container's.
    is_done: bool,
}

impl<B: Blocks> BlockReader<B> {
    pub(super) fn new(blocks: B) -> Self {
        Self { blocks, block: Vec::new(), position: 0, is_done: false }
    }

    /// The container, at the place up to which it was read.
    pub(super) fn into_inner(self) -> B {
        self.blocks
    }
}

impl<B: Blocks> Read for BlockReader<B> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.position >= self.block.len() {
            self.block.clear();
            self.position = 0;
            if self.is_done || !self.blocks.next(&mut self.block)? {
                self.is_done = true;
                return Ok(0);
            }
        }
        let count = self.block.get(self.position..).unwrap_or_default().read(buf)?;
        self.position += count;
        Ok(count)
    }
}
