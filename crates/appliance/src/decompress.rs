//! Kernel images and modules, as distributions compress them: the host's own, and kernels of guests, which are hostile. What
//! comes out is bounded, and so is the memory that it takes.

use std::io::{Error, ErrorKind, Read, Result};

/// The largest kernel or module, decompressed. A kernel with debugging information has 100 MiB.
const LARGEST: u64 = 512 << 20;
/// The memory that a decoder of xz may use; the kernel's build asks for half of it.
const XZ_MEMORY: u64 = 256 << 20;

/// Decompresses gzip, xz, zstd or LZ4 by its magic number; `None` for anything else. What follows the compressed data
/// is left alone.
pub(crate) fn decompress(bytes: &[u8]) -> Option<Result<Vec<u8>>> {
    Some(match bytes {
        [0x1f, 0x8b, ..] => bounded(flate2::bufread::GzDecoder::new(bytes)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0)
            .map_err(Error::from)
            .and_then(|stream| bounded(liblzma::bufread::XzDecoder::new_stream(bytes, stream))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd::stream::read::Decoder::with_buffer(bytes)
            .and_then(|decoder| bounded(decoder.single_frame())),
        [0x02, 0x21, 0x4c, 0x18, rest @ ..] => lz4_legacy(rest),
        _ => return None,
    })
}

fn bounded(reader: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// LZ4's legacy frame ("lz4_Frame_format.md", "Legacy frame"), which is what the kernel's build uses: blocks of a
/// little-endian length and data that decompresses to 8 MiB, the last one to less.
fn lz4_legacy(mut rest: &[u8]) -> Result<Vec<u8>> {
    const BLOCK: usize = 8 << 20;
    let mut bytes = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        // The kernel's build appends the decompressed size, which is longer than what is left, where a block would be.
        let Some((block, after)) = after.split_at_checked(u32::from_le_bytes(*length) as usize) else {
            break;
        };
        let block = lz4_flex::block::decompress(block, BLOCK)
            .map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        let last = block.len() < BLOCK;
        bytes.extend_from_slice(&block);
        if bytes.len() as u64 > LARGEST {
            return Err(ErrorKind::FileTooLarge.into());
        }
        if last {
            break;
        }
        rest = after;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn compressed(command: &[&str], contents: &[u8]) -> Vec<u8> {
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} (install it with apt): {error}", command[0]));
        let mut stdin = child.stdin.take().unwrap();
        let contents = contents.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&contents).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output.stdout
    }

    #[test]
    fn reads_what_the_tools_write_with_something_behind_it() {
        let contents: Vec<u8> = (0..9_000_000u32).map(|n| (n / 7) as u8).collect();
        for command in [&["gzip", "-1"][..], &["xz", "-1"], &["zstd", "-1"], &["lz4", "-l", "-1"]] {
            let mut bytes = compressed(command, &contents);
            bytes.extend_from_slice(&(contents.len() as u32).to_le_bytes());
            assert!(decompress(&bytes).unwrap().unwrap() == contents, "{command:?}");
        }
    }

    #[test]
    fn an_absurd_dictionary_of_xz_is_refused() {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(b"\x7fELF").unwrap();
        let mut bytes = encoder.finish().unwrap();
        assert!(decompress(&bytes).unwrap().is_ok());
        // The header of the first block (".xz File Format", section 3.1) with a dictionary of 4 GiB.
        assert_eq!(bytes[12..16], [2, 0, 0x21, 1]);
        bytes[16] = 40;
        let mut sum = flate2::Crc::new();
        sum.update(&bytes[12..20]);
        bytes[20..24].copy_from_slice(&sum.sum().to_le_bytes());
        assert!(decompress(&bytes).unwrap().is_err());
    }

    #[test]
    fn nonsense_is_no_archive_or_an_error() {
        assert!(decompress(b"\x7fELF").is_none());
        for magic in [&[0x1f, 0x8b][..], b"\xfd7zXZ\0", &[0x28, 0xb5, 0x2f, 0xfd]] {
            assert!(decompress(&[magic, &[0xff; 64]].concat()).unwrap().is_err());
        }
    }
}
