//! Names of network cards in guests without systemd: udev's rule that its own generator would write, and before there was
//! one, the address in Red Hat's `ifcfg` file.

use super::{Conversion, during};
use crate::inspect::{Backend, read_text};
use crate::recipe::{PinnedName, RecipeError};
use machine::MacAddress;

const STEP: &str = "keep the names of network cards";
/// The rules of udev's generator (`75-persistent-net-generator.rules`).
pub(super) const RULES: &str = "/etc/udev/rules.d/70-persistent-net.rules";
/// Where udev keeps its own rules since it knows `ATTR`.
const UDEV: &[&str] = &["/lib/udev/rules.d", "/usr/lib/udev/rules.d"];
/// Conditions of a rule that only the old hardware meets.
const HARDWARE: &[&str] = &["KERNELS==", "ID==", "DRIVERS==", "DRIVER==", "ATTRS{", "BUS=="];
/// Where `ifcfg` files know `HWADDR`.
const RED_HAT: &str = "/etc/sysconfig/network-scripts/";
/// The drivers of cards by their names, up to RHEL 5.
const MODPROBE: &str = "/etc/modprobe.conf";

/// The names that the rules give: each with the address of its card.
pub(super) fn named(text: &str) -> Vec<(String, MacAddress)> {
    let rules = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    rules.filter_map(|line| Some((value(line, "NAME=")?.into(), address(line)?))).collect()
}

/// The value of a key of a rule: `NAME="eth0"`.
fn value<'a>(rule: &'a str, key: &str) -> Option<&'a str> {
    rule.split(',').find_map(|part| part.trim().strip_prefix(key)?.strip_prefix('"')?.strip_suffix('"'))
}

fn address(rule: &str) -> Option<MacAddress> {
    let addresses = ["ATTR{address}==", "ATTRS{address}==", "SYSFS{address}=="];
    addresses.iter().find_map(|key| value(rule, key))?.parse().ok()
}

/// Ties names to addresses in the way that the guest's udev knows; answers with those that could be.
pub(super) fn pin(
    conversion: &mut Conversion<'_>,
    pins: &[PinnedName],
) -> Result<Vec<PinnedName>, RecipeError> {
    let tree = conversion.mounter.tree();
    let mut has_rules = tree.exists(RULES).map_err(during(STEP))?;
    for directory in UDEV {
        has_rules |= tree.exists(directory).map_err(during(STEP))?;
    }
    name_drivers(conversion, pins)?;
    match has_rules {
        true => write_rules(conversion, pins).map(|()| pins.to_vec()),
        false => write_addresses(conversion, pins),
    }
}

fn write_rules(conversion: &mut Conversion<'_>, pins: &[PinnedName]) -> Result<(), RecipeError> {
    let before = read_text(conversion.mounter.tree(), RULES).map_err(during(STEP))?.unwrap_or_default();
    let mut after: String = before.split_inclusive('\n').map(without_hardware).collect();
    let known = named(&after);
    for pin in pins.iter().filter(|pin| !known.iter().any(|(_, mac)| *mac == pin.mac)) {
        if !after.is_empty() && !after.ends_with('\n') {
            after.push('\n');
        }
        after.push_str(&format!(
            "SUBSYSTEM==\"net\", ACTION==\"add\", ATTR{{address}}==\"{}\", ATTR{{type}}==\"1\", NAME=\"{}\"\n",
            pin.mac, pin.name
        ));
    }
    if conversion.editor().replace_text(RULES, &before, &after).map_err(during(STEP))? {
        conversion.note(format!("{RULES} names cards by their addresses"));
        for pin in pins.iter().filter(|pin| !known.iter().any(|(_, mac)| *mac == pin.mac)) {
            conversion.undo(format!("sed -i '/{}/d' {RULES}", pin.mac));
        }
    }
    Ok(())
}

