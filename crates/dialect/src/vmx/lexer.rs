//! The lines of a `.vmx` file, kept as they are.

use super::{Error, MAX_SIZE, Result};
use crate::text::{decode, excerpt};
use encoding_rs::Encoding;

/// A `.vmx` file, line by line. [`text`](Self::text) gives back what was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    lines: Vec<Line>,
    encoding: &'static Encoding,
    damaged: bool,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line as it stands, with its end.
    pub raw: String,
    /// What it says, when it says something.
    pub entry: Option<Entry>,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, as it is written.
    pub key: String,
    /// The value, without quotes and escapes.
    pub value: String,
}

impl Document {
    /// Splits a file into lines and those into keys and values.
    ///
    /// # Errors
    /// When the bytes are not text, are too many, or hold a line of another form.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_SIZE {
            return Err(Error::TooLarge { size: bytes.len(), limit: MAX_SIZE });
        }
        if let Some(offset) = bytes.iter().position(|&byte| byte == 0) {
            return Err(Error::NotText { offset });
        }
        let decoded = decode(bytes, declared_encoding(bytes)?);
        let mut lines = Vec::new();
        for (index, raw) in decoded.text.split_inclusive('\n').enumerate() {
            lines.push(Line { entry: entry(raw, index + 1)?, raw: raw.to_owned() });
        }
        if lines.iter().all(|line| line.entry.is_none()) {
            return Err(Error::Empty);
        }
        Ok(Self { lines, encoding: decoded.encoding, damaged: decoded.damaged })
    }

    /// The lines in order.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The keys and values in order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.lines.iter().filter_map(|line| line.entry.as_ref())
    }

    /// The whole file as text.
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| line.raw.as_str()).collect()
    }

    /// The name of the encoding in which the file was read.
    pub fn encoding(&self) -> &'static str {
        self.encoding.name()
    }

    /// Whether some bytes are not of that encoding.
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }
}

/// Reads `.encoding`, which VMware writes in ASCII whatever the encoding of the rest.
fn declared_encoding(bytes: &[u8]) -> Result<Option<&'static Encoding>> {
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        if !line.trim_ascii_start().get(..9).is_some_and(|key| key.eq_ignore_ascii_case(b".encoding")) {
            continue;
        }
        let line = String::from_utf8_lossy(line);
        let Some(Entry { key, value }) = entry(&line, index + 1)? else { continue };
        if !key.eq_ignore_ascii_case(".encoding") {
            continue;
        }
        return match Encoding::for_label(value.as_bytes()) {
            Some(encoding) => Ok(Some(encoding)),
            None => Err(Error::UnknownEncoding { line: index + 1, name: excerpt(&value, 40) }),
        };
    }
    Ok(None)
}

fn entry(raw: &str, line: usize) -> Result<Option<Entry>> {
    let text = raw.trim();
    // A `#!` first line makes the file executable on old hosts.
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let Some((key, value)) = text.split_once('=') else {
        return Err(Error::NotAnEntry { line, text: excerpt(text, 60) });
    };
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() || key.contains(['"', '\'', '<', '>']) || key.contains(char::is_whitespace) {
        return Err(Error::NotAnEntry { line, text: excerpt(text, 60) });
    }
    let value = match value.strip_prefix('"') {
        None => value,
        Some(rest) => {
            let (inside, after) =
                rest.split_once('"').ok_or_else(|| Error::Quoting { line, key: excerpt(key, 60) })?;
            let after = after.trim();
            if !after.is_empty() && !after.starts_with('#') {
                return Err(Error::Quoting { line, key: excerpt(key, 60) });
            }
            inside
        }
    };
    Ok(Some(Entry { key: key.to_owned(), value: unescape(value) }))
}

/// Replaces `|XX` (two hexadecimal digits) by the character of that number; anything else stays as it is.
fn unescape(value: &str) -> String {
    let mut pieces = value.split('|');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(u8::is_ascii);
        match code {
            Some(code) => {
                out.push(char::from(code));
                out.push_str(piece.get(2..).unwrap_or_default());
            }
            None => {
                out.push('|');
                out.push_str(piece);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> String {
        Document::parse(text.as_bytes()).unwrap().entries().next().unwrap().value.clone()
    }

    #[test]
    fn a_file_comes_back_as_it_was() {
        let text = "#!/usr/bin/vmware\n.encoding = \"UTF-8\"\r\n\n# note\n  memSize=\"512\"  \nx = y";
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(document.text(), text);
        assert_eq!(document.entries().count(), 3);
    }

    #[test]
    fn quotes_and_escapes_are_undone() {
        assert_eq!(value("a = \"x |22y|22|0Az||7C|\""), "x \"y\"\nz|||");
        assert_eq!(value("a = plain # kept"), "plain # kept");
        assert_eq!(value("a = \"x\" # comment"), "x");
        assert_eq!(value("a = \"|FF\""), "|FF");
    }

    #[test]
    fn the_declared_encoding_is_used() {
        assert_eq!(
            Document::parse(b".encoding = \"windows-1252\"\nn = \"Gr\xfcn\"")
                .unwrap()
                .entries()
                .nth(1)
                .unwrap()
                .value,
            "Grün"
        );
        assert_eq!(
            Document::parse(b".encoding = \"GBK\"\nn = \"\xd0\xe9\"")
                .unwrap()
                .entries()
                .nth(1)
                .unwrap()
                .value,
            "虚"
        );
    }

    #[test]
    fn other_files_are_refused_with_the_line() {
        let refuse = |bytes: &[u8]| Document::parse(bytes).unwrap_err();
        assert_eq!(refuse(b""), Error::Empty);
        assert_eq!(refuse(b"a = \"1\"\0"), Error::NotText { offset: 7 });
        assert!(matches!(refuse(b"a = \"1\"\n<xml>\n"), Error::NotAnEntry { line: 2, .. }));
        assert!(matches!(refuse(b"a = \"1\n"), Error::Quoting { line: 1, .. }));
        assert!(matches!(refuse(b"a = \"1\"2\"\n"), Error::Quoting { line: 1, .. }));
        assert!(matches!(refuse(b".encoding = \"klingon\"\n"), Error::UnknownEncoding { line: 1, .. }));
    }
}
