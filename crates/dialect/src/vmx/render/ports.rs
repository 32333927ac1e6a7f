//! Network cards and serial ports.

use super::{Product, Writer};
use crate::render::{Network, RenderError};
use machine::{Loss, MacAddress, Nic, NicModel, SerialTarget, Severity};

/// The port group that every ESXi host has at first.
const PORT_GROUP: &str = "VM Network";

fn virtual_device(model: &NicModel) -> Option<&'static str> {
    Some(match model {
        NicModel::Pcnet => "vlance",
        NicModel::E1000 => "e1000",
        NicModel::E1000e => "e1000e",
        NicModel::Vmxnet2 => "vmxnet",
        NicModel::Vmxnet3 => "vmxnet3",
        _ => return None,
    })
}

/// Whether VMware takes the address from an administrator: 00:50:56:00:00:00 to 00:50:56:3f:ff:ff.
fn is_static(mac: MacAddress) -> bool {
    matches!(mac.0, [0x00, 0x50, 0x56, 0..=0x3f, ..])
}

impl Writer<'_> {
    pub(super) fn ports(&mut self) -> Result<(), RenderError> {
        for (number, nic) in self.machine.nics.iter().enumerate() {
            self.nic(&format!("ethernet{number}"), nic)?;
            if nic.id != format!("nic{}", number + 1) {
                self.changed(&nic.id, format!("ethernet{number}"), "VMware counts the cards");
            }
        }
        for (number, port) in self.machine.serials.iter().enumerate() {
            self.serial(number, &port.target);
        }
        Ok(())
    }

    fn nic(&mut self, name: &str, nic: &Nic) -> Result<(), RenderError> {
        let unknown = || RenderError::card(nic);
        let device = virtual_device(&nic.model).ok_or_else(unknown)?;
        self.lines.flag(&format!("{name}.present"), true);
        self.lines.set(&format!("{name}.virtualDev"), device);
        self.lines.flag(&format!("{name}.startConnected"), nic.connected);
        match nic.mac {
            Some(mac) => {
                self.lines.set(&format!("{name}.addressType"), "static");
                self.lines.set(&format!("{name}.address"), mac);
                if !is_static(mac) {
                    self.lines.flag(&format!("{name}.checkMACAddress"), false);
                }
            }
            None => self.lines.set(&format!("{name}.addressType"), "generated"),
        }
        if nic.vlan.is_some() {
            let why = "a VLAN is the port group's or the host's: connect the card to a network that has it";
            self.dropped(Severity::Change, format!("{}.vlan", nic.id), why);
        }
        match self.product {
            Product::Esxi => self.port_group(name, nic),
            Product::Workstation => self.connection(name, nic),
        }
        Ok(())
    }

    /// On ESXi a card is connected to a port group, by name.
    fn port_group(&mut self, name: &str, nic: &Nic) {
        let was = nic.network.as_deref().filter(|network| !network.is_empty());
        let group = match self.options.network(nic.network.as_deref()) {
            Some(network) => network.name().unwrap_or(PORT_GROUP),
            None => was.unwrap_or(PORT_GROUP),
        };
        self.lines.set(&format!("{name}.networkName"), group);
        if was != Some(group) {
            self.network_loss(nic, group, "the port group to which the card is connected");
        }
    }

    /// Workstation has bridged, host-only and translated networks, and others that are called `vmnet` and a number.
    fn connection(&mut self, name: &str, nic: &Nic) {
        let was = nic.network.as_deref();
        let wanted = match self.options.network(was) {
            Some(Network::User) => Some("nat"),
            Some(network) => network.name(),
            None => was,
        };
        let Some(wanted) = wanted else { return };
        let lower = wanted.to_ascii_lowercase();
        let known = ["bridged", "hostonly", "nat"].into_iter().find(|known| *known == lower);
        let is_vmnet = lower
            .strip_prefix("/dev/")
            .unwrap_or(&lower)
            .strip_prefix("vmnet")
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
        let kept = if is_vmnet {
            self.lines.set(&format!("{name}.connectionType"), "custom");
            self.lines.set(&format!("{name}.vnet"), wanted);
            wanted
        } else {
            let kept = known.unwrap_or("bridged");
            self.lines.set(&format!("{name}.connectionType"), kept);
            kept
        };
        if was != Some(kept) {
            self.network_loss(
                nic,
                kept,
                "Workstation's networks are bridged, nat, hostonly and vmnet with a number",
            );
        }
    }

    /// Says that a network is another, except where somebody decided that.
    fn network_loss(&mut self, nic: &Nic, kept_as: &str, why: &str) {
        let decided = nic.network.as_ref().is_some_and(|name| self.options.networks.contains_key(name));
        if !decided {
            let severity = if nic.network.is_none() { Severity::Note } else { Severity::Change };
            self.losses.push(Loss { severity, ..Loss::changed(format!("{}.network", nic.id), kept_as, why) });
        }
    }

    fn serial(&mut self, number: usize, target: &SerialTarget) {
        let name = format!("serial{number}");
        self.lines.flag(&format!("{name}.present"), true);
        let (kind, file) = match target {
            // The port is there for the guest, and leads nowhere until somebody connects it.
            SerialTarget::Console => ("device", "auto detect"),
            SerialTarget::File(file) => ("file", file.as_str()),
            SerialTarget::Pipe(pipe) => ("pipe", pipe.as_str()),
            SerialTarget::Network(address) => ("network", address.as_str()),
            SerialTarget::Device(device) => ("device", device.as_str()),
        };
        self.lines.set(&format!("{name}.fileType"), kind);
        self.lines.set(&format!("{name}.fileName"), file);
        if *target == SerialTarget::Console {
            self.lines.flag(&format!("{name}.startConnected"), false);
        }
    }
}
