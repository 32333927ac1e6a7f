//! What a disk is to Anyvisor: [`BlockRead`], [`BlockWrite`] and [`Extent`].
//!
//! A source is an `Arc<dyn BlockRead>`, and that type has no write: nothing that holds one can change it.
//! Changes land in an overlay. Everything else here is a decorator over the two traits, a disk in memory
//! for tests, or a plain host file.
//!
//! Calls block and take `&self`; callers make them parallel with threads. This crate uses no other crate of the
//! workspace.

mod concat;
pub mod conformance;
mod crash;
mod error;
mod extent;
mod file;
mod layered;
mod memory;
mod overlay;
mod window;
mod zero;

pub use concat::Concat;
pub use crash::CrashDisk;
pub use error::{Error, Result};
pub use extent::{Extent, ExtentKind, Extents, FileLocation};
pub use file::{FileDisk, WritableFileDisk};
pub use layered::Layered;
pub use memory::MemoryDisk;
pub use overlay::{Overlay, OverlayOptions};
pub use window::Window;
pub use zero::{ZeroDisk, is_zero};

use std::ops::Range;
use std::sync::Arc;

/// A disk that can be read, by any number of threads at once.
///
/// Implementations promise: [`size`](Self::size) never changes; a read inside the disk either fills the whole
/// buffer or fails; nothing read is ever uninitialised or from outside the disk, whatever the image says.
/// Callers promise nothing: any offset and any length may be asked for.
pub trait BlockRead: Send + Sync {
    /// The disk's size in bytes; constant for the life of the value.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset` (bytes). A range that ends past the disk is [`Error::OutOfRange`]; an empty
    /// `buf` at or before the end succeeds.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()>;

    /// Says what lies in `range` (bytes): extents in ascending order, each starting where the last ended,
    /// together covering exactly `range`, none empty. Data may be reported where there are zeroes, never the
    /// reverse. A range that ends past the disk is [`Error::OutOfRange`].
    ///
    /// An implementation may answer for a huge range with a long list; callers that walk a disk ask for a
    /// bounded piece at a time.
    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>>;
}

/// A disk that can also be written, by any number of threads at once.
///
/// Implementations promise: after a write returned, every later read sees it; after [`flush`](Self::flush)
/// returned, everything written before the call survives a crash of the host, where the implementation has
/// anything durable at all. Overlapping concurrent writes leave each byte from one of them.
pub trait BlockWrite: BlockRead {
    /// Writes `data` at `offset` (bytes). A range that ends past the disk is [`Error::OutOfRange`] and writes
    /// nothing.
    fn write_at(&self, data: &[u8], offset: u64) -> Result<()>;

    /// Makes `range` (bytes) read as zeroes, keeping no data for it where that is possible.
    fn zero(&self, range: Range<u64>) -> Result<()>;

    /// Says that the contents of `range` no longer matter. In Anyvisor's own implementations the range then
    /// reads as zeroes, and stays so: a discarded block is never resurrected from a parent.
    fn discard(&self, range: Range<u64>) -> Result<()>;

    /// Returns once everything written before the call is durable.
    fn flush(&self) -> Result<()>;
}

/// Fails with [`Error::OutOfRange`] unless `length` bytes at `offset` lie within `size`.
///
/// # Errors
/// [`Error::OutOfRange`], also when `offset + length` overflows.
pub fn check_range(offset: u64, length: u64, size: u64) -> Result<()> {
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Error::OutOfRange { offset, length, size }),
    }
}

/// Fails with [`Error::OutOfRange`] unless `range` lies within `size`; a range that ends before it starts does not.
///
/// # Errors
/// [`Error::OutOfRange`].
pub fn check_span(range: &Range<u64>, size: u64) -> Result<()> {
    if range.end < range.start {
        return Err(Error::OutOfRange { offset: range.start, length: 0, size });
    }
    check_range(range.start, range.end - range.start, size)
}

impl<T: BlockRead + ?Sized> BlockRead for Arc<T> {
    fn size(&self) -> u64 {
        (**self).size()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        (**self).read_at(buf, offset)
    }
    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        (**self).extents(range)
    }
}

impl<T: BlockWrite + ?Sized> BlockWrite for Arc<T> {
    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        (**self).write_at(data, offset)
    }
    fn zero(&self, range: Range<u64>) -> Result<()> {
        (**self).zero(range)
    }
    fn discard(&self, range: Range<u64>) -> Result<()> {
        (**self).discard(range)
    }
    fn flush(&self) -> Result<()> {
        (**self).flush()
    }
}
