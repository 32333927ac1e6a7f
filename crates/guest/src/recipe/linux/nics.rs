//! The names of network cards, tied to their hardware addresses: a card that moves to another slot keeps its
//! configuration.

use super::{Conversion, during, initramfs, net_rules, nic_matches};
use crate::inspect::{Inspection, read_text, sorted_names};
use crate::recipe::{PinnedName, RecipeError, Target};
use machine::MacAddress;
use std::collections::BTreeSet;

const STEP: &str = "keep the names of network cards";
const LINKS: &str = "/etc/systemd/network";

/// What VMware's slots make of the names of cards, in slot order: slots 33 to 36 for emulated cards, then 160, 192, 224,
/// 256 and their further functions.
const VMWARE_ORDER: &[&str] = &[
    "ens32", "ens33", "ens34", "ens35", "ens36", "ens37", "ens38", "ens39", "ens160", "ens192", "ens224",
    "ens256", "ens161", "ens193", "ens225", "ens257", "ens162", "ens194",
];

/// Ties every name of a card that the configuration uses to the card's address, and replaces old addresses by new ones
/// where a card's changed.
pub(super) fn pin_names(conversion: &mut Conversion<'_>) -> Result<(), RecipeError> {
    replace_addresses(conversion)?;
    let rules = read_text(conversion.mounter.tree(), net_rules::RULES).map_err(during(STEP))?;
    let mut named = net_rules::named(&rules.unwrap_or_default());
    named.extend(nic_matches::follow_cards(conversion)?);
    let (pins, notes) = pins(conversion.inspection, conversion.target, &named);
    notes.into_iter().for_each(|note| conversion.note(note));
    let pinned = match conversion.inspection.init.as_deref() {
        Some("systemd") => write_links(conversion, &pins).map(|()| pins)?,
        _ => net_rules::pin(conversion, &pins)?,
    };
    conversion.converted.pinned.extend(pinned);
    Ok(())
}

/// Writes a `.link` file (`systemd.link(5)`) for every name.
fn write_links(conversion: &mut Conversion<'_>, pins: &[PinnedName]) -> Result<(), RecipeError> {
    for pin in pins {
        let path = format!("{LINKS}/10-anyvisor-{}.link", pin.name);
        // Only hardware has a path: bridges and VLANs, which take the address of their card, have none.
        let text = format!(
            "# The name that this guest's configuration uses, kept through the move to {}.\n\
             [Match]\nMACAddress={}\nPath=*\n\n[Link]\nName={}\n",
            conversion.target.profile.name, pin.mac, pin.name
        );
        if conversion.editor().put(&path, text.as_bytes(), 0o644).map_err(during(STEP))? {
            conversion.note(format!("{} is the card with the address {}", pin.name, pin.mac));
            conversion.undo(format!("rm {path}"));
        }
        // udev of the initramfs may see the card first.
        initramfs::carry(conversion, &path, &text);
    }
    Ok(())
}

/// Which card has which name, and what is doubtful about it. `named` are the names that other files give.
fn pins(
    inspection: &Inspection,
    target: &Target,
    named: &[(String, MacAddress)],
) -> (Vec<PinnedName>, Vec<String>) {
    let mut pins: Vec<PinnedName> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for interface in &inspection.interfaces {
        for name in interface.cards() {
            // A configuration that says which card it means needs no guess.
            let own = interface.mac.filter(|_| interface.name.as_deref() == Some(name));
            let ruled = named.iter().find(|(own, _)| own == name).map(|(_, mac)| *mac);
            let known = own.or(ruled).and_then(|mac| current_address(target, mac));
            match known {
                Some(mac) if !pins.iter().any(|pin| pin.name == name || pin.mac == mac) => {
                    pins.push(PinnedName { name: name.into(), mac });
                }
                _ if !names.contains(&name) => names.push(name),
                _ => {}
            }
        }
    }
    names.retain(|name| !pins.iter().any(|pin| pin.name == *name));
    names.sort_by_key(|name| slot_order(name));
    let notes = match_in_order(&names, target, &mut pins);
    (pins, notes)
}

/// Gives the names that nothing is known of to the cards that have none, in the order of their slots.
fn match_in_order(names: &[&str], target: &Target, pins: &mut Vec<PinnedName>) -> Vec<String> {
    let mut notes = Vec::new();
    let taken: BTreeSet<MacAddress> = pins.iter().map(|pin| pin.mac).collect();
    let free: Vec<_> =
        target.nics.iter().filter(|nic| nic.mac.is_none_or(|mac| !taken.contains(&mac))).collect();
    if names.len() != free.len() && !names.is_empty() {
        notes.push(format!(
            "{} network cards and {} configured names: they are matched in slot order",
            free.len(),
            names.len()
        ));
    }
    for (index, &name) in names.iter().enumerate() {
        match free.get(index).map(|nic| (nic.mac, &nic.id)) {
            Some((Some(mac), _)) => pins.push(PinnedName { name: name.into(), mac }),
            Some((None, id)) => {
                notes.push(format!("{id} has no fixed address, so that {name} cannot be tied to it"))
            }
            None => notes.push(format!("{name} is configured, and there is no network card for it")),
        }
    }
    notes
}

/// The address that the card with `mac` will have.
fn current_address(target: &Target, mac: MacAddress) -> Option<MacAddress> {
    let index = target.old_nics.iter().position(|nic| nic.mac == Some(mac));
    let moved = index.and_then(|index| target.nics.get(index)).and_then(|nic| nic.mac);
    moved.or_else(|| target.nics.iter().filter_map(|nic| nic.mac).find(|own| *own == mac))
}

/// VMware's order first, then by the number at the end of the name.
fn slot_order(name: &str) -> (usize, u32, String) {
    let known = VMWARE_ORDER.iter().position(|own| *own == name).unwrap_or(VMWARE_ORDER.len());
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name.get(stem.len()..).and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX);
    (known, number, stem.into())
}

/// Where a card's address changes, what is configured by the old address is configured by the new one.
fn replace_addresses(conversion: &mut Conversion<'_>) -> Result<(), RecipeError> {
    let old = conversion.target.old_nics.iter().map(|nic| nic.mac);
    let new = conversion.target.nics.iter().map(|nic| nic.mac);
    let changed: Vec<(MacAddress, MacAddress)> =
        old.zip(new).filter_map(|pair| Some((pair.0?, pair.1?))).filter(|(old, new)| old != new).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let mut files: BTreeSet<String> =
        conversion.inspection.interfaces.iter().map(|i| i.file.clone()).collect();
    files.insert(net_rules::RULES.into());
    for name in sorted_names(conversion.mounter.tree(), LINKS, ".link").map_err(during(STEP))? {
        files.insert(format!("{LINKS}/{name}"));
    }
    for path in files {
        let Some(before) = read_text(conversion.mounter.tree(), &path).map_err(during(STEP))? else {
            continue;
        };
        let after =
            changed.iter().fold(before.clone(), |text, (old, new)| replace_address(&text, *old, *new));
        if conversion.editor().replace_text(&path, &before, &after).map_err(during(STEP))? {
            conversion.note(format!("{path} has the new addresses of the network cards"));
        }
    }
    Ok(())
}

/// Replaces an address, in whichever case it is written.
fn replace_address(text: &str, old: MacAddress, new: MacAddress) -> String {
    let (old, new) = (old.to_string(), new.to_string());
    text.replace(&old, &new).replace(&old.to_uppercase(), &new.to_uppercase())
}
