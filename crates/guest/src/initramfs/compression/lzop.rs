//! lzop's container of LZO1X blocks, the one in which kernels and initramfs images are packed with LZO (Linux,
//! `lib/decompress_unlzo.c`).

use super::blocks::Blocks;
use super::lzo1x;
use std::io;

/// In front of the header.
pub(super) const MAGIC: [u8; 9] = [0x89, b'L', b'Z', b'O', 0, b'\r', b'\n', 0x1A, b'\n'];
/// The version of lzop since which a header has a level, a version to unpack it and a second half of its time.
const VERSION_WITH_LEVEL: u16 = 0x0940;
/// The methods that are LZO1X; others are lzop's experiments.
const METHODS: std::ops::RangeInclusive<u8> = 1..=3;
/// The most that a block unpacks to. The kernel takes 256 KiB, which is what lzop writes; lzop itself reads this.
const LARGEST_BLOCK: u32 = 64 << 20;

/// Bits of the header's flags: which checksums a block has, of its bytes and of its packed bytes.
const ADLER32: u32 = 0x1;
const ADLER32_PACKED: u32 = 0x2;
const EXTRA_FIELD: u32 = 0x40;
const CRC32: u32 = 0x100;
const CRC32_PACKED: u32 = 0x200;
const MULTIPART: u32 = 0x400;
const FILTER: u32 = 0x800;

/// Why a container cannot be read.
#[derive(Debug, thiserror::Error)]
enum Damage {
    #[error("the header of lzop says {what} {value}, which is not supported")]
    Unsupported { what: &'static str, value: u32 },
    #[error("a block of {packed} bytes is said to unpack to {size}")]
    Sizes { packed: u32, size: u32 },
    #[error("a block cannot be unpacked")]
    Block(#[from] lzo1x::Damage),
    #[error("a block unpacks to {unpacked} bytes and not to {size}")]
    Length { unpacked: usize, size: u32 },
    #[error("the checksum of a block is wrong")]
    Checksum,
}

impl From<Damage> for io::Error {
    fn from(damage: Damage) -> Self {
        Self::new(io::ErrorKind::InvalidData, damage)
    }
}

/// One file in lzop's container.
pub(super) struct Lzop<'a> {
    rest: &'a [u8],
    flags: u32,
}

impl<'a> Lzop<'a> {
    /// Reads the header, whose fields are big-endian.
    pub(super) fn open(bytes: &'a [u8]) -> io::Result<Self> {
        let mut container = Self { rest: bytes, flags: 0 };
        container.take(MAGIC.len())?;
        let version = u16::from_be_bytes(container.chunk()?);
        let is_new = version >= VERSION_WITH_LEVEL;
        // The library's version, and the one that is needed to unpack it.
        container.take(if is_new { 4 } else { 2 })?;
        let [method] = container.chunk()?;
        if !METHODS.contains(&method) {
            return Err(Damage::Unsupported { what: "method", value: method.into() }.into());
        }
        container.take(usize::from(is_new))?;
        container.flags = container.number()?;
        let refused = container.flags & (FILTER | MULTIPART);
        if refused != 0 {
            return Err(Damage::Unsupported { what: "flag", value: refused }.into());
        }
        // Mode and time, then the name, and the header's checksum.
        container.take(if is_new { 12 } else { 8 })?;
        let [name] = container.chunk()?;
        container.take(usize::from(name) + 4)?;
        if container.flags & EXTRA_FIELD != 0 {
            let length = container.number()? as usize;
            container.take(length)?;
            container.take(4)?;
        }
        Ok(container)
    }

    /// What lies behind what was read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
        self.rest = rest;
        Ok(*chunk)
    }

    fn number(&mut self) -> io::Result<u32> {
        self.chunk().map(u32::from_be_bytes)
    }

    fn checksum(&mut self, flag: u32) -> io::Result<Option<u32>> {
        if self.flags & flag == 0 { Ok(None) } else { self.number().map(Some) }
    }
}

impl Blocks for Lzop<'_> {
    fn next(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        let size = self.number()?;
        if size == 0 {
            return Ok(false);
        }
        let packed = self.number()?;
        if packed == 0 || packed > size || size > LARGEST_BLOCK {
            return Err(Damage::Sizes { packed, size }.into());
        }
        let adler = self.checksum(ADLER32)?;
        let crc = self.checksum(CRC32)?;
        if packed < size {
            self.checksum(ADLER32_PACKED)?;
            self.checksum(CRC32_PACKED)?;
        }
        let stored = self.take(packed as usize)?;
        if packed == size {
            // It would not have become smaller.
            block.extend_from_slice(stored);
        } else {
            lzo1x::unpack(stored, block, size as usize).map_err(Damage::Block)?;
        }
        if block.len() != size as usize {
            return Err(Damage::Length { unpacked: block.len(), size }.into());
        }
        let is_whole = adler.is_none_or(|sum| sum == adler32(block))
            && crc.is_none_or(|sum| sum == crc32fast::hash(block));
        if is_whole { Ok(true) } else { Err(Damage::Checksum.into()) }
    }
}

/// Adler-32 (RFC 1950, section 9).
fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    /// The most bytes whose sums stay below 2³² without being reduced.
    const RUN: usize = 5552;
    let (mut a, mut b) = (1u32, 0u32);
    for run in bytes.chunks(RUN) {
        for byte in run {
            a += u32::from(*byte);
            b += a;
        }
        a %= MODULUS;
        b %= MODULUS;
    }
    b << 16 | a
}
