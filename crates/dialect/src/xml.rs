//! A small tree of XML to write, whose text and attributes may be hostile.

use std::fmt::Write;

/// An element to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Element>,
    text: Option<String>,
    verbatim: Option<String>,
}

impl Element {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    /// An element as it stands elsewhere: well-formed by itself, without namespaces.
    pub(crate) fn verbatim(name: &'static str, text: &str) -> Self {
        Self { name, verbatim: Some(text.to_owned()), ..Self::default() }
    }

    /// With an attribute.
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }

    /// With text, instead of children.
    pub(crate) fn text(mut self, text: impl ToString) -> Self {
        self.text = Some(text.to_string());
        self
    }

    /// With a child.
    pub(crate) fn child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// With a child, if there is one.
    pub(crate) fn maybe(mut self, child: Option<Self>) -> Self {
        self.children.extend(child);
        self
    }

    /// With children.
    pub(crate) fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// The document with this root, indented by two spaces.
    pub(crate) fn document(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    /// Recursion is as deep as the code that built the tree.
    fn write(&self, out: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        if let Some(text) = &self.verbatim {
            let _ = writeln!(out, "{indent}{text}");
            return;
        }
        let _ = write!(out, "{indent}<{}", self.name);
        for (name, value) in &self.attributes {
            let _ = write!(out, " {name}='");
            escape(out, value, true);
            out.push('\'');
        }
        match (&self.text, self.children.is_empty()) {
            (Some(text), _) => {
                out.push('>');
                escape(out, text, false);
                let _ = writeln!(out, "</{}>", self.name);
            }
            (None, true) => out.push_str("/>\n"),
            (None, false) => {
                out.push_str(">\n");
                for child in &self.children {
                    child.write(out, depth + 1);
                }
                let _ = writeln!(out, "{indent}</{}>", self.name);
            }
        }
    }
}

/// Escapes text so that it parses back the same. White space in an attribute would be normalised, and a carriage
/// return anywhere: those become references (XML 1.0, sections 2.11 and 3.3.3). What XML cannot carry at all
/// becomes U+FFFD.
pub(crate) fn escape(out: &mut String, text: &str, attribute: bool) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' if attribute => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c if is_xml(c) => out.push(c),
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
}

/// Whether XML 1.0 can carry the character (section 2.2).
pub(crate) fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_written_is_read_back() {
        let hostile = "a'b\"c<d>&amp;]]>\r\n\t😀 {%}";
        let text = Element::new("a").with("b", hostile).child(Element::new("c").text(hostile)).document();
        let tree = roxmltree::Document::parse(&text).unwrap();
        assert_eq!(tree.root_element().attribute("b"), Some(hostile));
        assert_eq!(tree.root_element().first_element_child().unwrap().text(), Some(hostile));
        assert!(Element::new("a").text("\0\u{b}").document().contains("\u{fffd}\u{fffd}"));
    }
}
