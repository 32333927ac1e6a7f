//! Kernel images: the x86 boot protocol's bzImage (the kernel's `Documentation/arch/x86/boot.rst`), and the ELF image
//! inside it.

use crate::decompress::decompress;
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
pub(super) fn elf(image: &Path) -> Result<Option<Vec<u8>>> {
    let bytes = read(image, LARGEST)?;
    let Some(decompressed) = payload(&bytes).and_then(decompress) else { return Ok(None) };
    let mut elf = decompressed
        .map_err(|error| Error::Compressed { path: image.to_path_buf(), reason: error.to_string() })?;
    if !has_pvh_entry(&elf).unwrap_or(false) || drop_zeroes(&mut elf).is_none() {
        return Ok(None);
    }
    Ok(Some(elf))
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

/// Whether an ELF image has the note that names its entry for a hypervisor (`XEN_ELFNOTE_PHYS32_ENTRY` of Xen's
/// `elfnote.h`), without which QEMU does not start it.
fn has_pvh_entry(elf: &[u8]) -> Option<bool> {
    const PHYS32_ENTRY: u32 = 18;
    for segment in segments(elf, PT_NOTE)? {
        let mut notes = slice(elf, segment.offset, segment.length)?;
        while let (Some(name), Some(value), Some(kind)) =
            (u32_at(notes, 0), u32_at(notes, 4), u32_at(notes, 8))
        {
            if kind == PHYS32_ENTRY && slice(notes, 12, 4) == Some(b"Xen\0") {
                return Some(true);
            }
            let aligned = |length: u32| (length as usize).checked_next_multiple_of(4);
            notes = notes.get(12usize.checked_add(aligned(name)?)?.checked_add(aligned(value)?)?..)?;
        }
    }
    Some(false)
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

/// Program headers ("System V Application Binary Interface", "Program Header"): their types, and where their fields are.
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const P_OFFSET: usize = 0x08;
const P_FILESZ: usize = 0x20;

/// A program header of an ELF image, and what of the file it is about.
struct Segment {
    header: usize,
    offset: usize,
    length: usize,
}

/// The segments of one type of a 64-bit little-endian ELF image; `None` when it is none, or cut off.
fn segments(elf: &[u8], kind: u32) -> Option<Vec<Segment>> {
    if slice(elf, 0, 6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = usize::try_from(u64_at(elf, 0x20)?).ok()?;
    let (size, count) = (usize::from(u16_at(elf, 0x36)?), usize::from(u16_at(elf, 0x38)?));
    let mut segments = Vec::new();
    for index in 0..count {
        let header = table.checked_add(index * size)?;
        let fields = elf.get(header..)?;
        if u32_at(fields, 0)? == kind {
            let offset = usize::try_from(u64_at(fields, P_OFFSET)?).ok()?;
            let length = usize::try_from(u64_at(fields, P_FILESZ)?).ok()?;
            segments.push(Segment { header, offset, length });
        }
    }
    Some(segments)
}

fn slice(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(slice(bytes, at, 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(slice(bytes, at, 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(slice(bytes, at, 8)?.try_into().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file with a bzImage's header and this payload.
    pub(in crate::kernel) fn bzimage(version: &str, payload: &[u8]) -> Vec<u8> {
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

    fn elf_with_note(kind: u32) -> Vec<u8> {
        let mut elf = vec![0; 0x100];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[0x20] = 0x40;
        elf[0x36] = 56;
        elf[0x38] = 1;
        elf[0x40] = 4;
        elf[0x48] = 0x80;
        elf[0x60] = 40;
        // A note of another kind first.
        elf[0x80..0x8c].copy_from_slice(&[4, 0, 0, 0, 4, 0, 0, 0, 6, 0, 0, 0]);
        elf[0x8c..0x90].copy_from_slice(b"Xen\0");
        elf[0x94..0x98].copy_from_slice(&[4, 0, 0, 0]);
        elf[0x98..0x9c].copy_from_slice(&4u32.to_le_bytes());
        elf[0x9c..0xa0].copy_from_slice(&kind.to_le_bytes());
        elf[0xa0..0xa4].copy_from_slice(b"Xen\0");
        elf
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
        assert_eq!(u64_at(&elf, 0x60), Some(3), "\"Xen\" and no more");
        assert_eq!(drop_zeroes(&mut [0; 8]), None);
    }

    #[test]
    fn only_an_image_with_a_hypervisors_entry_is_started() {
        assert_eq!(has_pvh_entry(&elf_with_note(18)), Some(true));
        assert_eq!(has_pvh_entry(&elf_with_note(17)), Some(false));
        assert_eq!(has_pvh_entry(b"\x7fELF"), None);
        let elf = elf_with_note(18);
        for length in 0..elf.len() {
            let _ = has_pvh_entry(&elf[..length]);
        }
    }
}
