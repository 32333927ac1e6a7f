//! The network interfaces that a guest's configuration names.

mod ifupdown;
mod keyed;
mod netplan;

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
        }
    }

    /// Its name, when it is one that a network card could have: no pattern, no bridge or tunnel.
    pub fn card_name(&self) -> Option<&str> {
        let name = self.name.as_deref()?;
        let is_card = ["en", "eth", "wan", "lan", "net", "nic"].iter().any(|prefix| name.starts_with(prefix))
            && (1..=15).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        is_card.then_some(name)
    }
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
