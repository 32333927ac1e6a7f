//! Configurations of keys and values, one interface a file: NetworkManager, systemd-networkd, ifcfg.

use super::{Backend, Interface};
use crate::fs::{GuestFs, Result};
use crate::inspect::text::{assignment, ini, read_text, sorted_names};

/// NetworkManager's keyfiles (`nm-settings-keyfile(5)`).
pub(super) fn network_manager(fs: &mut dyn GuestFs) -> Result<Vec<Interface>> {
    const DIRECTORY: &str = "/etc/NetworkManager/system-connections";
    let mut interfaces = Vec::new();
    for name in sorted_names(fs, DIRECTORY, "")? {
        let file = format!("{DIRECTORY}/{name}");
        let Some(text) = read_text(fs, &file)? else { continue };
        let mut interface = Interface::new(None, Backend::NetworkManager, &file);
        for (section, values) in ini(&text) {
            for (key, value) in values {
                match (section.as_str(), key.as_str()) {
                    ("connection", "interface-name") => interface.name = Some(value),
                    ("vlan", "parent") => interface.over.push(value),
                    ("ethernet" | "802-3-ethernet", "mac-address") => interface.mac = value.parse().ok(),
                    ("ipv4" | "ipv6", "method") => interface.dhcp |= value == "auto",
                    ("ipv4" | "ipv6", key) if key.starts_with("address") => {
                        interface.addresses.extend(value.split([',', ';']).next().map(Into::into));
                    }
                    _ => {}
                }
            }
        }
        interfaces.push(interface);
    }
    Ok(interfaces)
}

/// systemd-networkd's files (`systemd.network(5)`).
pub(super) fn networkd(fs: &mut dyn GuestFs) -> Result<Vec<Interface>> {
    const DIRECTORY: &str = "/etc/systemd/network";
    let mut interfaces = Vec::new();
    for name in sorted_names(fs, DIRECTORY, ".network")? {
        let file = format!("{DIRECTORY}/{name}");
        let Some(text) = read_text(fs, &file)? else { continue };
        let mut interface = Interface::new(None, Backend::Networkd, &file);
        for (section, values) in ini(&text) {
            for (key, value) in values {
                match (section.as_str(), key.as_str()) {
                    ("Match", "Name") => interface.name = Some(value),
                    ("Match", "MACAddress" | "PermanentMACAddress") => interface.mac = value.parse().ok(),
                    ("Network", "DHCP") => {
                        interface.dhcp = !matches!(value.as_str(), "no" | "false" | "none")
                    }
                    ("Network" | "Address", "Address") => interface.addresses.push(value),
                    _ => {}
                }
            }
        }
        interfaces.push(interface);
    }
    Ok(interfaces)
}

/// `ifcfg` files of Red Hat's and SUSE's.
pub(super) fn ifcfg(fs: &mut dyn GuestFs) -> Result<Vec<Interface>> {
    let mut interfaces = Vec::new();
    for directory in ["/etc/sysconfig/network-scripts", "/etc/sysconfig/network"] {
        for name in sorted_names(fs, directory, "")? {
            let Some(device) = name.strip_prefix("ifcfg-") else { continue };
            let file = format!("{directory}/{name}");
            let Some(text) = read_text(fs, &file)? else { continue };
            let device = assignment(&text, "DEVICE").unwrap_or_else(|| device.to_string());
            let mut interface = Interface::new(Some(&device), Backend::Ifcfg, &file);
            interface.dhcp = assignment(&text, "BOOTPROTO").is_some_and(|value| value.starts_with("dhcp"));
            interface.addresses.extend(assignment(&text, "IPADDR"));
            interface.mac = assignment(&text, "HWADDR").and_then(|mac| mac.parse().ok());
            interface.over = text.lines().filter_map(members).flatten().collect();
            interfaces.push(interface);
        }
    }
    Ok(interfaces)
}

/// What a line of an `ifcfg` file says that the interface is made of.
fn members(line: &str) -> Option<Vec<String>> {
    let (key, value) = line.trim().split_once('=')?;
    let is_one =
        matches!(key, "PHYSDEV" | "ETHERDEVICE" | "BRIDGE_PORTS") || key.starts_with("BONDING_SLAVE");
    let value = value.trim_matches(['"', '\'']);
    is_one.then(|| value.split_whitespace().map(Into::into).collect())
}
