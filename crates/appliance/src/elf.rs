//! 64-bit little-endian ELF files ("System V Application Binary Interface"): kernels, programs and libraries, as far as
//! they are looked into here. Whatever does not fit is `None`. A kernel may be a guest's own, and hostile.

/// Program headers ("System V Application Binary Interface", "Program Header"): their types, and where their fields are.
pub(crate) const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_NOTE: u32 = 4;
const P_OFFSET: usize = 0x08;
const P_VADDR: usize = 0x10;
pub(crate) const P_FILESZ: usize = 0x20;

/// More program headers than any kernel, program or library has. Each may claim the whole file.
const MOST_HEADERS: usize = 64;

/// A program header of an ELF image, and what of the file it is about.
pub(crate) struct Segment {
    pub(crate) header: usize,
    pub(crate) offset: usize,
    pub(crate) length: usize,
    address: u64,
}

/// The segments of one type of a 64-bit little-endian ELF image; `None` when it is none, cut off, or has more than any.
pub(crate) fn segments(elf: &[u8], kind: u32) -> Option<Vec<Segment>> {
    if slice(elf, 0, 6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = usize::try_from(u64_at(elf, 0x20)?).ok()?;
    let (size, count) = (usize::from(u16_at(elf, 0x36)?), usize::from(u16_at(elf, 0x38)?));
    if count > MOST_HEADERS {
        return None;
    }
    let mut segments = Vec::new();
    for index in 0..count {
        let header = table.checked_add(index * size)?;
        let fields = elf.get(header..)?;
        if u32_at(fields, 0)? == kind {
            let offset = usize::try_from(u64_at(fields, P_OFFSET)?).ok()?;
            let length = usize::try_from(u64_at(fields, P_FILESZ)?).ok()?;
            let address = u64_at(fields, P_VADDR)?;
            segments.push(Segment { header, offset, length, address });
        }
    }
    Some(segments)
}

pub(crate) fn slice(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(slice(bytes, at, 2)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(slice(bytes, at, 4)?.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(slice(bytes, at, 8)?.try_into().ok()?))
}

/// Xen's `elfnote.h`: the entry of a paravirtual domain, and the 32-bit entry that any hypervisor may use (PVH).
pub(crate) const PV_ENTRY: u32 = 1;
pub(crate) const PHYS32_ENTRY: u32 = 18;

/// Whether an ELF image has a note of Xen's of that type.
pub(crate) fn has_xen_note(elf: &[u8], wanted: u32) -> bool {
    find_xen_note(elf, wanted).unwrap_or(false)
}

fn find_xen_note(elf: &[u8], wanted: u32) -> Option<bool> {
    for segment in segments(elf, PT_NOTE)? {
        let mut notes = slice(elf, segment.offset, segment.length)?;
        while let (Some(name), Some(value), Some(kind)) =
            (u32_at(notes, 0), u32_at(notes, 4), u32_at(notes, 8))
        {
            if kind == wanted && slice(notes, 12, 4) == Some(b"Xen\0") {
                return Some(true);
            }
            let aligned = |length: u32| (length as usize).checked_next_multiple_of(4);
            notes = notes.get(12usize.checked_add(aligned(name)?)?.checked_add(aligned(value)?)?..)?;
        }
    }
    Some(false)
}

/// The names of the libraries that a program or library is linked with.
pub(crate) fn needed(elf: &[u8]) -> Option<Vec<String>> {
    /// "Dynamic Section": tags.
    const DT_NEEDED: u64 = 1;
    const DT_STRTAB: u64 = 5;
    let dynamic = segments(elf, PT_DYNAMIC)?.into_iter().next()?;
    let section = slice(elf, dynamic.offset, dynamic.length)?;
    let entries =
        || section.chunks_exact(16).filter_map(|entry| Some((u64_at(entry, 0)?, u64_at(entry, 8)?)));
    let (_, address) = entries().find(|(tag, _)| *tag == DT_STRTAB)?;
    let strings = segments(elf, PT_LOAD)?.into_iter().find_map(|segment| {
        let at = usize::try_from(address.checked_sub(segment.address)?).ok()?;
        slice(elf, segment.offset, segment.length)?.get(at..)
    })?;
    let name = |offset: u64| {
        let text = strings.get(usize::try_from(offset).ok()?..)?.split(|byte| *byte == 0).next()?;
        String::from_utf8(text.to_vec()).ok()
    };
    entries().filter(|(tag, _)| *tag == DT_NEEDED).map(|(_, offset)| name(offset)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn elf_with_note(kind: u32) -> Vec<u8> {
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
    fn notes_are_found_by_their_type() {
        assert!(has_xen_note(&elf_with_note(PHYS32_ENTRY), PHYS32_ENTRY));
        assert!(!has_xen_note(&elf_with_note(17), PHYS32_ENTRY));
        assert!(!has_xen_note(b"\x7fELF", PHYS32_ENTRY));
        let elf = elf_with_note(PV_ENTRY);
        for length in 0..elf.len() {
            has_xen_note(&elf[..length], PV_ENTRY);
        }
    }

    #[test]
    fn an_image_with_more_headers_than_any_is_none() {
        // Each header is the same, and its notes are the file: they would be walked tens of thousands of times.
        let mut elf = elf_with_note(PV_ENTRY);
        elf[0x36..0x3a].copy_from_slice(&[0, 0, 0xff, 0xff]);
        assert!(segments(&elf, PT_NOTE).is_none());
        elf[0x38..0x3a].copy_from_slice(&[MOST_HEADERS as u8, 0]);
        assert_eq!(segments(&elf, PT_NOTE).unwrap().len(), MOST_HEADERS);
    }

    #[test]
    fn a_program_names_its_libraries() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let libraries = needed(&program).unwrap();
        assert!(libraries.iter().any(|name| name == "libc.so.6"), "{libraries:?}");
        assert_eq!(needed(&program[..0x200]), None);
        assert_eq!(needed(b""), None);
    }
}
