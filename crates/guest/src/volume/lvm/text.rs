//! The text in which LVM2 writes its metadata: nested sections of assignments.

use std::collections::BTreeMap;

/// Sections lie this deep at most; LVM2's own metadata needs five.
const MAX_DEPTH: u32 = 16;

/// What an assignment may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(i64),
    Text(String),
    List(Vec<Value>),
}

/// A section: assignments, and sections inside it in the order in which they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) values: BTreeMap<String, Value>,
    pub(super) sections: Vec<(String, Section)>,
}

impl Section {
    /// The section of that name.
    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|(own, _)| own == name).map(|(_, section)| section)
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number that is not negative.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.values.get(name)? {
            Value::Number(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A list; empty when there is none.
    pub(super) fn list(&self, name: &str) -> &[Value] {
        match self.values.get(name) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }
}

/// Reads a whole text; `None` when it does not follow the grammar.
pub(super) fn parse(text: &str) -> Option<Section> {
    let mut parser = Parser { rest: text };
    let section = parser.section(0)?;
    parser.skip_blanks();
    parser.rest.is_empty().then_some(section)
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn skip_blanks(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\0');
            match self.rest.strip_prefix('#') {
                Some(comment) => {
                    self.rest = comment.find('\n').and_then(|end| comment.get(end..)).unwrap_or("")
                }
                None => return,
            }
        }
    }

    /// Takes `token` after blanks, when it is next.
    fn take(&mut self, token: char) -> bool {
        self.skip_blanks();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The longest run of characters that `belongs` accepts; `None` when it is empty.
    fn run(&mut self, belongs: impl Fn(char) -> bool) -> Option<String> {
        self.skip_blanks();
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(run.to_string()).filter(|run| !run.is_empty())
    }

    /// Everything up to the closing brace, which is left standing, or to the end of the text.
    fn section(&mut self, depth: u32) -> Option<Section> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut section = Section::default();
        loop {
            self.skip_blanks();
            if self.rest.is_empty() || self.rest.starts_with('}') {
                return Some(section);
            }
            let name = self.run(|c| c.is_ascii_alphanumeric() || "_-+.".contains(c))?;
            if self.take('{') {
                let inner = self.section(depth + 1)?;
                if !self.take('}') {
                    return None;
                }
                section.sections.push((name, inner));
            } else if self.take('=') {
                let value = self.value()?;
                section.values.insert(name, value);
            } else {
                return None;
            }
        }
    }

    fn value(&mut self) -> Option<Value> {
        if !self.take('[') {
            return self.scalar();
        }
        let mut list = Vec::new();
        while !self.take(']') {
            list.push(self.scalar()?);
            self.take(',');
        }
        Some(Value::List(list))
    }

    fn scalar(&mut self) -> Option<Value> {
        if self.take('"') {
            return self.quoted().map(Value::Text);
        }
        let digits = self.run(|c| c.is_ascii_digit() || "+-.".contains(c))?;
        // LVM2 writes no fractions that matter here.
        digits.split('.').next()?.parse().ok().map(Value::Number)
    }

    /// The rest of a text whose opening quote was taken.
    fn quoted(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = self.rest.get(at + 1..)?;
                    return Some(text);
                }
                '\\' => text.push(characters.next()?.1),
                other => text.push(other),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_nested_sections_with_comments() {
        let text = "vg {\n# first\nseqno = 3 # third\nflags = []\nname = \"a\\\"b\"\nstripes = [\n\"pv0\", 0\n]\n}\n\0";
        let section = parse(text).unwrap();
        let vg = section.section("vg").unwrap();
        assert_eq!(vg.number("seqno"), Some(3));
        assert_eq!(vg.text("name"), Some("a\"b"));
        assert_eq!(vg.list("stripes"), [Value::Text("pv0".into()), Value::Number(0)]);
    }

    #[test]
    fn refuses_what_is_not_a_section() {
        for bad in ["vg {", "}", "a = [", "a = \"", "a b", &"a {".repeat(100)] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
