//! The name of a new machine, as it stands in file names.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The most bytes that a name may have: the longest file name made of it stays below 255.
const MAX_BYTES: usize = 200;

/// A machine's name that is safe as a part of a file name: no separator, no control character, no leading dot or
/// dash, at most 200 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VmName(String);

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is nothing in it.
    #[error("a name cannot be empty")]
    Empty,
    /// It is too long for a file name.
    #[error("a name has at most {MAX_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    /// Its first character would hide the file, or make it an option.
    #[error("a name does not begin with {0:?}")]
    Start(char),
    /// A character that a file name cannot hold, or should not.
    #[error("a name cannot hold {0:?}")]
    Character(char),
}

fn forbidden(character: char) -> bool {
    character.is_control() || "/\\:*?\"<>|".contains(character)
}

impl TryFrom<String> for VmName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        match text.chars().next() {
            None => return Err(NameError::Empty),
            Some(first @ ('.' | '-' | ' ')) => return Err(NameError::Start(first)),
            Some(_) => {}
        }
        match text.chars().find(|character| forbidden(*character)) {
            Some(character) => Err(NameError::Character(character)),
            None if text.len() > MAX_BYTES => Err(NameError::TooLong(text.len())),
            None => Ok(Self(text)),
        }
    }
}

/// The nearest name to what a source says: what a file name cannot hold becomes a dash.
pub fn from_untrusted(text: &str) -> VmName {
    let mut name = String::new();
    let mapped = text.chars().map(|character| if forbidden(character) { '-' } else { character });
    for character in mapped.skip_while(|character| ['.', '-', ' '].contains(character)) {
        if name.len() + character.len_utf8() > MAX_BYTES {
            break;
        }
        name.push(character);
    }
    VmName::try_from(name.trim_end().to_owned()).unwrap_or_else(|_| VmName("machine".into()))
}

impl fmt::Display for VmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<VmName> for String {
    fn from(name: VmName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_no_file_name_should_hold() {
        for bad in ["", ".hidden", "-rf", "a/b", "a\\b", "a\nb", "C:", &"x".repeat(201)] {
            assert!(VmName::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert_eq!(VmName::try_from("Büro Server 1".to_owned()).unwrap().to_string(), "Büro Server 1");
    }

    #[test]
    fn makes_a_name_of_anything() {
        for (text, name) in [
            ("debian12", "debian12"),
            ("../../etc/passwd", "etc-passwd"),
            ("$(reboot)", "$(reboot)"),
            ("a/b\nc", "a-b-c"),
            ("   ", "machine"),
        ] {
            let made = from_untrusted(text);
            assert_eq!(made.to_string(), name);
            assert!(VmName::try_from(made.to_string()).is_ok());
        }
        assert_eq!(from_untrusted(&"ü".repeat(300)).to_string().len(), 200);
    }
}
