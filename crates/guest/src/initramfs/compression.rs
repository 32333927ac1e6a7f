//! The ways in which a segment of an initramfs, or a module, can be compressed.

use super::cpio;
use flate2::bufread::GzDecoder;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, Read};

/// Magic number of lz4's legacy frames, the only ones that a kernel reads (lz4, `doc/lz4_Frame_format.md`).
const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4C, 0x18];
/// The bytes in a block of a legacy frame.
const LZ4_BLOCK: usize = 8 << 20;
/// The memory that a decoder of xz may use.
const XZ_MEMORY: u64 = 256 << 20;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Not at all: a cpio archive stands there.
    Plain,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// xz.
    Xz,
    /// The older LZMA container.
    Lzma,
    /// lz4's legacy frames.
    Lz4Legacy,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Lz4Legacy => "lz4",
        })
    }
}

impl Compression {
    /// By the first bytes.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        const SIGNATURES: &[(&[u8], Compression)] = &[
            (b"070701", Compression::Plain),
            (b"070702", Compression::Plain),
            (&[0x1F, 0x8B], Compression::Gzip),
            (&[0x28, 0xB5, 0x2F, 0xFD], Compression::Zstd),
            (&[0xFD, b'7', b'z', b'X', b'Z', 0], Compression::Xz),
            (&[0x5D, 0, 0], Compression::Lzma),
            (&LZ4_LEGACY, Compression::Lz4Legacy),
        ];
        SIGNATURES.iter().find(|(signature, _)| bytes.starts_with(signature)).map(|&(_, kind)| kind)
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
            Self::Gzip => {
                let mut decoder = GzDecoder::new(bytes);
                consume(&mut decoder)?;
                finish(&mut decoder)?;
                decoder.into_inner()
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?.single_frame();
                decoder.window_log_max(27)?;
                consume(&mut decoder)?;
                finish(&mut decoder)?;
                decoder.finish()
            }
            Self::Xz | Self::Lzma => {
                let stream = if self == Self::Xz {
                    liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0)
                } else {
                    liblzma::stream::Stream::new_lzma_decoder(XZ_MEMORY)
                };
                let mut decoder =
                    liblzma::bufread::XzDecoder::new_stream(bytes, stream.map_err(io::Error::from)?);
                consume(&mut decoder)?;
                finish(&mut decoder)?;
                decoder.into_inner()
            }
            Self::Lz4Legacy => {
                let mut decoder = Lz4Legacy { rest: bytes, block: Vec::new(), position: 0 };
                consume(&mut decoder)?;
                finish(&mut decoder)?;
                decoder.rest
            }
        };
        Ok(rest.len())
    }
}

/// Reads to the end of a stream, so that what lies behind it is known.
fn finish(stream: &mut dyn Read) -> io::Result<()> {
    io::copy(stream, &mut io::sink()).map(drop)
}

/// Reads legacy frames, one after another without a gap, as the kernel does.
struct Lz4Legacy<'a> {
    rest: &'a [u8],
    block: Vec<u8>,
    position: usize,
}

impl Lz4Legacy<'_> {
    /// Unpacks the next block; `false` at the end, which is also where zeroes start.
    fn next_block(&mut self) -> io::Result<bool> {
        while let Some((size, rest)) = self.rest.split_first_chunk::<4>() {
            if *size == LZ4_LEGACY {
                self.rest = rest;
                continue;
            }
            let size = u32::from_le_bytes(*size) as usize;
            if size == 0 {
                return Ok(false);
            }
            let packed = rest.get(..size).ok_or(io::ErrorKind::UnexpectedEof)?;
            self.block.resize(LZ4_BLOCK, 0);
            let length = lz4_flex::block::decompress_into(packed, &mut self.block)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            self.block.truncate(length);
            self.position = 0;
            self.rest = rest.get(size..).unwrap_or_default();
            return Ok(true);
        }
        Ok(false)
    }
}

impl Read for Lz4Legacy<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.position >= self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let count = self.block.get(self.position..).unwrap_or_default().read(buf)?;
        self.position += count;
        Ok(count)
    }
}

/// Compresses with gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut encoder = flate2::bufread::GzEncoder::new(bytes, flate2::Compression::new(6));
    // Reading from memory and writing to memory do not fail.
    let _ = encoder.read_to_end(&mut packed);
    packed
}

/// Compresses as legacy frames of lz4.
pub fn lz4_legacy(bytes: &[u8]) -> Vec<u8> {
    let mut packed = LZ4_LEGACY.to_vec();
    for block in bytes.chunks(LZ4_BLOCK) {
        let block = lz4_flex::block::compress(block);
        packed.extend(u32::try_from(block.len()).unwrap_or(u32::MAX).to_le_bytes());
        packed.extend(block);
    }
    packed
}

/// Unpacks all of `bytes`, whatever they are compressed with, up to `limit` bytes; bytes that are not compressed come
/// back as they are.
///
/// # Errors
/// When they are damaged, or unpack to more than `limit`.
pub fn unpack_all(bytes: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    match Compression::of(bytes) {
        None | Some(Compression::Plain) => Ok(bytes.to_vec()),
        Some(compression) => {
            let mut unpacked = Vec::new();
            compression.unpack(bytes, &mut |stream| {
                stream.take(limit.saturating_add(1)).read_to_end(&mut unpacked)?;
                if unpacked.len() as u64 > limit {
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it unpacks to too much"));
                }
                Ok(())
            })?;
            Ok(unpacked)
        }
    }
}
