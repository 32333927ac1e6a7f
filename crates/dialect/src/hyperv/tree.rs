//! The tree of properties that Hyper-V keeps of a machine, whatever file it stands in: [`Tree`].

use super::error::Error;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// The most values of one tree. A machine with everything has some thousands.
pub(super) const MAX_VALUES: usize = 1 << 16;
/// The longest way to a value, in bytes.
pub(super) const MAX_PATH: usize = 512;

/// A value of a property.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A signed number.
    Int(i64),
    /// A number without sign.
    UInt(u64),
    /// A number with a fraction.
    Double(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Yes or no.
    Bool(bool),
}

impl fmt::Display for Value {
    /// As it is kept in a property: bytes as `hex:` and digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::UInt(number) => number.fmt(f),
            Self::Double(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Bool(value) => value.fmt(f),
            Self::Bytes(bytes) => {
                f.write_str("hex:")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// The values by their way from the root, without the root: `settings/processors/count`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    values: BTreeMap<String, Value>,
}

impl Tree {
    /// All values, by their ways.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(path, value)| (path.as_str(), value))
    }

    /// Adds a value. One whose way is taken by another of the same name gets a number: `metric`, `metric#2`.
    pub(super) fn insert(&mut self, path: String, value: Value) -> Result<(), Error> {
        if self.values.len() >= MAX_VALUES {
            return Err(Error::TooMany { limit: MAX_VALUES });
        }
        if path.len() > MAX_PATH {
            return Err(Error::TooDeep { path: crate::text::excerpt(&path, 60) });
        }
        let mut free = path;
        if self.values.contains_key(&free) {
            // Only reports of measurements repeat, some dozen times each.
            let _ = write!(free, "#{}", self.values.len());
        }
        self.values.insert(free, value);
        Ok(())
    }

    /// The value at `path`, which is then read and no longer in the tree.
    pub(super) fn take(&mut self, path: &str) -> Option<Value> {
        self.values.remove(path)
    }

    /// The text at `path`; none when it is empty.
    pub(super) fn text(&mut self, path: &str) -> Option<String> {
        let value = self.take(path)?.to_string();
        (!value.is_empty()).then_some(value)
    }

    /// The number at `path`.
    pub(super) fn number(&mut self, path: &str) -> Option<u64> {
        match self.take(path)? {
            Value::UInt(number) => Some(number),
            Value::Int(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    /// Whether it is said at `path`.
    pub(super) fn flag(&mut self, path: &str) -> bool {
        matches!(self.take(path), Some(Value::Bool(true) | Value::UInt(1) | Value::Int(1)))
    }

    /// The names of the first level that hold a value called `name`.
    pub(super) fn sections_with(&self, name: &str) -> Vec<String> {
        let section = |path: &String| {
            let (section, rest) = path.split_once('/')?;
            (rest == name).then(|| section.to_owned())
        };
        self.values.keys().filter_map(section).collect()
    }

    /// Whether anything stands below `path`.
    pub(super) fn has(&self, path: &str) -> bool {
        let below = format!("{path}/");
        self.values.range(below.clone()..).next().is_some_and(|(first, _)| first.starts_with(&below))
    }

    /// What was not taken.
    pub(super) fn into_rest(self) -> BTreeMap<String, Value> {
        self.values
    }
}
