//! Bytes to text, in whatever encoding the file declares.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// Text, and how it came about.
pub(crate) struct Decoded {
    /// The text, without a byte order mark.
    pub(crate) text: String,
    /// The encoding that was used.
    pub(crate) encoding: &'static Encoding,
    /// Whether some bytes are not of that encoding; they are U+FFFD in the text.
    pub(crate) damaged: bool,
}

/// Decodes `bytes` by their byte order mark, else by `declared`, else as UTF-8 where that fits and as Windows-1252
/// where it does not.
pub(crate) fn decode(bytes: &[u8], declared: Option<&'static Encoding>) -> Decoded {
    let guess = || if std::str::from_utf8(bytes).is_ok() { UTF_8 } else { WINDOWS_1252 };
    let (text, encoding, damaged) = declared.unwrap_or_else(guess).decode(bytes);
    Decoded { text: text.into_owned(), encoding, damaged }
}

/// At most `limit` characters of `text`, for a message.
pub(crate) fn excerpt(text: &str, limit: usize) -> String {
    let mut short: String = text.chars().take(limit).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undeclared_text_is_utf_8_or_else_windows_1252() {
        assert_eq!(decode("Grüße".as_bytes(), None).text, "Grüße");
        assert_eq!(decode(b"Gr\xfc\xdfe", None).text, "Grüße");
        assert_eq!(decode(b"\xef\xbb\xbfa", None).text, "a");
        assert!(decode(b"Gr\xfc", Some(UTF_8)).damaged);
    }
}
