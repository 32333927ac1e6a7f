//! Network cards of a `.conf`.

use super::document::Document;
use super::options::Options;
use crate::text::excerpt;
use machine::{Loss, Machine, Nic, NicModel, Severity};

/// The models by Proxmox' names. The first of a model is written.
pub(super) const MODELS: [(&str, NicModel); 7] = [
    ("virtio", NicModel::Virtio),
    ("e1000", NicModel::E1000),
    ("e1000-82545em", NicModel::E1000),
    ("e1000e", NicModel::E1000e),
    ("rtl8139", NicModel::Rtl8139),
    ("vmxnet3", NicModel::Vmxnet3),
    ("pcnet", NicModel::Pcnet),
];

/// Reads the cards, and gives the numbers in their keys.
pub(super) fn read(keys: &mut Document, machine: &mut Machine, losses: &mut Vec<Loss>) -> Vec<u32> {
    let numbers = keys.numbers("net", 31);
    for &number in &numbers {
        let key = format!("net{number}");
        let Some(value) = keys.take(&key) else { continue };
        let mut options = Options::parse(&value, "model");
        let (model, address) = model(&mut options);
        let mac = address.as_deref().and_then(|text| text.parse().ok());
        if let (Some(text), None) = (&address, mac) {
            let why = format!("{:?} is no hardware address", excerpt(text, 40));
            losses.push(Loss::dropped(Severity::Warning, key.as_str(), why));
        }
        let tag = options.take("tag");
        let vlan = tag.as_deref().and_then(|tag| tag.parse().ok()).filter(|tag| (1..=4094).contains(tag));
        if let (Some(tag), None) = (&tag, vlan) {
            let why = format!("{:?} is no VLAN", excerpt(tag, 40));
            losses.push(Loss::dropped(Severity::Warning, key.as_str(), why));
        }
        machine.nics.push(Nic {
            id: format!("nic{}", machine.nics.len() + 1),
            model,
            mac,
            network: options.take("bridge"),
            vlan,
            connected: !options.flag("link_down"),
            boot_order: None,
        });
        if let Some(rest) = options.rest() {
            keys.put_back(format!("net{}", machine.nics.len() - 1), rest);
        }
    }
    numbers
}

/// The model and the address: `virtio=BC:24:…`, or each with a name of its own.
fn model(options: &mut Options) -> (NicModel, Option<String>) {
    let (name, address) = match options.take("model") {
        Some(name) => (name, options.take("macaddr")),
        None => options.first().map_or_else(Default::default, |(name, address)| (name, Some(address))),
    };
    let known = MODELS.iter().find(|(known, _)| *known == name);
    (known.map_or(NicModel::Other(name), |(_, model)| model.clone()), address)
}
