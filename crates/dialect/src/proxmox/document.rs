//! The lines of a `.conf`: [`Document`].

use super::error::Error;
use crate::text::{decode, excerpt};
use machine::{Loss, Property, Severity};
use std::collections::BTreeMap;

/// A setting.
struct Setting {
    line: usize,
    value: String,
}

/// The settings of a configuration as it is now, and what stands around them.
#[derive(Default)]
pub(super) struct Document {
    settings: BTreeMap<String, Setting>,
    /// The notes, from the comments.
    notes: Vec<String>,
}

impl Document {
    /// Reads the lines. What a machine cannot hold is a loss.
    pub(super) fn parse(bytes: &[u8], losses: &mut Vec<Loss>) -> Result<Self, Error> {
        if bytes.len() > super::MAX_SIZE {
            return Err(Error::TooLarge { size: bytes.len(), limit: super::MAX_SIZE });
        }
        if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
            return Err(Error::NotText { offset });
        }
        let text = decode(bytes, None).text;
        let mut document = Self::default();
        let mut section: Option<&str> = None;
        for (index, line) in text.lines().enumerate() {
            if let Some(name) = line.trim_end().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = Some(name);
                report_section(name, losses);
            } else if section.is_none() {
                document.line(index.saturating_add(1), line, losses);
            }
        }
        if document.settings.is_empty() {
            return Err(Error::Empty);
        }
        Ok(document)
    }

    fn line(&mut self, line: usize, text: &str, losses: &mut Vec<Loss>) {
        // What a backup says of its own volumes, which is no note.
        if text.starts_with("#qmdump#map:") {
            return;
        }
        if let Some(comment) = text.strip_prefix('#') {
            self.notes.push(unescape(comment));
            return;
        }
        if text.trim().is_empty() {
            return;
        }
        let setting = text.split_once(':').filter(|(key, _)| is_key(key));
        let Some((key, value)) = setting.filter(|(_, value)| !value.trim().is_empty()) else {
            let why = format!("{:?} is not of the form key: value", excerpt(text, 40));
            losses.push(Loss::dropped(Severity::Note, format!("line {line}"), why));
            return;
        };
        let value = value.trim().to_owned();
        match key {
            // An old form of the comments.
            "description" => self.notes.push(unescape(&value)),
            _ => {
                self.settings.insert(key.to_owned(), Setting { line, value });
            }
        }
    }

    /// The notes; none when there are no comments.
    pub(super) fn notes(&self) -> Option<String> {
        let notes = self.notes.join("\n");
        // Proxmox takes white space off the end, as it adds a line end of its own.
        let notes = notes.trim_end();
        (!notes.is_empty()).then(|| notes.to_owned())
    }

    /// The value of a key, which is then read.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        self.settings.remove(key).map(|setting| setting.value)
    }

    /// The value of a key.
    pub(super) fn peek(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(|setting| setting.value.as_str())
    }

    /// A number, which is then read.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
        expected: &'static str,
    ) -> Result<Option<u64>, Error> {
        let Some(Setting { line, value }) = self.settings.remove(key) else { return Ok(None) };
        match value.parse().ok().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(Error::Value { line, key, value: excerpt(&value, 40), expected }),
        }
    }

    /// A yes or no, which is then read.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let value = self.take(key)?;
        Some(matches!(value.to_ascii_lowercase().as_str(), "1" | "on" | "yes" | "true"))
    }

    /// The numbers from 0 to `last` for which there is such a key, in order.
    pub(super) fn numbers(&self, key: &str, last: u32) -> Vec<u32> {
        (0..=last).filter(|number| self.settings.contains_key(&format!("{key}{number}"))).collect()
    }

    /// Keeps what is left of a value.
    pub(super) fn put_back(&mut self, key: String, value: String) {
        self.settings.insert(key, Setting { line: 0, value });
    }

    /// What nothing read, in alphabetical order.
    pub(super) fn into_properties(self) -> Vec<Property> {
        let property = |(key, setting): (String, Setting)| Property {
            dialect: super::PROPERTIES.to_owned(),
            key,
            value: setting.value,
        };
        self.settings.into_iter().map(property).collect()
    }
}

/// Whether it can be a key: letters, digits, `-` and `_`, the first a letter.
pub(super) fn is_key(key: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    key.starts_with(|c: char| c.is_ascii_lowercase()) && key.chars().all(plain)
}

fn report_section(name: &str, losses: &mut Vec<Loss>) {
    let what = format!("[{}]", excerpt(name, 60));
    let (severity, why) = if name.eq_ignore_ascii_case("pending") {
        (Severity::Change, "changes that wait for the machine's next start are not taken")
    } else if name.starts_with("special:") {
        (Severity::Note, "what Proxmox keeps for itself stays behind")
    } else {
        (Severity::Note, "a snapshot stays behind; the machine moves as it is now")
    };
    losses.push(Loss::dropped(severity, what, why));
}

/// Text in which `%` and two digits stand for a byte of UTF-8.
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, tail @ ..]) => {
                hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4 | low, tail))
            }
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Text with `%` and two digits for every byte of a character that is not one of `plain`.
pub(super) fn escape(text: &str, plain: impl Fn(char) -> bool) -> String {
    let mut escaped = String::new();
    let mut buffer = [0; 4];
    for c in text.chars() {
        if plain(c) {
            escaped.push(c);
            continue;
        }
        for byte in c.encode_utf8(&mut buffer).bytes() {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_read_back() {
        for text in ["", "a:b%c", "ünï 100%41", "a\tb\u{7f}"] {
            let escaped = escape(text, |c| matches!(c, ' '..='~') && !matches!(c, ':' | '%'));
            assert!(escaped.is_ascii() && !escaped.contains(':'));
            assert_eq!(unescape(&escaped), text);
        }
        assert_eq!(unescape("100%"), "100%");
        assert_eq!(unescape("%4"), "%4");
    }

    #[test]
    fn only_what_stands_before_the_first_section_is_now() {
        let text =
            b"#a%3Ab\n#\n#c\nmemory: 512\nodd line\n\n[PENDING]\nmemory: 1024\n[before]\nmemory: 2048\n";
        let mut losses = Vec::new();
        let mut document = Document::parse(text, &mut losses).unwrap();
        assert_eq!(document.notes().as_deref(), Some("a:b\n\nc"));
        assert_eq!(document.number("memory", 1..=4096, "").unwrap(), Some(512));
        let said: Vec<_> = losses.iter().map(|loss| loss.what.as_str()).collect();
        assert_eq!(said, ["line 5", "[PENDING]", "[before]"]);
        assert!(matches!(Document::parse(b"# nothing\n", &mut losses), Err(Error::Empty)));
    }
}
