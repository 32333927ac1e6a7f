//! One `Item` of the hardware section (DSP0243 1.1.1, clause 8.3).

use crate::xml::Element;
use std::collections::BTreeMap;

/// An item. Its elements are written in the alphabetical order of the schema, extensions after them.
pub(super) struct Item {
    instance: u32,
    optional: bool,
    elements: BTreeMap<&'static str, String>,
    extensions: Vec<Element>,
}

impl Item {
    /// An item of that CIM resource type.
    pub(super) fn new(instance: u32, resource_type: u16, name: String) -> Self {
        let elements = BTreeMap::from([
            ("rasd:ElementName", name),
            ("rasd:InstanceID", instance.to_string()),
            ("rasd:ResourceType", resource_type.to_string()),
        ]);
        Self { instance, optional: false, elements, extensions: Vec::new() }
    }

    /// That a machine can be without it.
    pub(super) fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    pub(super) fn with(mut self, element: &'static str, value: impl ToString) -> Self {
        self.elements.insert(element, value.to_string());
        self
    }

    pub(super) fn maybe(self, element: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(element, value),
            None => self,
        }
    }

    /// A vendor's element.
    pub(super) fn extension(mut self, element: Option<Element>) -> Self {
        self.extensions.extend(element);
        self
    }

    /// The number by which other items name it as their parent.
    pub(super) fn instance(&self) -> u32 {
        self.instance
    }

    pub(super) fn element(self) -> Element {
        let item = Element::new("Item");
        let item = if self.optional { item.with("ovf:required", false) } else { item };
        let elements = self.elements.into_iter().map(|(name, value)| Element::new(name).text(value));
        item.children(elements).children(self.extensions)
    }
}
