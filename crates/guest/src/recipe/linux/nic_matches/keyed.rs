//! Conditions in files of sections and keys: systemd's `.network` and `.link`, and NetworkManager's keyfiles.

use super::cards::{Cards, Successor};
use super::{Condition, Rewritten};
use machine::MacAddress;

/// Where a kind of file has what.
pub(super) struct Syntax {
    /// The section of the conditions.
    section: &'static str,
    /// The keys of conditions, and what they are about.
    conditions: &'static [(&'static str, Condition)],
    /// What stands between the patterns of one condition.
    separators: &'static [char],
    /// Section and key of a condition on the address.
    addresses: &'static [(&'static str, &'static str)],
    /// Section and key of the name that the card gets or has.
    names: &'static [(&'static str, &'static str)],
    /// The line that chooses a card by its address, and its section.
    by_address: (&'static str, fn(MacAddress) -> String),
    /// The line that is to stand beside an address, in the section of the conditions.
    beside_address: &'static str,
}

/// `systemd.network(5)` and `systemd.link(5)`. Only hardware has a path: bridges and VLANs, which take the address of their
/// card, have none.
pub(super) const NETWORKD: Syntax = Syntax {
    section: "Match",
    conditions: &[
        ("Driver", Condition::Driver),
        ("Path", Condition::Path),
        ("OriginalName", Condition::KernelName),
    ],
    separators: &[' ', '\t'],
    addresses: &[("Match", "MACAddress"), ("Match", "PermanentMACAddress")],
    names: &[("Link", "Name"), ("Match", "Name")],
    by_address: ("Match", |mac| format!("MACAddress={mac}\nPath=*\n")),
    beside_address: "Path=*\n",
};

/// `nm-settings-keyfile(5)`.
pub(super) const NETWORK_MANAGER: Syntax = Syntax {
    section: "match",
    conditions: &[("driver", Condition::Driver), ("path", Condition::Path)],
    separators: &[';', ','],
    addresses: &[("ethernet", "mac-address"), ("802-3-ethernet", "mac-address")],
    names: &[("connection", "interface-name")],
    by_address: ("ethernet", |mac| format!("mac-address={mac}\n")),
    beside_address: "",
};

/// A line with its section, and its key and value where it has them.
struct Line<'a> {
    raw: &'a str,
    section: &'a str,
    assignment: Option<(&'a str, &'a str)>,
}

impl Line<'_> {
    /// The value, where the line is an assignment of that key in that section.
    fn value(&self, section: &str, key: &str) -> Option<&str> {
        self.assignment.filter(|(own, _)| *own == key && self.section == section).map(|(_, value)| value)
    }
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut section = "";
    let line = |raw| {
        let content = str::trim(raw);
        if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        }
        let is_comment = content.starts_with(['#', ';', '[']);
        let assignment = content.split_once('=').filter(|_| !is_comment);
        Line { raw, section, assignment: assignment.map(|(key, value)| (key.trim(), value.trim())) }
    };
    text.split_inclusive('\n').map(line).collect()
}

/// The conditions that have to change: their keys, and what they become.
type Stale<'a> = Vec<(&'a str, Successor)>;

fn stale<'a>(lines: &[Line<'_>], syntax: &'a Syntax, cards: &Cards) -> Stale<'a> {
    let mut stale = Vec::new();
    for (key, condition) in syntax.conditions {
        let values = lines.iter().filter_map(|line| line.value(syntax.section, key));
        let patterns: Vec<&str> = values
            .flat_map(|value| value.split(syntax.separators))
            .filter(|pattern| !pattern.is_empty())
            .collect();
        let successor = match patterns.as_slice() {
            [] => Successor::Same,
            patterns => condition.successor(cards, patterns),
        };
        if successor != Successor::Same {
            stale.push((*key, successor));
        }
    }
    stale
}

/// The file after the move.
pub(super) fn rewrite(text: &str, syntax: &Syntax, cards: &Cards) -> Rewritten {
    let lines = lines(text);
    let value_of = |keys: &[(&str, &str)]| {
        keys.iter().find_map(|(section, key)| lines.iter().find_map(|line| line.value(section, key)))
    };
    let address = value_of(syntax.addresses).and_then(|value| value.parse().ok());
    let name = value_of(syntax.names).filter(|name| !name.contains(['*', '?', ' ']));
    let stale = stale(&lines, syntax, cards);
    let found = stale.iter().find_map(|(_, successor)| match successor {
        Successor::Address(mac) => Some(*mac),
        _ => None,
    });

    let mut rewritten = Rewritten { text: text.into(), ..Rewritten::default() };
    let is_stale = |line: &Line<'_>| stale.iter().any(|(key, _)| line.value(syntax.section, key).is_some());
    match (address, found, stale.as_slice()) {
        (_, _, []) => {}
        // The address alone says which card it is.
        (Some(_), ..) => rewritten.text = with(&lines, is_stale, syntax.section, syntax.beside_address),
        (None, Some(mac), _) => {
            let (section, line) = syntax.by_address;
            rewritten.text = with(&lines, is_stale, section, &line(mac));
        }
        (None, None, [(key, Successor::Driver(driver))]) => {
            rewritten.text = with(&lines, is_stale, syntax.section, &format!("{key}={driver}\n"));
        }
        (None, None, _) => rewritten.unresolved.extend(stale.iter().map(|(key, _)| (*key).to_string())),
    }
    rewritten.named.extend(name.map(Into::into).zip(address.or(found)));
    rewritten
}

/// The file without the lines that are stale, and with `line` where the first of them was, or, where that is another
/// section, at the start of `section`.
fn with(lines: &[Line<'_>], is_stale: impl Fn(&Line<'_>) -> bool, section: &str, line: &str) -> String {
    let is_header = |line: &Line<'_>| {
        line.section == section && line.assignment.is_none() && line.raw.trim_start().starts_with('[')
    };
    let is_here = |line: &Line<'_>| is_stale(line) && line.section == section;
    let place = lines.iter().position(is_here).or_else(|| lines.iter().position(is_header).map(|at| at + 1));
    let mut text = String::new();
    for (at, own) in lines.iter().enumerate() {
        if place == Some(at) {
            text.push_str(line);
        }
        if !is_stale(own) {
            text.push_str(own.raw);
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    match place {
        Some(at) if at < lines.len() => {}
        Some(_) => text.push_str(line),
        None if line.is_empty() => {}
        None => text.push_str(&format!("\n[{section}]\n{line}")),
    }
    text
}
