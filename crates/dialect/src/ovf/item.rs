//! One resource allocation: an `Item`, `StorageItem` or `EthernetPortItem` (DSP0243 2.1.1, clause 8.3).

use super::capacity::number;
use super::document::{Document, attribute, children, required, text};
use super::{Error, Result};
use crate::text::excerpt;
use roxmltree::Node;

/// A resource allocation, as far as a machine needs it.
#[derive(Clone, Debug, Default)]
pub(super) struct Item {
    pub(super) instance: String,
    pub(super) resource_type: u16,
    pub(super) subtypes: Vec<String>,
    pub(super) name: String,
    pub(super) address: Option<String>,
    pub(super) bus_number: Option<u32>,
    pub(super) address_on_parent: Option<u32>,
    pub(super) parent: Option<String>,
    pub(super) host_resource: Option<String>,
    pub(super) connection: Option<String>,
    pub(super) quantity: Option<String>,
    pub(super) units: Option<String>,
    pub(super) automatic: bool,
    pub(super) cores_per_socket: Option<String>,
    /// `vmw:Config` and `vmw:ExtraConfig`, as key and value.
    pub(super) config: Vec<(String, String)>,
    pub(super) configurations: Vec<String>,
    pub(super) bound: Option<String>,
    pub(super) required: Option<bool>,
    pub(super) line: u32,
}

impl Item {
    pub(super) fn read(document: &Document, node: Node<'_, '_>) -> Result<Self> {
        let mut item = Self {
            automatic: true,
            required: required(node),
            bound: attribute(node, "bound").map(str::to_owned),
            configurations: attribute(node, "configuration")
                .map(|list| list.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
            line: document.line(node),
            ..Self::default()
        };
        for child in node.children().filter(Node::is_element) {
            item.read_child(document, child)?;
        }
        Ok(item)
    }

    fn read_child(&mut self, document: &Document, child: Node<'_, '_>) -> Result<()> {
        let value = text(child);
        match child.tag_name().name() {
            "InstanceID" | "InstanceId" => self.instance = value.unwrap_or_default(),
            "ResourceType" => {
                let value = value.unwrap_or_default();
                self.resource_type = value.parse().map_err(|_| {
                    document.wrong(child, "rasd:ResourceType", &value, "a number up to 65535")
                })?;
            }
            "ResourceSubType" => self.subtypes.extend(
                value
                    .unwrap_or_default()
                    .split([',', ' ', '\n', '\t'])
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned),
            ),
            "ElementName" | "Caption" => self.name = value.unwrap_or_default(),
            "Address" => self.address = value,
            "BusNumber" => self.bus_number = value.as_deref().and_then(small),
            "AddressOnParent" => self.address_on_parent = value.as_deref().and_then(small),
            "Parent" => self.parent = value,
            "HostResource" => self.host_resource = self.host_resource.take().or(value),
            "Connection" => self.connection = self.connection.take().or(value),
            "VirtualQuantity" => self.quantity = value,
            "AllocationUnits" => self.units = value,
            "AutomaticAllocation" => self.automatic = !matches!(value.as_deref(), Some("false" | "0")),
            "CoresPerSocket" => self.cores_per_socket = value,
            "Config" | "ExtraConfig" => self.config.extend(setting(child)),
            "Description"
            | "Reservation"
            | "Limit"
            | "Weight"
            | "VirtualQuantityUnits"
            | "OtherResourceType" => {}
            "PoolID" | "ConsumerVisibility" | "MappingBehavior" | "AutomaticDeallocation" | "Generation" => {}
            other if required(child) == Some(true) => {
                let what = format!("{} in item {:?}", excerpt(other, 60), excerpt(&self.name, 60));
                return Err(Error::Required { what, line: document.line(child) });
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether it counts in a deployment configuration. Minima and maxima of a range do not.
    pub(super) fn applies(&self, configuration: Option<&str>) -> bool {
        let in_range = matches!(self.bound.as_deref(), None | Some("normal" | ""));
        let chosen = self.configurations.is_empty()
            || configuration.is_some_and(|chosen| self.configurations.iter().any(|one| one == chosen));
        in_range && chosen
    }

    /// The first subtype that `known` knows: a list offers several.
    pub(super) fn pick<T>(&self, known: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.subtypes.iter().find_map(|subtype| known(&subtype.to_ascii_lowercase()))
    }

    /// The value of a `vmw:Config`.
    pub(super) fn config(&self, key: &str) -> Option<&str> {
        self.config.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// What it is, for a message.
    pub(super) fn describe(&self) -> String {
        let name = if self.name.is_empty() { format!("item {}", self.instance) } else { self.name.clone() };
        excerpt(&name, 80)
    }
}

/// Key and value of a `vmw:Config` or `vmw:ExtraConfig`.
pub(super) fn setting(node: Node<'_, '_>) -> Option<(String, String)> {
    Some((attribute(node, "key")?.to_owned(), attribute(node, "value").unwrap_or_default().to_owned()))
}

/// The most devices that a machine may have in all its configurations: controllers and places on them are counted up for each.
const MAX_ITEMS: usize = 1 << 12;

/// Reads the items of a hardware section that count in a configuration. Of two of one instance, the one that names
/// the configuration counts.
pub(super) fn items(
    document: &Document,
    section: Node<'_, '_>,
    configuration: Option<&str>,
) -> Result<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    let names = ["Item", "StorageItem", "EthernetPortItem"];
    let is_item = |node: &Node| node.is_element() && names.contains(&node.tag_name().name());
    for (index, node) in section.children().filter(is_item).enumerate() {
        document.hold(index, MAX_ITEMS, "devices of one machine", node)?;
        // Some producers write empty items.
        if children_count(node) == 0 {
            continue;
        }
        let item = Item::read(document, node)?;
        if item.instance.is_empty() {
            let element = format!("Item {:?}", excerpt(&item.name, 60));
            return Err(Error::MissingAttribute { element, attribute: "InstanceID", line: item.line });
        }
        if !item.applies(configuration) {
            continue;
        }
        items.push(item);
    }
    let specific: std::collections::BTreeSet<String> = items
        .iter()
        .filter(|item| !item.configurations.is_empty())
        .map(|item| item.instance.clone())
        .collect();
    items.retain(|item| !item.configurations.is_empty() || !specific.contains(&item.instance));
    Ok(items)
}

fn children_count(node: Node<'_, '_>) -> usize {
    node.children().filter(Node::is_element).take(1).count()
}

fn small(text: &str) -> Option<u32> {
    number(text.trim()).and_then(|value| u32::try_from(value).ok())
}

/// All elements called `Config` or `ExtraConfig` directly below a section.
pub(super) fn settings<'a>(section: Node<'a, 'a>) -> impl Iterator<Item = (Node<'a, 'a>, String, String)> {
    children(section, "Config")
        .chain(children(section, "ExtraConfig"))
        .filter_map(|node| setting(node).map(|(key, value)| (node, key, value)))
}
