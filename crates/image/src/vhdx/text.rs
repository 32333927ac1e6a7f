//! Strings inside a VHDX, which are UTF-16 with the low byte first ([MS-VHDX] sections 2.2.1 and 2.6.2.6.2).

/// The text of `bytes`; what is no UTF-16 becomes replacement characters.
pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf16_lossy(&units(bytes))
}

/// The text of `bytes`, `None` when they are no UTF-16.
pub(super) fn strict(bytes: &[u8]) -> Option<String> {
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    String::from_utf16(&units(bytes)).ok()
}

/// `text` in UTF-16.
pub(super) fn encode(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn units(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect()
}
