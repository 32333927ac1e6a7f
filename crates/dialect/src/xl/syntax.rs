//! The syntax of a configuration: `key = value`, a value being a number, a string or a list.

use super::Error;
use crate::text::excerpt;
use std::collections::HashMap;
use std::fmt::{self, Write};

/// The deepest list in a list that any key has (`vnuma`), and some more.
const MAX_DEPTH: usize = 4;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(i64),
    Text(String),
    List(Vec<Value>),
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Value,
}

impl Value {
    /// The text of a string; of a number as it is written.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Number(number) => Some(number.to_string()),
            Self::List(_) => None,
        }
    }

    /// A number, which some write as a string.
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::List(_) => None,
        }
    }

    /// The strings of a list, or the one that stands for a list of one.
    pub(super) fn texts(&self) -> Vec<String> {
        match self {
            Self::List(values) => values.iter().filter_map(Self::text).collect(),
            other => other.text().into_iter().collect(),
        }
    }
}

/// As xl reads it. A string has no way to say a control character but these, nor NUL; they are left out.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => {
                f.write_char('"')?;
                for c in text.chars() {
                    match c {
                        '"' | '\\' => write!(f, "\\{c}")?,
                        '\n' => f.write_str("\\n")?,
                        '\r' => f.write_str("\\r")?,
                        '\t' => f.write_str("\\t")?,
                        c if c.is_control() => {}
                        c => f.write_char(c)?,
                    }
                }
                f.write_char('"')
            }
            // As deep as the parser or the code that built it lets it be.
            Self::List(values) => {
                f.write_str("[ ")?;
                for (index, value) in values.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    value.fmt(f)?;
                }
                f.write_str(" ]")
            }
        }
    }
}

