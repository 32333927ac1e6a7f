//! What lies where on a disk.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

/// A run of bytes of one kind.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Which bytes of the disk; never empty.
    pub range: Range<u64>,
    /// What they are.
    pub kind: ExtentKind,
}

/// What a run of bytes is.
#[derive(Clone, Debug)]
pub enum ExtentKind {
    /// Stored bytes; with where they lie, uncompressed and in order, in a host file, when they do.
    Data(Option<FileLocation>),
    /// Zeroes, and nothing need be read to know it.
    Zero,
    /// Nothing of this layer: the parent decides, and without a parent it reads as zeroes.
    Absent,
}

/// A place in a host file: what lets the copy engine clone or copy ranges instead of reading and writing them.
#[derive(Clone, Debug)]
pub struct FileLocation {
    /// The open file.
    pub file: Arc<File>,
    /// Where the extent's first byte lies in it, in bytes.
    pub offset: u64,
}

impl Extent {
    /// Stored bytes that lie nowhere in particular.
    pub fn data(range: Range<u64>) -> Self {
        Self { range, kind: ExtentKind::Data(None) }
    }

    /// Zeroes.
    pub fn zero(range: Range<u64>) -> Self {
        Self { range, kind: ExtentKind::Zero }
    }

    /// Bytes that the parent decides.
    pub fn absent(range: Range<u64>) -> Self {
        Self { range, kind: ExtentKind::Absent }
    }

    /// How many bytes the extent covers.
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether it covers nothing.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Whether its bytes have to be read to be known.
    pub fn is_data(&self) -> bool {
        matches!(self.kind, ExtentKind::Data(_))
    }
}
