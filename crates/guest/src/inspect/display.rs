//! An inspection, for people.

use super::{Inspection, InstalledService, Interface};
use std::fmt;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, text: String| writeln!(f, "  {name:<9} {}", clean(&text));
        let architecture =
            self.os.architecture.as_deref().map(|name| format!(", {name}")).unwrap_or_default();
        line("system", format!("{}{architecture}", self.pretty_name()))?;
        if let Some(name) = &self.hostname {
            line("name", name.clone())?;
        }
        for mounted in &self.mounts {
            let volume = self.volume(mounted.volume).map_or("?", |volume| volume.name.as_str());
            line("mounted", format!("{} on {}, {}", volume, mounted.at, mounted.filesystem))?;
        }
        for kernel in &self.kernels {
            let initramfs = match &kernel.initramfs {
                Some(image) => format!("initramfs by {} with {} modules", image.flavour, image.modules),
                None => "no initramfs".into(),
            };
            line("kernel", format!("{}, {initramfs}", kernel.version))?;
        }
        if let Some(boot) = &self.boot {
            let firmware = [(boot.bios, "BIOS"), (boot.uefi, "UEFI")];
            let firmware: Vec<_> = firmware.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
            line("boot", format!("{} ({})", boot.kind, firmware.join(", ")))?;
        }
        for interface in &self.interfaces {
            line("network", network(interface))?;
        }
        for InstalledService { unit, what, .. } in &self.services {
            line("service", format!("{unit}, {what}"))?;
        }
        for note in &self.notes {
            line("note", note.clone())?;
        }
        for objection in &self.objections {
            line("objection", objection.to_string())?;
        }
        Ok(())
    }
}

fn network(interface: &Interface) -> String {
    let name = match (&interface.name, interface.mac) {
        (Some(name), _) => name.clone(),
        (None, Some(mac)) => mac.to_string(),
        (None, None) => "any card".into(),
    };
    let mut addresses = interface.addresses.clone();
    if interface.dhcp {
        addresses.push("DHCP".into());
    }
    format!("{name} {} ({})", addresses.join(" "), interface.backend)
}

/// Names in a guest are its own choice: nothing of them may command a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}
