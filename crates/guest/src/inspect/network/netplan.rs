//! Netplan's files, as far as they name Ethernet cards. Only the shape of YAML that people and installers write there is
//! understood: blocks by indentation, lists in either style.

use super::{Backend, Interface};
use crate::fs::{GuestFs, Result};
use crate::inspect::text::{read_text, sorted_names};

pub(super) fn read(fs: &mut dyn GuestFs) -> Result<Vec<Interface>> {
    const DIRECTORY: &str = "/etc/netplan";
    let mut interfaces = Vec::new();
    for name in sorted_names(fs, DIRECTORY, ".yaml")? {
        let file = format!("{DIRECTORY}/{name}");
        let text = read_text(fs, &file)?.unwrap_or_default();
        interfaces.extend(parse(&text, &file));
    }
    Ok(interfaces)
}

/// A key or an item of a list, with what stands above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its line, from 0.
    pub(crate) line: usize,
    /// The keys that lead to it, its own last; an item has those of its list.
    pub(crate) keys: Vec<String>,
    /// What it says: one value, those of a list on the same line, or none when they follow.
    pub(crate) values: Vec<String>,
    /// Whether it stands between braces, with others on its line.
    pub(crate) is_flow: bool,
}

/// The entries of a file, in order.
pub(crate) fn entries(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    // The keys above the current line, with their indentation.
    let mut path: Vec<(usize, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split(" #").next().unwrap_or_default().trim_end();
        let content = line.trim_start();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let indent = line.len() - content.len();
        let item = content.strip_prefix("- ").map(str::trim);
        // An item of a list may stand as far left as the key that it belongs to.
        path.retain(|(above, _)| *above < indent || (item.is_some() && *above == indent));
        let keys = |path: &[(usize, String)]| path.iter().map(|(_, key)| key.clone()).collect::<Vec<_>>();
        if let Some(item) = item {
            let values = vec![unquote(item).to_string()];
            entries.push(Entry { line: number, keys: keys(&path), values, is_flow: false });
            continue;
        }
        let Some((key, value)) = content.split_once(':') else { continue };
        path.push((indent, unquote(key).to_string()));
        let keys = keys(&path);
        let Some(inner) = value.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            entries.push(Entry { line: number, keys, values: values(value), is_flow: false });
            continue;
        };
        entries.push(Entry { line: number, keys: keys.clone(), values: Vec::new(), is_flow: false });
        for (key, value) in inner.split(',').filter_map(|part| part.split_once(':')) {
            let keys = [&keys[..], &[unquote(key).to_string()]].concat();
            entries.push(Entry { line: number, keys, values: values(value), is_flow: true });
        }
    }
    entries
}

/// A value, or those of a list between brackets.
fn values(text: &str) -> Vec<String> {
    let list = text.trim().trim_matches(['[', ']']).split(',');
    list.map(unquote).filter(|value| !value.is_empty()).map(Into::into).collect()
}

fn parse(text: &str, file: &str) -> Vec<Interface> {
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut is_named = false;
    for entry in entries(text) {
        let keys: Vec<&str> = entry.keys.iter().map(String::as_str).collect();
        let ["network", "ethernets", id, rest @ ..] = keys.as_slice() else { continue };
        if rest.is_empty() {
            interfaces.push(Interface::new(Some(id), Backend::Netplan, file));
            is_named = false;
        }
        let Some(interface) = interfaces.last_mut() else { continue };
        match rest {
            ["set-name"] => is_named = true,
            // The key is a name of netplan's own then, and not the card's.
            ["match", "driver"] if !is_named => interface.name = None,
            ["match", "name"] if !is_named => {
                let name = entry.values.first().filter(|name| !name.contains(['*', '?', '[']));
                interface.name = name.cloned();
            }
            _ => {}
        }
        entry.values.iter().for_each(|value| set(interface, rest, value));
    }
    interfaces
}

fn set(interface: &mut Interface, keys: &[&str], value: &str) {
    match keys {
        ["dhcp4" | "dhcp6"] => interface.dhcp |= matches!(value, "true" | "yes" | "on"),
        ["addresses"] => interface.addresses.push(value.into()),
        ["match", "macaddress"] => interface.mac = value.parse().ok(),
        ["set-name"] => interface.name = Some(value.into()),
        _ => {}
    }
}

fn unquote(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_installers_write() {
        let text = "# by the installer\nnetwork:\n  version: 2\n  ethernets:\n    ens160:\n      addresses:\n      - 192.0.2.5/24\n      \
                    nameservers:\n        addresses: [192.0.2.1]\n    ens192:\n      dhcp4: true\n      match:\n        \
                    macaddress: \"00:50:56:01:02:03\"\n      addresses: [\"10.0.0.1/8\", 'fd00::1/64']\n  bridges:\n    br0:\n      dhcp4: true\n";
        let interfaces = parse(text, "/etc/netplan/a.yaml");
        let [first, second] = interfaces.as_slice() else { panic!("{interfaces:?}") };
        assert_eq!(
            (first.name.as_deref(), first.addresses.join(" ").as_str(), first.dhcp),
            (Some("ens160"), "192.0.2.5/24", false)
        );
        assert_eq!(second.addresses, ["10.0.0.1/8", "fd00::1/64"]);
        assert_eq!(second.mac.map(|mac| mac.to_string()).as_deref(), Some("00:50:56:01:02:03"));
        assert!(second.dhcp);
    }
    #[test]
    fn a_card_that_is_chosen_by_something_else_is_not_called_by_its_key() {
        let text = "network:\n  ethernets:\n    eth9:\n      match: {driver: vmxnet3}\n    lan:\n      set-name: lan0\n      match:\n        \
                    driver:\n        - e1000\n        - 'e1000e'\n    any:\n      match: {name: ens224, macaddress: \"00:50:56:01:02:03\"}\n";
        let names: Vec<_> = parse(text, "").into_iter().map(|interface| interface.name).collect();
        assert_eq!(names, [None, Some("lan0".to_string()), Some("ens224".to_string())]);
        let drivers: Vec<_> = entries(text)
            .into_iter()
            .filter(|entry| entry.keys.ends_with(&["match".to_string(), "driver".to_string()]))
            .map(|entry| (entry.line, entry.values, entry.is_flow))
            .collect();
        let value = |value: &str| vec![value.to_string()];
        let expected = [
            (3, value("vmxnet3"), true),
            (7, vec![], false),
            (8, value("e1000"), false),
            (9, value("e1000e"), false),
        ];
        assert_eq!(drivers, expected);
    }
}
