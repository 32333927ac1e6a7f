//! Network cards, and the networks that VirtualBox has for them.

use super::document::{Settings, children, flag};
use super::names::CARDS;
use crate::text::excerpt;
use machine::{Loss, MacAddress, Machine, Nic, NicModel, Property, Severity};
use roxmltree::Node;

/// What a card can be connected to, by the name of the element. All but NAT name something.
const NETWORKS: [&str; 8] = [
    "NAT",
    "NATNetwork",
    "BridgedInterface",
    "HostInterface",
    "InternalNetwork",
    "HostOnlyInterface",
    "HostOnlyNetwork",
    "GenericInterface",
];

/// Which settings first have other defaults for a card: VirtualBox 6.0's.
const NEW_DEFAULTS: (u32, u32) = (1, 16);

/// The key under which the type of a card is kept that is not the usual one of its model.
pub(super) fn type_key(slot: usize) -> String {
    format!("Hardware/Network/Adapter[{slot}]/@type")
}

/// Reads the cards that are switched on, in the order of their slots.
pub(super) fn read(settings: &Settings<'_>, network: Node, machine: &mut Machine, losses: &mut Vec<Loss>) {
    let mut cards: Vec<(u32, Node)> = children(network, "Adapter")
        .filter(|card| flag(*card, "enabled") == Some(true))
        .map(|card| (card.attribute("slot").and_then(|slot| slot.trim().parse().ok()).unwrap_or(0), card))
        .collect();
    cards.sort_by_key(|(slot, _)| *slot);
    for (slot, card) in cards {
        let index = machine.nics.len();
        let what = format!("Hardware/Network/Adapter[{slot}]");
        if usize::try_from(slot) != Ok(index) {
            let why = format!("the slots before it are empty: the card becomes number {}", index + 1);
            losses.push(Loss::dropped(Severity::Note, format!("{what}/@slot"), why));
        }
        let has_new_defaults = settings.version >= NEW_DEFAULTS;
        let kind = card.attribute("type").unwrap_or(if has_new_defaults { "Am79C973" } else { "Am79C970A" });
        let model = model(kind);
        if super::names::card(&model) != Some(kind) && !matches!(model, NicModel::Other(_)) {
            let (key, value) = (type_key(index), kind.to_owned());
            machine.properties.push(Property { dialect: "vbox".to_owned(), key, value });
        }
        let (mac, network) = (address(card, &what, losses), connection(card, &what, losses));
        machine.nics.push(Nic {
            id: format!("nic{}", index + 1),
            model,
            mac,
            network,
            connected: flag(card, "cable").unwrap_or(has_new_defaults),
            ..Nic::default()
        });
    }
}

fn model(kind: &str) -> NicModel {
    let known = CARDS.iter().find(|(name, _)| *name == kind);
    known.map_or_else(|| NicModel::Other(excerpt(kind, 40)), |(_, model)| model.clone())
}

/// The card's address, twelve digits without anything between them.
fn address(card: Node, what: &str, losses: &mut Vec<Loss>) -> Option<MacAddress> {
    let text = card.attribute("MACAddress")?.trim();
    let mut bytes = [0; 6];
    let is_whole = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pairs = text.as_bytes().chunks_exact(2);
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte =
            std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or(0);
    }
    if is_whole {
        return Some(MacAddress(bytes));
    }
    let why = format!("{:?} is no hardware address", excerpt(text, 40));
    losses.push(Loss::dropped(Severity::Warning, format!("{what}/@MACAddress"), why));
    None
}

/// The name of the network; none for NAT, where each card is on one of its own.
fn connection(card: Node, what: &str, losses: &mut Vec<Loss>) -> Option<String> {
    let network =
        card.children().find(|child| child.is_element() && NETWORKS.contains(&child.tag_name().name()))?;
    let kind = network.tag_name().name();
    if kind == "NAT" {
        if network.has_children() || network.attribute("network").is_some() {
            let why = "addresses and forwarded ports of VirtualBox's NAT are set anew on the target";
            losses.push(Loss::dropped(Severity::Change, format!("{what}/NAT"), why));
        }
        return None;
    }
    let name = network.attribute("name").or(network.attribute("driver")).unwrap_or_default();
    Some(if name.is_empty() { kind.to_owned() } else { name.to_owned() })
}
