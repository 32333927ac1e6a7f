//! The lines of a `.vmx` to write, whose values may be hostile.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::{Display, Write};

/// Lines in the order in which they were set. A key is written once, whatever its case: VMware refuses to start a
/// machine whose file has one twice.
#[derive(Default)]
pub(super) struct Lines {
    text: String,
    /// By key in lower case, the key as it is written and its value.
    values: BTreeMap<String, (String, String)>,
}

impl Lines {
    /// Writes a key and its value; nothing when the key is written already.
    pub(super) fn set(&mut self, key: &str, value: impl Display) {
        if let Entry::Vacant(entry) = self.values.entry(key.to_ascii_lowercase()) {
            let (_, value) = entry.insert((key.to_owned(), value.to_string()));
            let _ = writeln!(self.text, "{key} = \"{}\"", escape(value));
        }
    }

    /// Writes a truth value, as VMware does.
    pub(super) fn flag(&mut self, key: &str, value: bool) {
        self.set(key, if value { "TRUE" } else { "FALSE" });
    }

    /// What was written for the key.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.values.get(&key.to_ascii_lowercase()).map(|(_, value)| value.as_str())
    }

    /// Whether it stands there just so, in this case too.
    pub(super) fn says(&self, key: &str, value: &str) -> bool {
        let written = self.values.get(&key.to_ascii_lowercase());
        written.is_some_and(|(as_written, as_set)| as_written == key && as_set == value)
    }

    /// The file.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// Writes what would end the value, the line or the file as `|` and two hexadecimal digits.
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' | '|' | '\u{7f}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "|{:02X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmx::Document;

    #[test]
    fn values_read_back_and_keys_stand_once() {
        let hostile = "a\"b|22c\r\nd\0\u{b}\u{7f}# e = \"f\" 虚😀 ";
        let mut lines = Lines::default();
        lines.set("a.b", hostile);
        lines.set("A.B", "again");
        lines.flag("c", true);
        assert_eq!((lines.value("A.b"), lines.value("d")), (Some(hostile), None));
        let text = lines.into_text();
        let document = Document::parse(text.as_bytes()).unwrap();
        let values: Vec<&str> = document.entries().map(|entry| entry.value.as_str()).collect();
        assert_eq!(values, [hostile, "TRUE"]);
    }
}
