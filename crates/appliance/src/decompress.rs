//! Kernel images and modules, as distributions compress them: the host's own, and kernels of guests, which are hostile. What
//! comes out is bounded, and so is the memory that it takes.

use guest::initramfs::compression::unpack_first;
use std::io::Result;

/// The largest kernel or module, decompressed. A kernel with debugging information has 100 MiB.
const LARGEST: u64 = 512 << 20;

/// Decompresses whatever the kernel's build compresses with, by its magic number; `None` for anything else. What follows
/// the compressed data is left alone.
pub(crate) fn decompress(bytes: &[u8]) -> Option<Result<Vec<u8>>> {
    unpack_first(bytes, LARGEST)
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
        for command in [
            &["gzip", "-1"][..],
            &["bzip2", "-1"],
            &["xz", "-1"],
            &["xz", "-1", "--format=lzma"],
            &["lzop", "-1"],
            &["lz4", "-l", "-1"],
            &["zstd", "-1"],
        ] {
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
        for magic in
            [&[0x1f, 0x8b][..], b"BZh", b"\xfd7zXZ\0", b"\x89LZO\0\r\n\x1a\n", &[0x28, 0xb5, 0x2f, 0xfd]]
        {
            assert!(decompress(&[magic, &[0xff; 64]].concat()).unwrap().is_err());
        }
    }
}
