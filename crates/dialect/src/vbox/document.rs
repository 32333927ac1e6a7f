//! The XML of a `.vbox` file, and which of it is the machine.

use super::{Error, MAX_SIZE, Result};
use crate::text::excerpt;
use roxmltree::{Document, Node, ParsingOptions};

/// VirtualBox's namespace, and the one of before it was Sun's.
const NAMESPACES: [&str; 2] = ["http://www.virtualbox.org/", "http://www.innotek.de/VirtualBox-settings"];

/// The most elements, attributes and texts that a file may have.
const MAX_NODES: u32 = 1 << 20;

/// The oldest settings that say of themselves where the disks hang.
const OLDEST: (u32, u32) = (1, 9);

/// The `Machine` element, and which version of the settings it is in.
pub(super) struct Settings<'a> {
    tree: &'a Document<'a>,
    pub(super) machine: Node<'a, 'a>,
    /// The version: `(1, 19)`.
    pub(super) version: (u32, u32),
}

/// The text of the file. VirtualBox writes UTF-8.
pub(super) fn text(bytes: &[u8]) -> Result<&str> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_SIZE });
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| Error::Encoding { offset: error.valid_up_to() })
}

/// Parses the text. Document types, and with them entities, are refused.
pub(super) fn tree(text: &str) -> Result<Document<'_>> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(Error::Xml)
}

/// The only machine of the file.
pub(super) fn machine<'a>(tree: &'a Document<'a>) -> Result<Settings<'a>> {
    let root = tree.root_element();
    let namespace = root.tag_name().namespace().unwrap_or_default();
    if root.tag_name().name() != "VirtualBox" || !NAMESPACES.contains(&namespace) {
        let name = excerpt(root.tag_name().name(), 60);
        return Err(Error::NotSettings { name, namespace: excerpt(namespace, 100) });
    }
    let version = root.attribute("version").unwrap_or_default();
    let version = parse_version(version).ok_or_else(|| Error::Version { version: excerpt(version, 20) })?;
    if child(root, "MachineEncrypted").is_some() {
        return Err(Error::Encrypted);
    }
    match child(root, "Machine") {
        Some(machine) => Ok(Settings { tree, machine, version }),
        None if child(root, "Global").is_some() => Err(Error::Global),
        None => Err(Error::Missing { parent: "VirtualBox".to_owned(), element: "Machine", line: 1 }),
    }
}

/// `1.19-linux` as numbers; `None` when it is no version that is read.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split('-').next()?.split_once('.')?;
    let version = (major.parse().ok()?, minor.parse().ok()?);
    (version >= OLDEST && version.0 == OLDEST.0).then_some(version)
}

impl<'a> Settings<'a> {
    /// The line on which an element starts, from 1.
    pub(super) fn line(&self, node: Node) -> u32 {
        self.tree.text_pos_at(node.range().start).row
    }

    /// That the value of an attribute of `node` is wrong.
    pub(super) fn wrong(&self, node: Node, attribute: &str, expected: &'static str) -> Error {
        let what = format!("{}/@{attribute}", node.tag_name().name());
        let value = excerpt(node.attribute(attribute).unwrap_or_default(), 60);
        Error::Value { what, value, expected, line: self.line(node) }
    }

    /// The machine's hardware.
    pub(super) fn hardware(&self) -> Result<Node<'a, 'a>> {
        let line = self.line(self.machine);
        child(self.machine, "Hardware").ok_or(Error::Missing {
            parent: "Machine".to_owned(),
            element: "Hardware",
            line,
        })
    }

    /// A number in an attribute; `None` when it is not there.
    pub(super) fn number(
        &self,
        node: Node,
        attribute: &'static str,
        expected: &'static str,
    ) -> Result<Option<u64>> {
        let Some(value) = node.attribute(attribute) else { return Ok(None) };
        value.trim().parse().map(Some).map_err(|_| self.wrong(node, attribute, expected))
    }
}

/// The first child of that name.
pub(super) fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    children(node, name).next()
}

/// The children of that name.
pub(super) fn children<'a>(node: Node<'a, 'a>, name: &str) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

/// What is at the end of a path of elements.
pub(super) fn descend<'a>(node: Node<'a, 'a>, path: &[&str]) -> Option<Node<'a, 'a>> {
    path.iter().try_fold(node, |node, name| child(node, name))
}

/// A truth value in an attribute; `None` when it is not there or neither.
pub(super) fn flag(node: Node, attribute: &str) -> Option<bool> {
    match node.attribute(attribute)?.trim() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// An identifier in an attribute, in braces; `None` when it is not there or none.
pub(super) fn uuid(node: Node, attribute: &str) -> Option<uuid::Uuid> {
    let text = node.attribute(attribute)?.trim();
    let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    uuid::Uuid::try_parse(text).ok().filter(|uuid| !uuid.is_nil())
}
