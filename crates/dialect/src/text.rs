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

/// How far apart [`Lines`] remembers where it is, in bytes.
const STRIDE: usize = 4096;

/// The numbers of a text's lines, without counting from its beginning for each.
pub(crate) struct Lines<'a> {
    text: &'a str,
    /// How many lines end before each multiple of [`STRIDE`].
    ended: Vec<u32>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let sums = text.as_bytes().chunks(STRIDE).scan(0_u32, |ended, chunk| {
            let before = *ended;
            *ended = ended.saturating_add(line_ends(chunk));
            Some(before)
        });
        Self { text, ended: sums.collect() }
    }

    /// The line of the byte at `offset`, from 1.
    pub(crate) fn at(&self, offset: usize) -> u32 {
        let number = offset / STRIDE;
        let ended = self.ended.get(number).or(self.ended.last()).copied().unwrap_or(0);
        let rest = self.text.as_bytes().get(number * STRIDE..offset).unwrap_or_default();
        ended.saturating_add(line_ends(rest)).saturating_add(1)
    }
}

fn line_ends(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_across_strides() {
        let text = "ab\n".repeat(STRIDE);
        let lines = Lines::new(&text);
        for offset in [0, 2, 3, STRIDE - 1, STRIDE, STRIDE + 1, 3 * STRIDE - 1] {
            let expected = text[..offset].matches('\n').count() + 1;
            assert_eq!(lines.at(offset), u32::try_from(expected).unwrap(), "byte {offset}");
        }
        assert_eq!((Lines::new("").at(0), Lines::new("a\nb").at(2)), (1, 2));
    }

    #[test]
    fn undeclared_text_is_utf_8_or_else_windows_1252() {
        assert_eq!(decode("Grüße".as_bytes(), None).text, "Grüße");
        assert_eq!(decode(b"Gr\xfc\xdfe", None).text, "Grüße");
        assert_eq!(decode(b"\xef\xbb\xbfa", None).text, "a");
        assert!(decode(b"Gr\xfc", Some(UTF_8)).damaged);
    }
}
