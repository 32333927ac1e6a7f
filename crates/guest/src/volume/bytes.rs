//! Checked reading of numbers and texts out of on-disk structures.

/// The `N` bytes at `offset`, when they are there.
pub(crate) fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

/// A little-endian number of 16 bits.
pub(crate) fn le16(bytes: &[u8], offset: usize) -> Option<u16> {
    array(bytes, offset).map(u16::from_le_bytes)
}

/// A little-endian number of 32 bits.
pub(crate) fn le32(bytes: &[u8], offset: usize) -> Option<u32> {
    array(bytes, offset).map(u32::from_le_bytes)
}

/// A little-endian number of 64 bits.
pub(crate) fn le64(bytes: &[u8], offset: usize) -> Option<u64> {
    array(bytes, offset).map(u64::from_le_bytes)
}

/// A big-endian number of 16 bits.
pub(crate) fn be16(bytes: &[u8], offset: usize) -> Option<u16> {
    array(bytes, offset).map(u16::from_be_bytes)
}

/// A UUID whose bytes stand in the order in which they are printed (RFC 9562), unless it is all zeroes.
pub(crate) fn uuid(bytes: &[u8], offset: usize) -> Option<String> {
    array::<16>(bytes, offset).filter(|raw| raw.iter().any(|&b| b != 0)).map(format_uuid)
}

/// Prints sixteen bytes as a UUID.
pub(crate) fn format_uuid(raw: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in raw.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// A UUID in the mixed byte order of UEFI: the first three fields are little-endian.
pub(crate) fn guid(bytes: &[u8], offset: usize) -> Option<String> {
    let [a, b, c, d, e, f, g, h, rest @ ..] = array::<16>(bytes, offset)?;
    let mut raw = [d, c, b, a, f, e, h, g, 0, 0, 0, 0, 0, 0, 0, 0];
    for (to, from) in raw.iter_mut().skip(8).zip(rest) {
        *to = from;
    }
    Some(format_uuid(raw))
}

/// A text that ends at the first NUL, without blanks at its end, unless it is empty.
pub(crate) fn text(bytes: &[u8], offset: usize, length: usize) -> Option<String> {
    let field = bytes.get(offset..offset.checked_add(length)?)?;
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    let text = String::from_utf8_lossy(field.get(..end)?);
    Some(text.trim_end().to_string()).filter(|text| !text.is_empty())
}

/// A UTF-16 little-endian text that ends at the first NUL, unless it is empty.
pub(crate) fn utf16(bytes: &[u8]) -> Option<String> {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let text: String = char::decode_utf16(units.take_while(|&unit| unit != 0))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    Some(text.trim_end().to_string()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_past_the_end_is_nothing() {
        assert_eq!(le32(&[1, 2, 3], 0), None);
        assert_eq!(le16(&[1, 2, 3], usize::MAX), None);
        assert_eq!(text(b"ab\0cd", 0, 5).as_deref(), Some("ab"));
        assert_eq!(text(b"    ", 0, 4), None);
    }

    #[test]
    fn a_guid_turns_its_first_three_fields_round() {
        let linux: [u8; 16] =
            [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4];
        assert_eq!(guid(&linux, 0).as_deref(), Some("0fc63daf-8483-4772-8e79-3d69d8477de4"));
    }
}
