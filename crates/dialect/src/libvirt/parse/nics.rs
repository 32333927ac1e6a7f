//! The network cards of a domain.

use super::{Element, Error, Reading, changed};
use crate::text::excerpt;
use machine::{Loss, Nic, NicModel, Severity};

pub(super) fn read(reading: &mut Reading<'_>, devices: Element<'_>) -> Result<(), Error> {
    let is_xen = reading.domain.peek("type") == Some("xen");
    for node in devices.devices("interface")? {
        let nic = Nic {
            id: format!("nic{}", reading.machine.nics.len() + 1),
            model: model(node, is_xen, &mut reading.losses),
            mac: mac(node, &mut reading.losses),
            network: network(node, &mut reading.losses),
            vlan: vlan(node, &mut reading.losses),
            connected: node.attribute_of("link", "state") != Some("down"),
            boot_order: node.child("boot").and_then(|boot| boot.number("order")),
        };
        reading.machine.nics.push(nic);
    }
    Ok(())
}

/// libvirt's names for cards.
const MODELS: [(&str, NicModel); 13] = [
    ("virtio", NicModel::Virtio),
    ("virtio-transitional", NicModel::Virtio),
    ("virtio-non-transitional", NicModel::Virtio),
    ("virtio-net", NicModel::Virtio),
    ("e1000", NicModel::E1000),
    ("e1000e", NicModel::E1000e),
    ("rtl8139", NicModel::Rtl8139),
    ("pcnet", NicModel::Pcnet),
    ("vlance", NicModel::Pcnet),
    ("vmxnet2", NicModel::Vmxnet2),
    ("vmxnet3", NicModel::Vmxnet3),
    ("tulip", NicModel::Tulip),
    ("netfront", NicModel::Xen),
];

fn model(node: Element<'_>, is_xen: bool, losses: &mut Vec<Loss>) -> NicModel {
    match node.attribute_of("model", "type") {
        Some(name) => MODELS
            .iter()
            .find(|(known, _)| *known == name)
            .map_or_else(|| NicModel::Other(name.to_owned()), |(_, model)| model.clone()),
        // Xen gives its own card, beside whichever it emulates.
        None if is_xen => NicModel::Xen,
        None => {
            losses.push(changed(
                node,
                "rtl8139",
                "the domain does not say which card it is; this is libvirt's own default",
            ));
            NicModel::Rtl8139
        }
    }
}

fn mac(node: Element<'_>, losses: &mut Vec<Loss>) -> Option<machine::MacAddress> {
    let text = node.attribute_of("mac", "address")?;
    match text.parse() {
        Ok(mac) => Some(mac),
        Err(_) => {
            let why = format!("{:?} is no hardware address", excerpt(text, 40));
            losses.push(Loss::dropped(Severity::Warning, format!("{}/mac", node.path()), why));
            None
        }
    }
}

/// The network, bridge or device of the host's; what else the card hangs on is told.
fn network(node: Element<'_>, losses: &mut Vec<Loss>) -> Option<String> {
    let kind = node.attribute("type").unwrap_or_default();
    let source = node.child("source");
    let of = |name| source.and_then(|source| source.attribute(name)).map(str::to_owned);
    match kind {
        "network" => of("network"),
        "bridge" => of("bridge"),
        "direct" => of("dev"),
        "user" => None,
        "hostdev" | "vdpa" => {
            let why = "the card is a device of the source's host; the target gives a virtual one";
            losses.push(Loss::dropped(Severity::Warning, node.path(), why));
            None
        }
        other => {
            let why = format!("the card is connected by {:?}, which names no network", excerpt(other, 40));
            losses.push(Loss::dropped(Severity::Change, node.path(), why));
            None
        }
    }
}

/// One tag whose frames the card gets untagged; a trunk of several stays a property.
fn vlan(node: Element<'_>, losses: &mut Vec<Loss>) -> Option<u16> {
    let vlan = node.child("vlan")?;
    let tags: Vec<_> = vlan.children("tag").take(2).collect();
    if let [tag] = tags.as_slice()
        && vlan.peek("trunk") != Some("yes")
        && tag.peek("nativeMode").is_none()
        && let Some(id) = tag.number::<u16>("id").filter(|id| (1..=4094).contains(id))
    {
        return Some(id);
    }
    vlan.keep();
    losses.push(Loss::dropped(
        Severity::Warning,
        format!("{}/vlan", node.path()),
        "a trunk of several VLANs is set up on the target's switch",
    ));
    None
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn nic(kind: &str, inside: &str) -> (Nic, usize) {
        let text = format!(
            "<domain type='{}'><memory>1</memory><os><type>hvm</type></os><devices><interface type='{kind}'>{inside}\
             </interface></devices></domain>",
            if inside.is_empty() { "xen" } else { "kvm" }
        );
        let parsed = parse(text.as_bytes()).unwrap();
        (parsed.machine.nics[0].clone(), parsed.losses.len())
    }

    #[test]
    fn cards_have_models_networks_and_states() {
        let (card, losses) = nic(
            "bridge",
            "<mac address='52:54:00:01:02:03'/><source bridge='br0'/><model type='virtio'/><link state='down'/>\
             <vlan><tag id='42'/></vlan><boot order='3'/>",
        );
        assert_eq!(
            (card.model, card.network.as_deref(), card.vlan),
            (NicModel::Virtio, Some("br0"), Some(42))
        );
        assert_eq!((card.connected, card.boot_order, losses), (false, Some(3), 0));
        assert_eq!(
            nic("direct", "<source dev='eth0' mode='bridge'/><model type='x'/>").0.network.as_deref(),
            Some("eth0")
        );
        let (card, losses) = nic("user", "<mac address='x'/><vlan><tag id='1'/><tag id='2'/></vlan>");
        assert_eq!((card.mac, card.vlan, card.model, losses), (None, None, NicModel::Rtl8139, 3));
        assert_eq!(nic("user", "").0.model, NicModel::Xen);
    }
}
