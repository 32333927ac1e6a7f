//! Conditions in netplan's files (netplan's YAML reference, "match").

use super::Rewritten;
use super::cards::{Cards, Successor};
use crate::inspect::netplan::{Entry, entries};
use machine::MacAddress;
use std::collections::BTreeMap;

/// What the file says of one card.
#[derive(Default)]
struct Card<'a> {
    /// The entries of `match: driver:`, a list's items among them.
    drivers: Vec<&'a Entry>,
    address: Option<MacAddress>,
    name: Option<&'a str>,
}

/// The file after the move.
pub(super) fn rewrite(text: &str, cards: &Cards) -> Rewritten {
    let entries = entries(text);
    let mut found: BTreeMap<&str, Card<'_>> = BTreeMap::new();
    for entry in &entries {
        let keys: Vec<&str> = entry.keys.iter().map(String::as_str).collect();
        let ["network", "ethernets", id, rest @ ..] = keys.as_slice() else { continue };
        let card = found.entry(id).or_default();
        let value = entry.values.first().map(String::as_str);
        match rest {
            ["match", "driver"] => card.drivers.push(entry),
            ["match", "macaddress"] => card.address = value.and_then(|value| value.parse().ok()),
            ["set-name"] => card.name = value,
            _ => {}
        }
    }
    let mut lines: Vec<Option<String>> = text.lines().map(|line| Some(line.to_string())).collect();
    let mut rewritten = Rewritten::default();
    for (id, card) in &found {
        let patterns: Vec<&str> =
            card.drivers.iter().flat_map(|entry| &entry.values).map(String::as_str).collect();
        let successor = if patterns.is_empty() { Successor::Same } else { cards.by_driver(&patterns) };
        let address = match (successor, card.address) {
            (Successor::Same, own) => own,
            (_, Some(own)) => {
                replace(&mut lines, &card.drivers, None);
                Some(own)
            }
            (Successor::Address(mac), None) => {
                replace(&mut lines, &card.drivers, Some(format!("macaddress: \"{mac}\"")));
                Some(mac)
            }
            (Successor::Driver(driver), None) => {
                replace(&mut lines, &card.drivers, Some(format!("driver: {driver}")));
                None
            }
            (Successor::Unknown, None) => {
                rewritten.unresolved.push(format!("{id}: match: driver"));
                None
            }
        };
        rewritten.named.extend(card.name.map(Into::into).zip(address));
    }
    let end = if text.ends_with('\n') { "\n" } else { "" };
    rewritten.text = lines.into_iter().flatten().collect::<Vec<_>>().join("\n") + end;
    rewritten
}

/// Puts `condition` in the place of the first of `entries`, and nothing in that of the others.
fn replace(lines: &mut [Option<String>], entries: &[&Entry], condition: Option<String>) {
    let mut condition = condition;
    for entry in entries {
        let Some(line) = lines.get_mut(entry.line) else { continue };
        let Some(before) = line.clone() else { continue };
        let condition = condition.take();
        *line = match before.split_once('{').filter(|_| entry.is_flow) {
            Some((start, rest)) => {
                let (inner, end) = rest.rsplit_once('}').unwrap_or((rest, ""));
                let others = inner.split(',').map(str::trim).filter(|part| !part.starts_with("driver"));
                let parts: Vec<&str> = others.chain(condition.as_deref()).collect();
                Some(format!("{start}{{{}}}{end}", parts.join(", ")))
            }
            None => condition.map(|condition| {
                let indent = before.len() - before.trim_start().len();
                format!("{}{condition}", before.get(..indent).unwrap_or_default())
            }),
        };
    }
}
