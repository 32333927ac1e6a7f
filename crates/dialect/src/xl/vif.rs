//! A network card's specification: xl-network-configuration(5).

use crate::text::excerpt;
use machine::{Loss, MacAddress, NicModel, Severity};

/// A card's specification, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Specification {
    pub(super) model: NicModel,
    pub(super) mac: Option<MacAddress>,
    pub(super) bridge: Option<String>,
    pub(super) vlan: Option<u16>,
    /// What else is said, by name.
    pub(super) more: Vec<(String, String)>,
}

/// Models that are emulated, by xl's name.
pub(super) const MODELS: [(&str, NicModel); 8] = [
    ("e1000", NicModel::E1000),
    ("e1000e", NicModel::E1000e),
    ("rtl8139", NicModel::Rtl8139),
    ("pcnet", NicModel::Pcnet),
    ("virtio-net", NicModel::Virtio),
    ("virtio", NicModel::Virtio),
    ("vmxnet3", NicModel::Vmxnet3),
    ("netfront", NicModel::Xen),
];

impl Specification {
    /// `what` is the card, as losses name it.
    pub(super) fn parse(text: &str, what: &str, losses: &mut Vec<Loss>) -> Self {
        let mut nic = Self { model: NicModel::Xen, mac: None, bridge: None, vlan: None, more: Vec::new() };
        for field in text.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            let (name, value) = (name.trim(), value.trim());
            match name {
                "model" => nic.model = named(value),
                "mac" => {
                    nic.mac = value.parse().ok();
                    if nic.mac.is_none() {
                        let why = format!("{:?} is no hardware address", excerpt(value, 40));
                        losses.push(Loss::dropped(Severity::Warning, format!("{what}.mac"), why));
                    }
                }
                "bridge" => nic.bridge = Some(value.to_owned()),
                "vlan" => match value.parse::<u16>() {
                    Ok(tag @ 1..=4094) => nic.vlan = Some(tag),
                    _ => nic.more.push((name.to_owned(), value.to_owned())),
                },
                _ => nic.more.push((name.to_owned(), value.to_owned())),
            }
        }
        nic.split_tag(what, losses);
        nic
    }

    /// Open vSwitch's bridge says a tag (`bridge.42`) or those of a trunk (`bridge:1:2`).
    fn split_tag(&mut self, what: &str, losses: &mut Vec<Loss>) {
        let is_open_vswitch =
            self.more.iter().any(|(name, value)| name == "script" && value.contains("openvswitch"));
        let Some(bridge) = self.bridge.clone().filter(|_| is_open_vswitch) else { return };
        if let Some((name, trunk)) = bridge.split_once(':') {
            let why =
                format!("a trunk of several VLANs ({}) is set up on the target's switch", excerpt(trunk, 40));
            losses.push(Loss::dropped(Severity::Warning, format!("{what}.bridge"), why));
            self.bridge = Some(name.to_owned());
        } else if let Some((name, tag)) = bridge.rsplit_once('.')
            && let Ok(tag @ 1..=4094) = tag.parse()
        {
            (self.bridge, self.vlan) = (Some(name.to_owned()), Some(tag));
        }
    }
}

fn named(model: &str) -> NicModel {
    let known = MODELS.iter().find(|(name, _)| *name == model);
    known.map_or_else(|| NicModel::Other(model.to_owned()), |(_, model)| model.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_taken_apart() {
        let mut losses = Vec::new();
        let mut read = |text: &str| Specification::parse(text, "vif[1]", &mut losses);
        let card = read("mac=00:16:3e:66:92:9c, bridge=xenbr1,script=vif-bridge,model=e1000");
        assert_eq!((card.model, card.bridge.as_deref(), card.vlan), (NicModel::E1000, Some("xenbr1"), None));
        assert_eq!(card.more, [("script".to_owned(), "vif-bridge".to_owned())]);
        let tagged = read("bridge=ovsbr0.42,script=vif-openvswitch");
        assert_eq!(
            (tagged.model, tagged.bridge.as_deref(), tagged.vlan),
            (NicModel::Xen, Some("ovsbr0"), Some(42))
        );
        assert_eq!((read("").mac, read("type=ioemu,vlan=7").vlan), (None, Some(7)));
        assert_eq!(read("bridge=b:1:2,script=vif-openvswitch,mac=x").bridge.as_deref(), Some("b"));
        assert_eq!(losses.len(), 2);
    }
}
