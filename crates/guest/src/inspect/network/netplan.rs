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

fn parse(text: &str, file: &str) -> Vec<Interface> {
    let mut interfaces: Vec<Interface> = Vec::new();
    // The keys above the current line, with their indentation.
    let mut path: Vec<(usize, String)> = Vec::new();
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or_default().trim_end();
        let content = line.trim_start();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let indent = line.len() - content.len();
        let item = content.strip_prefix("- ").map(str::trim);
        // An item of a list may stand as far left as the key that it belongs to.
        path.retain(|(above, _)| *above < indent || (item.is_some() && *above == indent));
        if let Some(item) = item {
            set(&mut interfaces, &path, item);
            continue;
        }
        let Some((key, value)) = content.split_once(':') else { continue };
        path.push((indent, unquote(key).to_string()));
        let keys: Vec<&str> = path.iter().map(|(_, key)| key.as_str()).collect();
        if let ["network", "ethernets", name] = keys.as_slice() {
            interfaces.push(Interface::new(Some(name), Backend::Netplan, file));
        }
        for value in
            value.trim().trim_matches(['[', ']']).split(',').map(str::trim).filter(|value| !value.is_empty())
        {
            set(&mut interfaces, &path, value);
        }
    }
    interfaces
}

fn set(interfaces: &mut [Interface], path: &[(usize, String)], value: &str) {
    let keys: Vec<&str> = path.iter().map(|(_, key)| key.as_str()).collect();
    let (["network", "ethernets", _, rest @ ..], Some(interface)) = (keys.as_slice(), interfaces.last_mut())
    else {
        return;
    };
    let value = unquote(value);
    match rest {
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
}
