//! `/etc/network/interfaces` and what it takes in (`interfaces(5)`).

use super::{Backend, Interface};
use crate::fs::{GuestFs, Result};
use crate::inspect::text::{read_text, sorted_names};

const MAIN: &str = "/etc/network/interfaces";
/// Files may take in others; no configuration has more of them.
const MAX_FILES: usize = 256;
/// Options that say what an interface is made of; `_` in them is as good as `-`.
const OVER: &[&str] = &["bond-slaves", "slaves", "bridge-ports", "vlan-raw-device"];

pub(super) fn read(fs: &mut dyn GuestFs) -> Result<Vec<Interface>> {
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut todo = vec![MAIN.to_string()];
    let mut read = 0;
    while let Some(file) = todo.pop() {
        read += 1;
        if read > MAX_FILES {
            break;
        }
        let Some(text) = read_text(fs, &file)? else { continue };
        let mut current: Option<Interface> = None;
        for line in text.lines().map(str::trim) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["source" | "source-directory", pattern] => todo.extend(expand(fs, pattern)?),
                ["iface", name, _family, method, ..] => {
                    interfaces.extend(current.take());
                    let mut interface = Interface::new(Some(name), Backend::Ifupdown, &file);
                    interface.dhcp = *method == "dhcp";
                    current = Some(interface);
                }
                ["auto" | "mapping", ..] => interfaces.extend(current.take()),
                [word, ..] if word.starts_with("allow-") => interfaces.extend(current.take()),
                ["address", address, ..] => {
                    current.iter_mut().for_each(|interface| interface.addresses.push((*address).into()));
                }
                ["hwaddress", .., mac] => {
                    current.iter_mut().for_each(|interface| interface.mac = mac.parse().ok());
                }
                [key, over @ ..] if OVER.contains(&key.replace('_', "-").as_str()) => {
                    let over = over.iter().map(ToString::to_string);
                    current.iter_mut().for_each(|interface| interface.over.extend(over.clone()));
                }
                _ => {}
            }
        }
        interfaces.extend(current);
    }
    Ok(interfaces)
}

/// The files that a pattern means: a directory, a path, or a path whose last part has one `*`.
fn expand(fs: &mut dyn GuestFs, pattern: &str) -> Result<Vec<String>> {
    let absolute = match pattern.starts_with('/') {
        true => pattern.to_string(),
        false => format!("/etc/network/{pattern}"),
    };
    if fs.list(&absolute).is_ok() {
        let names = sorted_names(fs, &absolute, "")?;
        return Ok(names.into_iter().map(|name| format!("{absolute}/{name}")).collect());
    }
    let Some((directory, last)) = absolute.rsplit_once('/') else { return Ok(Vec::new()) };
    let Some((start, end)) = last.split_once('*') else { return Ok(vec![absolute]) };
    let names = sorted_names(fs, directory, end)?;
    Ok(names
        .into_iter()
        .filter(|name| {
            name.starts_with(start) && name.len() >= start.len() + end.len() && !name.starts_with('.')
        })
        .map(|name| format!("{directory}/{name}"))
        .collect())
}