/// Reads all settings. One that is set twice has its last value; `+=` adds to a list.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>, Error> {
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let mut entries: Vec<Entry> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    loop {
        reader.skip_blank(&[';']);
        if reader.rest.is_empty() {
            return if entries.is_empty() { Err(Error::Empty) } else { Ok(entries) };
        }
        let key = reader.identifier()?;
        let adds = reader.operator()?;
        let value = reader.value()?;
        reader.end_of_line()?;
        let known = places.get(&key).and_then(|place| entries.get_mut(*place));
        match (known, value) {
            (Some(Entry { value: Value::List(all), .. }), Value::List(more)) if adds => all.extend(more),
            (Some(entry), value) => entry.value = value,
            (None, value) => {
                places.insert(key.clone(), entries.len());
                entries.push(Entry { key, value });
            }
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    /// Takes what goes on as long as `belongs`.
    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn skip_spaces(&mut self) {
        self.take(|c| matches!(c, ' ' | '\t' | '\r'));
        // Python goes on after a backslash at the end of a line.
        while let Some(rest) = self.rest.strip_prefix("\\\n") {
            (self.rest, self.line) = (rest, self.line + 1);
            self.take(|c| matches!(c, ' ' | '\t' | '\r'));
        }
    }

    /// Skips white space, comments and what else separates.
    fn skip_blank(&mut self, separators: &[char]) {
        loop {
            self.take(|c| c.is_whitespace() || separators.contains(&c));
            if !self.rest.starts_with('#') {
                return;
            }
            self.take(|c| c != '\n');
        }
    }

    fn unexpected(&self, expected: &'static str) -> Error {
        let found = self.rest.lines().next().unwrap_or_default();
        Error::Unexpected { line: self.line, found: excerpt(found, 60), expected }
    }

    fn identifier(&mut self) -> Result<String, Error> {
        if !self.rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Err(self.unexpected("a key"));
        }
        Ok(self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')).to_owned())
    }

    /// Whether the setting adds to what is set.
    fn operator(&mut self) -> Result<bool, Error> {
        self.skip_spaces();
        let (adds, rest) = match (self.rest.strip_prefix("+="), self.rest.strip_prefix('=')) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(self.unexpected("= after the key")),
        };
        self.rest = rest;
        self.skip_spaces();
        Ok(adds)
    }

    fn end_of_line(&mut self) -> Result<(), Error> {
        self.skip_spaces();
        if self.rest.is_empty() || self.rest.starts_with(['\n', ';', '#']) {
            return Ok(());
        }
        Err(self.unexpected("the end of the line"))
    }

    /// A value. Lists in lists are kept on a stack of their own.
    fn value(&mut self) -> Result<Value, Error> {
        let mut open: Vec<Vec<Value>> = Vec::new();
        loop {
            if !open.is_empty() {
                self.skip_blank(&[',']);
            }
            let value = if let Some(rest) = self.rest.strip_prefix('[') {
                if open.len() == MAX_DEPTH {
                    return Err(Error::Nesting { line: self.line, limit: MAX_DEPTH });
                }
                self.rest = rest;
                open.push(Vec::new());
                continue;
            } else if let Some(rest) = self.rest.strip_prefix(']')
                && let Some(list) = open.pop()
            {
                self.rest = rest;
                Value::List(list)
            } else {
                self.scalar()?
            };
            match open.last_mut() {
                Some(list) => list.push(value),
                None => return Ok(value),
            }
        }
    }

    fn scalar(&mut self) -> Result<Value, Error> {
        if let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            return self.string(quote).map(Value::Text);
        }
        let number = self.take(|c| c.is_ascii_alphanumeric() || c == '-');
        let parsed = match number.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16).ok(),
            None => number.parse().ok(),
        };
        parsed.map(Value::Number).ok_or_else(|| {
            let found = if number.is_empty() { self.rest.lines().next().unwrap_or_default() } else { number };
            Error::Unexpected {
                line: self.line,
                found: excerpt(found, 60),
                expected: "a number, a string or a list",
            }
        })
    }

    fn string(&mut self, quote: char) -> Result<String, Error> {
        let broken = Error::Text { line: self.line };
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\n' => return Err(broken),
                c if c == quote => {
                    self.rest = self.rest.get(at + 1..).unwrap_or_default();
                    return Ok(text);
                }
                '\\' => {
                    let (_, escape) = chars.next().ok_or_else(|| broken.clone())?;
                    text.push(match escape {
                        '"' | '\'' | '\\' => escape,
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        'x' => {
                            let mut digit = || chars.next()?.1.to_digit(16);
                            let code = digit().zip(digit()).and_then(|(a, b)| char::from_u32(a * 16 + b));
                            code.ok_or_else(|| broken.clone())?
                        }
                        _ => return Err(broken),
                    });
                }
                c => text.push(c),
            }
        }
        Err(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Value {
        entries(text).unwrap().remove(0).value
    }

    #[test]
    fn values_are_numbers_strings_and_lists() {
        assert_eq!(
            (one("a=0x10"), one("a = -1;"), one("a = '#\"'")),
            (Value::Number(16), Value::Number(-1), Value::Text("#\"".to_owned()))
        );
        assert_eq!(one(r#"a = "b\"\\\n\x41""#), Value::Text("b\"\\\nA".to_owned()));
        let list = one("disk = [ # first\n 'a,b' ,\n\t[\"c\", 1],\n]  # last");
        assert_eq!(list.to_string(), "[ \"a,b\", [ \"c\", 1 ] ]");
        assert_eq!(entries(&format!("a = {list}")).unwrap()[0].value, list);
        let two = entries("a=[1]\nb=2;c=3\na+=[4]\nb=5").unwrap();
        assert_eq!(
            (two.len(), two[0].value.to_string(), two[1].value.number()),
            (3, "[ 1, 4 ]".to_owned(), Some(5))
        );
    }

    #[test]
    fn programs_are_refused_with_the_line() {
        let refuse = |text: &str| entries(text).unwrap_err();
        for text in [
            "a=1\nimport os",
            "a=1\nb = 2 * 3",
            "a=1\nb = os.uname()",
            "a=1\nb = [1, x]",
            "a=1\n= 1",
            "a=1\nb = ",
        ] {
            assert!(matches!(refuse(text), Error::Unexpected { line: 2, .. }), "{text}: {:?}", refuse(text));
        }
        assert_eq!(refuse("a = \"x\ny\""), Error::Text { line: 1 });
        assert_eq!(refuse("\n# x\n"), Error::Empty);
        assert!(matches!(refuse("a=[[[[["), Error::Nesting { line: 1, limit: 4 }));
        assert!(matches!(refuse("a = [ 1"), Error::Unexpected { .. }));
    }
}