/// A rule that knows its card by the address, without conditions that only the old hardware meets.
fn without_hardware(line: &str) -> String {
    if line.trim_start().starts_with('#') || address(line).is_none() {
        return line.into();
    }
    let end = if line.ends_with('\n') { "\n" } else { "" };
    let any = |part: &&str| {
        !HARDWARE.iter().any(|key| part.trim().starts_with(key))
            || part.trim() == "DRIVERS==\"?*\""
            || part.trim().starts_with("ATTRS{address}")
    };
    let parts: Vec<&str> = line.trim_end_matches('\n').split(',').filter(any).collect();
    parts.join(",").trim_start().to_string() + end
}

/// Red Hat's scripts rename a card by the address in its file.
fn write_addresses(
    conversion: &mut Conversion<'_>,
    pins: &[PinnedName],
) -> Result<Vec<PinnedName>, RecipeError> {
    let inspection = conversion.inspection;
    let mut pinned = Vec::new();
    for pin in pins {
        let own = inspection.interfaces.iter().find(|interface| {
            interface.backend == Backend::Ifcfg
                && interface.name.as_deref() == Some(&pin.name)
                && interface.file.starts_with(RED_HAT)
        });
        let Some(interface) = own else {
            conversion.note(format!("{} cannot be tied to a card: the kernel's order decides", pin.name));
            continue;
        };
        pinned.push(pin.clone());
        if interface.mac.is_some() {
            continue;
        }
        let path = &interface.file;
        let text = read_text(conversion.mounter.tree(), path).map_err(during(STEP))?.unwrap_or_default();
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let after = format!("{text}{end}HWADDR={}\n", pin.mac);
        conversion.editor().put(path, after.as_bytes(), 0o644).map_err(during(STEP))?;
        conversion.note(format!("{} is the card with the address {}", pin.name, pin.mac));
        conversion.undo(format!("sed -i '/^HWADDR={}$/d' {path}", pin.mac));
    }
    Ok(pinned)
}

/// `alias eth0 DRIVER` of `modprobe.conf` names the driver of the target's card.
fn name_drivers(conversion: &mut Conversion<'_>, pins: &[PinnedName]) -> Result<(), RecipeError> {
    let Some(before) = read_text(conversion.mounter.tree(), MODPROBE).map_err(during(STEP))? else {
        return Ok(());
    };
    let target = conversion.target;
    let driver = |name: &str| {
        let pin = pins.iter().find(|pin| pin.name == name)?;
        let nic = target.nics.iter().find(|nic| nic.mac == Some(pin.mac))?;
        target.profile.nic_hardware(&nic.model)?.linux.last()
    };
    let with_driver = |line: &str| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["alias", name, old] => match driver(name) {
            Some(driver) if driver != old => format!("alias {name} {driver}\n"),
            _ => line.to_string(),
        },
        _ => line.to_string(),
    };
    let after: String = before.split_inclusive('\n').map(with_driver).collect();
    if conversion.editor().replace_text(MODPROBE, &before, &after).map_err(during(STEP))? {
        conversion.note(format!("{MODPROBE} names the drivers of the target's network cards"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_conditions_of_the_old_hardware_go() {
        let rule = "SUBSYSTEM==\"net\", DRIVERS==\"?*\", ATTR{address}==\"00:0c:29:00:00:01\", KERNELS==\"0000:03:00.0\", NAME=\"eth0\"\n";
        let expected = rule.replace(" KERNELS==\"0000:03:00.0\",", "");
        assert_eq!(without_hardware(rule), expected);
        assert_eq!(without_hardware(&expected), expected);
        let by_slot = "SUBSYSTEM==\"net\", KERNELS==\"0000:03:00.0\", NAME=\"eth0\"\n";
        assert_eq!(without_hardware(by_slot), by_slot);
        assert_eq!(named(rule), [("eth0".to_string(), "00:0c:29:00:00:01".parse().unwrap())]);
    }
}
