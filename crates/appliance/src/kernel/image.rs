//! Kernel images: the x86 boot protocol's bzImage (the kernel's `Documentation/arch/x86/boot.rst`), and the ELF image
//! inside it.

use crate::decompress::decompress;
use crate::elf::{self, P_FILESZ, PT_LOAD, segments, slice, u16_at, u32_at};
use crate::error::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// `boot.rst`: "setup_sects", the size of the real-mode code in sectors, without the boot sector.
const SETUP_SECTS: usize = 0x1f1;
/// "header", the magic number, and "version", at least 2.08 for the payload's fields.
const HEADER: usize = 0x202;
const HEADER_MAGIC: &[u8; 4] = b"HdrS";
const VERSION: usize = 0x206;
const PROTOCOL: u16 = 0x0208;
/// "kernel_version", where the version's text stands, less 0x200.
const KERNEL_VERSION: usize = 0x20e;
/// "payload_offset" from the protected-mode code, and "payload_length".
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;

/// Large enough for the real-mode code, in which the version stands.
const START: u64 = 64 << 10;
const LARGEST: u64 = 256 << 20;

/// Reads a bzImage's version.
pub(super) fn version(image: &Path) -> Result<String> {
    let start = read(image, START)?;
    version_in(&start)
        .ok_or_else(|| Error::BadKernel { path: image.to_path_buf(), reason: "it is no bzImage".to_string() })
}

/// The ELF image in a bzImage, where QEMU can start it: `None` when it is packed in a way that is not known here, or has
/// no entry for a hypervisor.
pub(crate) fn elf(image: &Path) -> Result<Option<Vec<u8>>> {
    let Some(decompressed) = unpacked(&read(image, LARGEST)?) else { return Ok(None) };
    let mut elf = decompressed
        .map_err(|error| Error::Compressed { path: image.to_path_buf(), reason: error.to_string() })?;
    if !has_pvh_entry(&elf) || drop_zeroes(&mut elf).is_none() {
        return Ok(None);
    }
    Ok(Some(elf))
}

/// What is packed in a bzImage; `None` when it is none, or packed in a way that is not known here.
pub(crate) fn unpacked(image: &[u8]) -> Option<std::io::Result<Vec<u8>>> {
    payload(image).and_then(decompress)
}

fn read(image: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(image).map_err(Error::io("open", image))?;
    file.take(limit).read_to_end(&mut bytes).map_err(Error::io("read", image))?;
    Ok(bytes)
}

fn version_in(start: &[u8]) -> Option<String> {
    if slice(start, HEADER, 4)? != HEADER_MAGIC || u16_at(start, VERSION)? < PROTOCOL {
        return None;
    }
    let at = usize::from(u16_at(start, KERNEL_VERSION)?) + 0x200;
    let text = start.get(at..)?.split(|byte| *byte == 0).next()?;
    let version = std::str::from_utf8(text).ok()?.split_whitespace().next()?;
    // It becomes part of paths.
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-~".contains(c);
    (version.len() < 128 && !version.starts_with('.') && version.chars().all(plain))
        .then(|| version.to_string())
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    version_in(image)?;
    // 0 means 4, for very old loaders.
    let setup = match *image.get(SETUP_SECTS)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let offset = (setup + 1) * 512 + u32_at(image, PAYLOAD_OFFSET)? as usize;
    slice(image, offset, u32_at(image, PAYLOAD_LENGTH)? as usize)
}

/// Whether an ELF image names its entry for a hypervisor, without which QEMU does not start it.
fn has_pvh_entry(elf: &[u8]) -> bool {
    elf::has_xen_note(elf, elf::PHYS32_ENTRY)
}

/// Ends each loaded segment's contents before the zeroes at its end, which the kernel's build stores although memory
/// starts as zeroes. Else QEMU writes them: 10 MiB of memory, twice.
fn drop_zeroes(elf: &mut [u8]) -> Option<()> {
    for segment in segments(elf, PT_LOAD)? {
        let contents = slice(elf, segment.offset, segment.length)?;
        let length = contents.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let field = segment.header.checked_add(P_FILESZ)?;
        elf.get_mut(field..field.checked_add(8)?)?.copy_from_slice(&(length as u64).to_le_bytes());
    }
    Some(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::elf::tests::elf_with_note;

    /// A file with a bzImage's header and this payload.
    pub(crate) fn bzimage(version: &str, payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[SETUP_SECTS] = 1;
        image[HEADER..HEADER + 4].copy_from_slice(HEADER_MAGIC);
        image[VERSION..VERSION + 2].copy_from_slice(&0x20fu16.to_le_bytes());
        image[KERNEL_VERSION..KERNEL_VERSION + 2].copy_from_slice(&0x100u16.to_le_bytes());
        let text = format!("{version} (someone@example.org) #1 SMP\0");
        image[0x300..0x300 + text.len()].copy_from_slice(text.as_bytes());
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend_from_slice(payload);
        image
    }

    #[test]
    fn the_version_stands_in_the_header() {
        assert_eq!(version_in(&bzimage("6.1.0-13-amd64", b"")).unwrap(), "6.1.0-13-amd64");
        assert_eq!(version_in(&bzimage("../../etc", b"")), None);
        assert_eq!(version_in(&[0; 1024]), None);
        assert_eq!(version_in(b"MZ"), None);
    }

    #[test]
    fn the_payload_is_bounded_by_the_file() {
        let image = bzimage("6.1.0", b"payload");
        assert_eq!(payload(&image), Some(&b"payload"[..]));
        assert_eq!(payload(&image[..image.len() - 1]), None);
    }

    #[test]
    fn zeroes_at_a_segments_end_are_not_loaded() {
        let mut elf = elf_with_note(18);
        elf[0x40] = 1;
        elf[0x48] = 0xa0;
        elf[0x60] = 0x60;
        drop_zeroes(&mut elf).unwrap();
        assert_eq!(elf::u64_at(&elf, 0x60), Some(3), "\"Xen\" and no more");
        assert_eq!(drop_zeroes(&mut [0; 8]), None);
    }
}
