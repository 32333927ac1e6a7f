//! The XML of a descriptor, and what differs between versions.

use super::{Error, Result};
use crate::text::{Lines, decode, excerpt};
use encoding_rs::Encoding;
use roxmltree::{Node, ParsingOptions};

/// OVF's namespaces: the DMTF's by version, and VMware's of before the standard.
const NAMESPACES: [&str; 5] = [
    "http://schemas.dmtf.org/ovf/envelope/1",
    "http://schemas.dmtf.org/ovf/envelope/2",
    "http://schemas.dmtf.org/ovf/1/envelope",
    "http://www.vmware.com/schema/ovf/1/envelope",
    "http://www.dmtf.org/schema/ovf/1/envelope",
];

const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// The most elements, attributes and texts that a descriptor may have.
const MAX_NODES: u32 = 1 << 20;

/// Decodes an XML document by its byte order mark or its declaration.
pub(super) fn decode_xml(bytes: &[u8]) -> Result<String> {
    let head = String::from_utf8_lossy(bytes.get(..200).unwrap_or(bytes)).into_owned();
    let declared = head
        .split_once("<?xml")
        .and_then(|(_, rest)| rest.split_once("?>"))
        .and_then(|(declaration, _)| declaration.split_once("encoding"))
        .and_then(|(_, rest)| rest.split(['"', '\'']).nth(1))
        .and_then(|label| Encoding::for_label(label.as_bytes()))
        .unwrap_or(encoding_rs::UTF_8);
    let decoded = decode(bytes, Some(declared));
    if decoded.damaged {
        return Err(Error::Encoding { encoding: decoded.encoding.name().to_owned() });
    }
    Ok(decoded.text)
}

/// Parses the text. Document types, and with them entities, are refused.
pub(super) fn tree(text: &str) -> Result<roxmltree::Document<'_>> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    roxmltree::Document::parse_with_options(text, options).map_err(Error::Xml)
}

/// A descriptor whose root is an envelope.
pub(super) struct Document<'a> {
    tree: &'a roxmltree::Document<'a>,
    /// Items and disks remember theirs.
    lines: Lines<'a>,
}

impl<'a> Document<'a> {
    pub(super) fn new(tree: &'a roxmltree::Document<'a>) -> Result<Self> {
        let root = tree.root_element();
        let namespace = root.tag_name().namespace().unwrap_or_default();
        // vCloud Director forgot to give the elements a namespace, but declared it.
        let declared = || root.namespaces().any(|namespace| NAMESPACES.contains(&namespace.uri()));
        let is_ovf = NAMESPACES.contains(&namespace) || (namespace.is_empty() && declared());
        if root.tag_name().name() != "Envelope" || !is_ovf {
            let name = excerpt(root.tag_name().name(), 60);
            return Err(Error::NotAnEnvelope { name, namespace: excerpt(namespace, 100) });
        }
        if let Some(version) = attribute(root, "version") {
            let known = ["0.9", "1", "2"].iter().any(|known| {
                version.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            });
            if !known {
                return Err(Error::Version { version: excerpt(version, 20) });
            }
        }
        Ok(Self { tree, lines: Lines::new(tree.input_text()) })
    }

    pub(super) fn root(&self) -> Node<'a, 'a> {
        self.tree.root_element()
    }

    /// The line on which an element starts, from 1.
    pub(super) fn line(&self, node: Node) -> u32 {
        self.lines.at(node.range().start)
    }

    /// The envelope's sections of that kind.
    pub(super) fn envelope_sections(&self, kind: &'static str) -> impl Iterator<Item = Node<'a, 'a>> {
        sections(self.root(), kind)
    }

    /// That there is room for `node` where `held` of at most `limit` are.
    pub(super) fn hold(&self, held: usize, limit: usize, what: &'static str, node: Node) -> Result<()> {
        if held < limit { Ok(()) } else { Err(Error::TooMany { what, limit, line: self.line(node) }) }
    }

    /// That a value of `node` is wrong.
    pub(super) fn wrong(&self, node: Node, what: &str, value: &str, expected: &'static str) -> Error {
        Error::Value { what: what.to_owned(), value: excerpt(value, 60), expected, line: self.line(node) }
    }
}

/// What kind of section or content an element is. In 0.9 that is in `xsi:type`, later it is the element's name.
pub(super) fn kind<'a>(node: Node<'a, '_>) -> &'a str {
    let name = node.tag_name().name();
    if name != "Section" && name != "Content" {
        return name;
    }
    let kind = node.attribute((XSI, "type")).unwrap_or(name);
    let kind = kind.rsplit_once(':').map_or(kind, |(_, kind)| kind);
    kind.strip_suffix("_Type").unwrap_or(kind)
}

/// The children of that kind.
pub(super) fn sections<'a>(node: Node<'a, 'a>, wanted: &'static str) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children().filter(move |child| child.is_element() && kind(*child) == wanted)
}

/// The value of an attribute of OVF's, with or without its namespace, or of a vendor's.
pub(super) fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    let mut found = None;
    for attribute in node.attributes().filter(|attribute| attribute.name() == name) {
        match attribute.namespace() {
            None => return Some(attribute.value()),
            Some(namespace) if NAMESPACES.contains(&namespace) => return Some(attribute.value()),
            Some(_) => found = found.or(Some(attribute.value())),
        }
    }
    found
}

/// Whether `ovf:required` says so; `None` when it says nothing.
pub(super) fn required(node: Node) -> Option<bool> {
    attribute(node, "required").map(|value| matches!(value.trim(), "true" | "1"))
}

/// The text of the first child of that name, trimmed; none when it is empty.
pub(super) fn child_text(node: Node, name: &str) -> Option<String> {
    children(node, name).find_map(text)
}

/// The children of that name.
pub(super) fn children<'a>(node: Node<'a, 'a>, name: &str) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

/// All text of an element itself, trimmed; none when it is empty.
pub(super) fn text(node: Node) -> Option<String> {
    let text: String =
        node.children().filter(|child| child.is_text()).filter_map(|child| child.text()).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
