//! The network interfaces that a guest's configuration names.

mod ifupdown;
mod keyed;
pub(crate) mod netplan;

use crate::fs::{GuestFs, Result};
use machine::MacAddress;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is configured for one interface, by one program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name; `None` when it is known by its hardware address only.
    pub name: Option<String>,
    /// Which program configures it.
    pub backend: Backend,
    /// The file.
    pub file: String,
    /// Static addresses, as they are written.
    pub addresses: Vec<String>,
    /// Whether it asks for an address.
    pub dhcp: bool,
    /// The hardware address by which it is chosen.
    pub mac: Option<MacAddress>,
    /// The interfaces that it is made of: members of a bond or a bridge, what a VLAN lies on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<String>,
}

/// A program that configures the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Debian's `/etc/network/interfaces`.
    Ifupdown,
    /// Ubuntu's netplan.
    Netplan,
    /// NetworkManager's keyfiles.
    NetworkManager,
    /// systemd-networkd.
    Networkd,
    /// `ifcfg` files of Red Hat's and SUSE's.
    Ifcfg,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ifupdown => "ifupdown",
            Self::Netplan => "netplan",
            Self::NetworkManager => "NetworkManager",
            Self::Networkd => "systemd-networkd",
            Self::Ifcfg => "ifcfg",
        })
    }
}

impl Interface {
    fn new(name: Option<&str>, backend: Backend, file: &str) -> Self {
        Self {
            name: name.map(Into::into),
            backend,
            file: file.into(),
            addresses: Vec::new(),
            dhcp: false,
            mac: None,
            over: Vec::new(),
        }
    }

    /// Its name, when it is one that a network card could have: no pattern, no bridge or tunnel.
    pub fn card_name(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| is_card(name))
    }

    /// The names of the cards that its configuration needs: its own, or those that it is made of.
    pub fn cards(&self) -> Vec<&str> {
        // `eth0.100` is a VLAN on `eth0`, `eth0:1` a further address of it.
        let base = self.name.as_deref().and_then(|name| name.split(['.', ':']).next());
        let over = self.over.iter().map(String::as_str);
        let mut cards: Vec<&str> = base.into_iter().chain(over).filter(|name| is_card(name)).collect();
        cards.dedup();
        cards
    }
}

/// Whether a network card could have that name: it is no pattern, no bridge, no tunnel.
fn is_card(name: &str) -> bool {
    ["en", "eth", "wan", "lan", "net", "nic"].iter().any(|prefix| name.starts_with(prefix))
        && (1..=15).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Everything that is configured, program by program.
pub(super) fn find(fs: &mut dyn GuestFs) -> Result<Vec<Interface>> {
    let mut interfaces = ifupdown::read(fs)?;
    interfaces.extend(netplan::read(fs)?);
    interfaces.extend(keyed::network_manager(fs)?);
    interfaces.extend(keyed::networkd(fs)?);
    interfaces.extend(keyed::ifcfg(fs)?);
    interfaces.retain(|interface| interface.name.as_deref() != Some("lo"));
    Ok(interfaces)
}
