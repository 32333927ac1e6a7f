//! Base64 (RFC 4648, section 4), for the bytes that descriptions carry in text.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes as text, with padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let word =
            group.iter().enumerate().fold(0_u32, |word, (at, byte)| word | u32::from(*byte) << (16 - 8 * at));
        for digit in 0..4 {
            let index = usize::try_from(word >> (18 - 6 * digit) & 63).unwrap_or(0);
            let known = ALPHABET.get(index).map_or('=', |byte| char::from(*byte));
            text.push(if digit <= group.len() { known } else { '=' });
        }
    }
    text
}

/// The bytes of a text, in which white space means nothing; `None` when it is no Base64. Missing padding is forgiven.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut bits) = (0_u32, 0_u32);
    let mut symbols = text.bytes().filter(|symbol| !symbol.is_ascii_whitespace());
    for symbol in symbols.by_ref() {
        if symbol == b'=' {
            // Nothing but padding follows padding.
            return symbols.all(|rest| rest == b'=').then_some(bytes);
        }
        let digit = ALPHABET.iter().position(|known| *known == symbol)?;
        word = word << 6 | u32::try_from(digit).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(word >> bits & 0xff).ok()?);
        }
    }
    // A single symbol at the end is not even one byte.
    (bits < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_rfc() {
        let vectors = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
        let encoded = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (bytes, text) in vectors.into_iter().zip(encoded) {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
            assert_eq!(decode(text.trim_end_matches('=')).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(decode("Zm 9v\n").as_deref(), Some(&b"foo"[..]));
        for wrong in ["Z", "Zg==Zg", "Zm9*", "Zm9vY"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
