//! The ways in which a segment of an initramfs, a module, or a kernel can be compressed: those that Linux' `lib/decompress.c`
//! knows. [`Compression::KNOWN`] is the table of them.

mod blocks;
mod lz4;
mod lzo1x;
mod lzop;

pub use lz4::lz4_legacy;

use super::cpio;
use blocks::{BlockReader, Blocks};
use flate2::bufread::GzDecoder;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, Read};

/// The memory that a decoder of xz or lzma may use; the kernel's build asks for half of it.
const XZ_MEMORY: u64 = 256 << 20;
/// The window that a decoder of zstd may use, as a power of two; the kernel's build asks for this.
const ZSTD_WINDOW: u32 = 27;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Not at all: a cpio archive stands there.
    Plain,
    /// gzip (RFC 1952).
    Gzip,
    /// bzip2.
    Bzip2,
    /// The older LZMA container, with a header of 13 bytes and no checksum.
    Lzma,
    /// xz.
    Xz,
    /// LZO1X in lzop's container.
    Lzo,
    /// lz4's legacy frames.
    Lz4Legacy,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// What it is.
    pub compression: Compression,
    /// What it is called.
    pub name: &'static str,
    /// The first bytes by which it is known.
    pub signature: &'static [u8],
}

const fn known(compression: Compression, name: &'static str, signature: &'static [u8]) -> Known {
    Known { compression, name, signature }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = Self::KNOWN.iter().find(|row| row.compression == *self);
        f.write_str(row.map_or("unknown", |row| row.name))
    }
}

/// What is done with the stream that comes out of a decoder.
type Consume<'a> = &'a mut dyn FnMut(&mut dyn Read) -> io::Result<()>;

impl Compression {
    /// Every way that is known.
    pub const KNOWN: &'static [Known] = &[
        known(Self::Plain, "uncompressed", b"070701"),
        known(Self::Plain, "uncompressed", b"070702"),
        known(Self::Gzip, "gzip", &[0x1F, 0x8B]),
        known(Self::Bzip2, "bzip2", b"BZh"),
        known(Self::Lzma, "lzma", &[0x5D, 0, 0]),
        known(Self::Xz, "xz", &[0xFD, b'7', b'z', b'X', b'Z', 0]),
        known(Self::Lzo, "lzo", &lzop::MAGIC),
        known(Self::Lz4Legacy, "lz4", &lz4::MAGIC),
        known(Self::Zstd, "zstd", &[0x28, 0xB5, 0x2F, 0xFD]),
    ];

    /// By the first bytes.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Self::KNOWN.iter().find(|row| bytes.starts_with(row.signature)).map(|row| row.compression)
    }

    /// Unpacks the stream at the start of `bytes`, hands it to `consume`, and answers with how many bytes lie
    /// behind it.
    ///
    /// # Errors
    /// When the stream is damaged, and what `consume` answers.
    pub fn unpack(
        self,
        bytes: &[u8],
        consume: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
    ) -> io::Result<usize> {
        let rest = match self {
            Self::Plain => {
                let (mut archive, rest) = bytes.split_at(cpio::length(bytes)?);
                consume(&mut archive)?;
                rest
            }
            Self::Gzip => whole(GzDecoder::new(bytes), consume)?.into_inner(),
            Self::Bzip2 => whole(bzip2::bufread::BzDecoder::new(bytes), consume)?.into_inner(),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW)?;
                whole(decoder, consume)?.finish()
            }
            Self::Xz => {
                of_liblzma(bytes, liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0), consume)?
            }
            Self::Lzma => of_liblzma(bytes, liblzma::stream::Stream::new_lzma_decoder(XZ_MEMORY), consume)?,
            Self::Lzo => in_blocks(lzop::Lzop::open(bytes)?, consume)?.rest(),
            Self::Lz4Legacy => in_blocks(lz4::Lz4Legacy::new(bytes), consume)?.rest(),
        };
        Ok(rest.len())
    }
}

/// Reads a stream to its end, so that what lies behind it is known.
fn whole<R: Read>(mut decoder: R, consume: Consume<'_>) -> io::Result<R> {
    consume(&mut decoder)?;
    io::copy(&mut decoder, &mut io::sink())?;
    Ok(decoder)
}

fn in_blocks<B: Blocks>(blocks: B, consume: Consume<'_>) -> io::Result<B> {
    whole(BlockReader::new(blocks), consume).map(BlockReader::into_inner)
}

fn of_liblzma<'a>(
    bytes: &'a [u8],
    stream: Result<liblzma::stream::Stream, liblzma::stream::Error>,
    consume: Consume<'_>,
) -> io::Result<&'a [u8]> {
    whole(liblzma::bufread::XzDecoder::new_stream(bytes, stream?), consume)
        .map(liblzma::bufread::XzDecoder::into_inner)
}

/// Compresses with gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut encoder = flate2::bufread::GzEncoder::new(bytes, flate2::Compression::new(6));
    // Reading from memory and writing to memory do not fail.
    let _ = encoder.read_to_end(&mut packed);
    packed
}

/// Unpacks the stream at the start of `bytes`, whatever it is compressed with, up to `limit` bytes; `None` when it is not
/// compressed. What lies behind the stream is left alone.
///
/// # Errors
/// When the stream is damaged, or unpacks to more than `limit`.
pub fn unpack_first(bytes: &[u8], limit: u64) -> Option<io::Result<Vec<u8>>> {
    let compression = Compression::of(bytes).filter(|kind| *kind != Compression::Plain)?;
    let mut unpacked = Vec::new();
    let result = compression.unpack(bytes, &mut |stream| {
        stream.take(limit.saturating_add(1)).read_to_end(&mut unpacked)?;
        if unpacked.len() as u64 > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it unpacks to too much"));
        }
        Ok(())
    });
    Some(result.map(|_| unpacked))
}

/// Unpacks all of `bytes`, whatever they are compressed with, up to `limit` bytes; bytes that are not compressed come
/// back as they are.
///
/// # Errors
/// When they are damaged, or unpack to more than `limit`.
pub fn unpack_all(bytes: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    unpack_first(bytes, limit).unwrap_or_else(|| Ok(bytes.to_vec()))
}
