//! A small tree of YAML to write, whose texts may be hostile (YAML 1.2).
//!
//! Every text is a double-quoted scalar: no text is a number, a truth value, an anchor, a tag or a comment.

use std::fmt::{Display, Write};

/// A node.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Map(Vec<(&'static str, Value)>),
    List(Vec<Value>),
    Text(String),
    /// A number or a truth value, as it is.
    Plain(String),
}

impl Value {
    pub(super) fn map() -> Self {
        Self::Map(Vec::new())
    }

    pub(super) fn list(values: impl IntoIterator<Item = Self>) -> Self {
        Self::List(values.into_iter().collect())
    }

    pub(super) fn text(text: impl AsRef<str>) -> Self {
        Self::Text(text.as_ref().to_owned())
    }

    pub(super) fn number(number: u32) -> Self {
        Self::plain(number)
    }

    pub(super) fn truth(truth: bool) -> Self {
        Self::plain(truth)
    }

    fn plain(value: impl Display) -> Self {
        Self::Plain(value.to_string())
    }

    /// With an entry; only a map takes one.
    pub(super) fn with(mut self, key: &'static str, value: Self) -> Self {
        if let Self::Map(entries) = &mut self {
            entries.push((key, value));
        }
        self
    }

    /// With an entry, if there is one.
    pub(super) fn maybe(self, key: &'static str, value: Option<Self>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// A document of its own, after whatever precedes it.
    pub(super) fn document(&self) -> String {
        let mut out = String::from("---\n");
        self.write(&mut out, 0);
        out
    }

    /// Writes the node on lines of its own. Recursion is as deep as the code that built the tree.
    fn write(&self, out: &mut String, depth: usize) {
        match self {
            Self::Map(entries) => {
                for (index, (key, value)) in entries.iter().enumerate() {
                    // The first entry of a map in a list stands behind the list's dash.
                    if index > 0 || !out.ends_with("- ") {
                        indent(out, depth);
                    }
                    let _ = write!(out, "{key}:");
                    value.behind(out, depth + 1);
                }
            }
            Self::List(values) => {
                for value in values {
                    indent(out, depth);
                    out.push_str("- ");
                    match value {
                        Self::Map(entries) if !entries.is_empty() => value.write(out, depth + 1),
                        value => {
                            out.pop();
                            value.behind(out, depth + 1);
                        }
                    }
                }
            }
            Self::Text(_) | Self::Plain(_) => self.behind(out, depth),
        }
    }

    /// Writes the node behind its key.
    fn behind(&self, out: &mut String, depth: usize) {
        match self {
            Self::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
            Self::List(values) if values.is_empty() => out.push_str(" []\n"),
            Self::Map(_) | Self::List(_) => {
                out.push('\n');
                self.write(out, depth);
            }
            Self::Text(text) => {
                out.push(' ');
                quote(out, text);
                out.push('\n');
            }
            Self::Plain(value) => {
                let _ = writeln!(out, " {value}");
            }
        }
    }
}

fn indent(out: &mut String, depth: usize) {
    out.push_str(&"  ".repeat(depth));
}

/// A double-quoted scalar (section 7.3.1). What is not printable (section 5.1), and what some readers take for the end of
/// a line, is escaped.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202f}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' => {
                out.push(c)
            }
            c if u32::from(c) > 0xffff => out.push(c),
            c => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_nest() {
        let inner = Value::map().with("a", Value::number(1)).with("b", Value::list([Value::text("x")]));
        let tree = Value::map()
            .with("list", Value::list([inner.clone(), Value::map(), Value::text("y")]))
            .with("map", inner)
            .with("none", Value::list([]));
        let expected = "---\nlist:\n  - a: 1\n    b:\n      - \"x\"\n  - {}\n  - \"y\"\nmap:\n  a: 1\n  b:\n    - \
                        \"x\"\nnone: []\n";
        assert_eq!(tree.document(), expected);
    }

    #[test]
    fn texts_are_nothing_else() {
        let quoted = |text: &str| {
            let mut out = String::new();
            quote(&mut out, text);
            out
        };
        assert_eq!(quoted("no"), "\"no\"");
        assert_eq!(quoted("a\"\\\n#: &*!"), r##""a\"\\\n#: &*!""##);
        assert_eq!(
            quoted("\u{0}\u{85}\u{2028}\u{feff}\u{ffff}é😀"),
            "\"\\u0000\\u0085\\u2028\\ufeff\\uffffé😀\""
        );
    }
}
