//! The keys of a `.vmx` file, taken out one by one; what is left over at the end is kept.

use super::{Document, Error, Result};
use crate::text::excerpt;
use machine::{Loss, Property, Severity};
use std::collections::BTreeMap;

/// The keys and values, by key in lower case.
pub(super) struct Dictionary {
    entries: BTreeMap<String, (String, String)>,
}

/// A place on a bus, as a key names it: `scsi0:1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) controller: u32,
    pub(super) unit: u32,
}

impl Dictionary {
    /// Collects the entries. Of a key that stands there twice, the last counts.
    pub(super) fn new(document: &Document, losses: &mut Vec<Loss>) -> Self {
        let mut entries = BTreeMap::new();
        for entry in document.entries() {
            let value = (entry.key.clone(), entry.value.clone());
            if let Some((key, old)) = entries.insert(entry.key.to_ascii_lowercase(), value)
                && old != entry.value
            {
                let why = "the key stands there twice: the last value counts";
                losses.push(Loss::changed(key, excerpt(&entry.value, 60), why));
            }
        }
        Self { entries }
    }

    /// Whether there is such a key (in lower case).
    pub(super) fn contains(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The value of a key (in lower case), which stays to be kept as a property.
    pub(super) fn peek(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|(_, value)| value.as_str())
    }

    /// Takes the value of a key (in lower case) out. An empty value is as good as none.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        self.entries.remove(key).map(|(_, value)| value).filter(|value| !value.is_empty())
    }

    /// Takes a truth value out; one that is neither true nor false is none.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let value = self.take(key)?;
        match value.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
            _ => None,
        }
    }

    /// Takes a number out.
    pub(super) fn number(&mut self, key: &'static str, expected: &'static str) -> Result<Option<u64>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match value.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Error::Value { key, value: excerpt(&value, 60), expected }),
        }
    }

    /// The places on buses of that name that some key speaks of, in order.
    pub(super) fn places(&self, bus: &str) -> Vec<Place> {
        let mut places: Vec<Place> = self
            .keys_from(bus)
            .filter_map(|rest| {
                let (controller, rest) = rest.split_once(':')?;
                let (unit, _) = rest.split_once('.')?;
                Some(Place { controller: number(controller)?, unit: number(unit)? })
            })
            .collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// The numbers of the devices of that name that some key speaks of, in order: `ethernet0`, `ethernet1`.
    pub(super) fn numbers(&self, device: &str) -> Vec<u32> {
        let mut numbers: Vec<u32> =
            self.keys_from(device).filter_map(|rest| number(rest.split_once('.')?.0)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn keys_from<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.entries.range(prefix.to_owned()..).map_while(move |(key, _)| key.strip_prefix(prefix))
    }

    /// Removes every key that begins so.
    pub(super) fn discard(&mut self, prefix: &str) {
        self.entries.retain(|key, _| !key.starts_with(prefix));
    }

    /// What is left, as properties; secrets are left out and said to be.
    pub(super) fn into_properties(self, losses: &mut Vec<Loss>) -> Vec<Property> {
        let mut properties = Vec::new();
        for (lower, (key, value)) in self.entries {
            if lower.starts_with("guestinfo.") {
                let why = "the guest could read this from VMware; its value may be a secret and is not kept";
                losses.push(Loss::dropped(Severity::Warning, key, why));
            } else if is_secret(&lower) {
                losses.push(Loss::dropped(Severity::Note, key, "a secret of the source's is not kept"));
            } else {
                properties.push(Property { dialect: "vmx".to_owned(), key, value });
            }
        }
        properties
    }
}

/// Whether the value of that key (in lower case) may let someone in.
pub(super) fn is_secret(key: &str) -> bool {
    ["password", "passwd", "secret", "keysafe", "encryptedkey", "vnc.key", "token"]
        .iter()
        .any(|part| key.contains(part))
        && !key.contains("keymap")
}

/// A number without a sign, as VMware writes one in a key.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dictionary(text: &str) -> (Dictionary, Vec<Loss>) {
        let mut losses = Vec::new();
        (Dictionary::new(&Document::parse(text.as_bytes()).unwrap(), &mut losses), losses)
    }

    #[test]
    fn places_and_numbers_are_found_whatever_the_case() {
        let (dictionary, losses) = dictionary(
            "SCSI1:2.present = 1\nscsi0:15.fileName = x\nscsi0.present = 1\nethernet10.a = b\nethernet2.a = b",
        );
        assert_eq!(
            dictionary.places("scsi"),
            [Place { controller: 0, unit: 15 }, Place { controller: 1, unit: 2 }]
        );
        assert_eq!(dictionary.numbers("ethernet"), [2, 10]);
        assert!(losses.is_empty());
    }

    #[test]
    fn the_last_of_two_counts_and_secrets_go() {
        let (mut dictionary, mut losses) =
            dictionary("a = 1\nA = 2\nRemoteDisplay.vnc.password = hush\nguestinfo.userdata = x\nb = c");
        assert_eq!(dictionary.take("a").as_deref(), Some("2"));
        let properties = dictionary.into_properties(&mut losses);
        assert_eq!(properties.len(), 1);
        assert_eq!(losses.len(), 3);
        assert!(!format!("{losses:?}").contains("hush"));
    }
}
