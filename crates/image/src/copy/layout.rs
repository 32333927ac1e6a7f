//! What a format tells the copy engine of a new image: [`Layout`].

use std::io;
use std::ops::Range;

/// A place in one of the files of a new image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which file: its index in [`Layout::files`].
    pub(crate) file: usize,
    /// Where in it, in bytes.
    pub(crate) offset: u64,
}

impl Place {
    /// A place in the image's first file, which most have alone.
    pub(crate) fn first(offset: u64) -> Self {
        Self { file: 0, offset }
    }
}

/// The files of a new image while it is being written.
pub(crate) trait Files {
    /// Writes all of `data` at `place`.
    fn write(&self, data: &[u8], place: Place) -> io::Result<()>;

    /// Gives a file its length, in bytes.
    fn set_len(&self, file: usize, length: u64) -> io::Result<()>;

    /// Reserves room for bytes of a file, which read as zeroes.
    fn allocate(&self, file: usize, range: Range<u64>) -> io::Result<()>;
}

/// Compresses units of the disk; each worker has one of its own.
pub(crate) trait Packer {
    /// Adds what stands in the file for the unit `data`, which starts at byte `start` of the disk, to the end of
    /// `packed`. Answers `false`, with `packed` as it was, when the unit is better stored as it is.
    fn pack(&mut self, start: u64, data: &[u8], packed: &mut Vec<u8>) -> io::Result<bool>;
}

/// Makes packers.
pub(crate) type Packers = Box<dyn Fn() -> Box<dyn Packer> + Send + Sync>;

/// Where in the files of a new image the disk's data goes.
///
/// It is asked for places in the order of the disk, and may write tables of its own meanwhile. Files are new: what is
/// not written reads as zeroes.
pub(crate) trait Layout: Send {
    /// The names of the files, without a directory. The first is the image itself, and gets its name last.
    fn files(&self) -> Vec<String>;

    /// The unit in which data is placed and zeroes are left out, in bytes: a power of two up to a chunk
    /// ([`CHUNK`](super::CHUNK)). Where units are packed, what is packed.
    fn unit(&self) -> u64;

    /// Answers where the bytes `run` of the disk go, in one piece. Runs come in the order of the disk,
    /// start at a multiple of the unit, end at one or at the disk's end, and lie within one chunk.
    fn place(&mut self, files: &dyn Files, run: Range<u64>) -> io::Result<Place>;

    /// Takes note that `range`, whole units or up to the disk's end, reads as zeroes whatever the parent holds. Only
    /// called for an image with a parent; comes in order among the others.
    fn zero(&mut self, _files: &dyn Files, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    /// What compresses units; `None` when they are stored as they are.
    fn packers(&self) -> Option<Packers> {
        None
    }

    /// Answers where `length` bytes go that a packer made of `unit`, a unit or what of one lies before the disk's end.
    fn place_packed(&mut self, files: &dyn Files, unit: Range<u64>, _length: u64) -> io::Result<Place> {
        self.place(files, unit)
    }

    /// Writes whatever else makes the files an image, after all data was written.
    fn finish(&mut self, files: &dyn Files) -> io::Result<()>;
}
