//! A guest's initramfs: what is in it, and how drivers are added to it.
//!
//! A kernel unpacks any number of cpio archives one after another, each compressed or not
//! (Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`). So an initramfs is read segment by segment, and
//! a driver is added by one more segment at its end ([`drivers`]); nothing that is there is touched.

pub mod compression;
pub mod cpio;
pub mod drivers;
pub mod flavour;
pub mod kmod_index;
pub mod modules;
mod nash;

use compression::Compression;
use cpio::Kind;
use std::collections::BTreeMap;
use std::io::{BufReader, Read};

/// The most that an initramfs may unpack to, in bytes.
const MAX_UNPACKED: u64 = 4 << 30;
/// The most entries that it may have.
const MAX_ENTRIES: usize = 400_000;
/// The most bytes of files that are kept in memory.
const MAX_KEPT: usize = 128 << 20;
/// How much is unpacked at a time, in bytes: names and headers are short.
const BUFFER: usize = 64 << 10;

/// What an initramfs holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its segments in order.
    pub segments: Vec<Segment>,
    /// Every path (without a leading `/` or `./`) with what stands there after the last segment.
    pub paths: BTreeMap<String, Kind>,
    /// The contents of the files that the caller wanted to keep.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// One compressed or plain run of archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it starts, in bytes.
    pub offset: usize,
    /// How long it is as stored, in bytes.
    pub length: usize,
    /// How it is compressed.
    pub compression: Compression,
}

/// Why an initramfs could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A segment starts with nothing that is known.
    #[error("the segment at byte {offset} is neither a cpio archive nor compressed in a known way")]
    UnknownSegment {
        /// Where it starts, in bytes.
        offset: usize,
    },
    /// A segment could not be unpacked.
    #[error("the {compression} segment at byte {offset} cannot be unpacked")]
    Unpack {
        /// Where it starts, in bytes.
        offset: usize,
        /// How it is compressed.
        compression: Compression,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// It unpacks to more, or has more entries, than any real one.
    #[error(
        "it unpacks to more than {MAX_UNPACKED} bytes, has more than {MAX_ENTRIES} entries, or its indices are larger than {MAX_KEPT} bytes"
    )]
    TooLarge,
    /// The guest's kernel has no such driver.
    #[error("the kernel {version} has no module {module}")]
    NoModule {
        /// The module.
        module: String,
        /// The kernel.
        version: String,
    },
    /// A module could not be read from the guest.
    #[error("the module {path} cannot be read")]
    Module {
        /// Its path in the guest.
        path: String,
        /// What went wrong.
        #[source]
        source: crate::fs::FsError,
    },
    /// A module is compressed in a way that cannot be undone.
    #[error("the module {path} cannot be unpacked")]
    UnpackModule {
        /// Its path in the guest.
        path: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
}

/// Reads an initramfs, keeping the contents of the files whose path `keep` accepts.
///
/// # Errors
/// When a segment is of no known kind, damaged, or larger than any real one.
pub fn read(bytes: &[u8], keep: impl Fn(&str) -> bool) -> Result<Contents, Error> {
    let mut contents = Contents::default();
    let mut visitor = Visitor { contents: &mut contents, keep: &keep, kept: 0, left: MAX_UNPACKED };
    let mut offset = 0;
    let mut segments = Vec::new();
    loop {
        let rest = bytes.get(offset..).unwrap_or_default();
        // Zeroes between segments are padding.
        let Some(padding) = rest.iter().position(|&byte| byte != 0) else { break };
        offset += padding;
        let rest = bytes.get(offset..).unwrap_or_default();
        let compression = Compression::of(rest).ok_or(Error::UnknownSegment { offset })?;
        let left = compression
            .unpack(rest, &mut |stream| visitor.archives(stream))
            .map_err(|source| visitor.error(offset, compression, source))?;
        let length = rest.len() - left;
        segments.push(Segment { offset, length, compression });
        if length == 0 {
            return Err(Error::UnknownSegment { offset });
        }
        offset += length;
    }
    contents.segments = segments;
    Ok(contents)
}

/// Takes down what the archives hold.
struct Visitor<'a> {
    contents: &'a mut Contents,
    keep: &'a dyn Fn(&str) -> bool,
    kept: usize,
    /// How much may still come out of the segments, in bytes.
    left: u64,
}

impl Visitor<'_> {
    /// Reads archive after archive until the stream ends, or has given more than it may.
    fn archives(&mut self, stream: &mut dyn Read) -> std::io::Result<()> {
        let mut stream = BufReader::with_capacity(BUFFER, stream.take(self.left.saturating_add(1)));
        let result = self.entries(&mut stream);
        match stream.get_ref().limit() {
            0 => Err(too_large()),
            limit => {
                self.left = limit - 1;
                result
            }
        }
    }

    fn entries(&mut self, stream: &mut dyn Read) -> std::io::Result<()> {
        cpio::read(stream, |header, data| {
            let path = header.name.trim_start_matches("./").trim_start_matches('/').to_string();
            if self.contents.paths.len() >= MAX_ENTRIES {
                return Err(too_large());
            }
            if header.kind == Kind::File && (self.keep)(&path) {
                self.kept = self.kept.saturating_add(usize::try_from(header.size).unwrap_or(usize::MAX));
                if self.kept > MAX_KEPT {
                    return Err(too_large());
                }
                let mut file = Vec::new();
                data.read_to_end(&mut file)?;
                self.contents.files.insert(path.clone(), file);
            }
            if !path.is_empty() && path != "." {
                self.contents.paths.insert(path, header.kind.clone());
            }
            Ok(())
        })
    }

    fn error(&self, offset: usize, compression: Compression, source: std::io::Error) -> Error {
        match source.get_ref().and_then(|inner| inner.downcast_ref::<TooLarge>()) {
            Some(TooLarge) => Error::TooLarge,
            None => Error::Unpack { offset, compression, source },
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("too large")]
struct TooLarge;

fn too_large() -> std::io::Error {
    std::io::Error::other(TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroes_without_end_are_given_up() {
        let mut contents = Contents::default();
        let mut visitor = Visitor { contents: &mut contents, keep: &|_| true, kept: 0, left: 1 << 20 };
        let error = visitor.archives(&mut std::io::repeat(0)).unwrap_err();
        assert!(matches!(visitor.error(0, Compression::Gzip, error), Error::TooLarge));
    }

    #[test]
    fn what_the_segments_unpack_to_is_added_up() {
        let archive = cpio::write(&[cpio::Entry::file("f", vec![7; 1000])]);
        let mut contents = Contents::default();
        let mut visitor = Visitor { contents: &mut contents, keep: &|_| true, kept: 0, left: 2_000 };
        visitor.archives(&mut archive.as_slice()).unwrap();
        assert!(visitor.archives(&mut archive.as_slice()).is_err());
    }
}
