//! The elements of a domain, and which of them were read: what nobody read becomes a property.

use super::Error;
use crate::text::excerpt;
use machine::{Loss, Property, Severity};
use roxmltree::{Node, NodeId, ParsingOptions};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::str::FromStr;

/// What every domain of KVM's says, by [`signature`] below the path of its parent: libvirt's tools write it, and so does
/// the renderer. It tells nothing of the machine.
const USUAL: [&str; 18] = [
    "on_poweroff 'destroy'",
    "on_reboot 'restart'",
    "on_crash 'destroy'",
    "os/type@machine=q35",
    "cpu@mode=host-passthrough",
    "cpu@check=none",
    "cpu@migratable=on",
    "clock/timer name=rtc tickpolicy=catchup",
    "clock/timer name=pit tickpolicy=delay",
    "clock/timer name=hpet present=no",
    "clock/timer name=hypervclock present=yes",
    "features/hyperv mode=custom;relaxed state=on;spinlocks retries=8191 state=on;vapic state=on",
    "devices/disk/driver@discard=unmap",
    "devices/channel type=unix;target name=org.qemu.guest_agent.0 type=virtio",
    "devices/input bus=usb type=tablet",
    "devices/graphics autoport=yes port=-1 type=vnc",
    "devices/memballoon model=virtio",
    "devices/rng model=virtio;backend model=random '/dev/urandom'",
];

/// An element with its attributes in order, its text, and the elements in it: `timer name=pit tickpolicy=delay`. Only of
/// small ones.
fn signature(node: Node) -> Option<String> {
    const MAX: usize = 8;
    let of = |node: Node| {
        let mut attributes: Vec<_> =
            node.attributes().map(|one| format!(" {}={}", one.name(), one.value())).collect();
        attributes.sort();
        let text = node.text().map(str::trim).filter(|text| !text.is_empty());
        let text = text.map(|text| format!(" '{text}'")).unwrap_or_default();
        format!("{}{}{text}", node.tag_name().name(), attributes.concat())
    };
    if node.descendants().take(4 * MAX).filter(Node::is_element).count() > MAX {
        return None;
    }
    let mut inner: Vec<_> = node.descendants().skip(1).filter(Node::is_element).map(of).collect();
    inner.sort();
    Some([vec![of(node)], inner].concat().join(";"))
}

/// The path of a key without the numbers among siblings, up to its last part.
fn is_usual(key: &str, signature: &str) -> bool {
    let plain: String =
        key.split('/').map(|part| part.split('[').next().unwrap_or(part)).collect::<Vec<_>>().join("/");
    let said = match plain.rsplit_once('/') {
        Some((parent, _)) => format!("{parent}/{signature}"),
        None => signature.to_owned(),
    };
    USUAL.contains(&said.as_str())
}

/// The most elements, attributes and texts that a domain may have.
const MAX_NODES: u32 = 1 << 20;

/// Parses the text. Document types, and with them entities, are refused.
pub(super) fn tree(text: &str) -> Result<roxmltree::Document<'_>, Error> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    roxmltree::Document::parse_with_options(text, options).map_err(Error::Xml)
}

/// A document, and what of it was read.
pub(super) struct Ledger<'a> {
    tree: &'a roxmltree::Document<'a>,
    /// Which of its siblings of the same name each node is, from 1, by the node's number.
    ordinals: Vec<u32>,
    /// The elements that were read, with the names of their attributes; the empty name is their text.
    read: RefCell<HashSet<(NodeId, &'a str)>>,
    /// The elements that were looked into.
    opened: RefCell<HashSet<NodeId>>,
    /// The elements of which nothing is left to say.
    done: RefCell<HashSet<NodeId>>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(tree: &'a roxmltree::Document<'a>) -> Self {
        let mut counters: HashMap<(NodeId, &str), u32> = HashMap::new();
        let mut ordinals = Vec::new();
        for node in tree.descendants() {
            let ordinal = match node.parent() {
                Some(parent) if node.is_element() => {
                    let counter = counters.entry((parent.id(), node.tag_name().name())).or_default();
                    *counter += 1;
                    *counter
                }
                _ => 1,
            };
            ordinals.push(ordinal);
        }
        Self {
            tree,
            ordinals,
            read: RefCell::default(),
            opened: RefCell::default(),
            done: RefCell::default(),
        }
    }

    pub(super) fn root(&'a self) -> Element<'a> {
        self.open(self.tree.root_element())
    }

    fn open(&'a self, node: Node<'a, 'a>) -> Element<'a> {
        self.opened.borrow_mut().insert(node.id());
        Element { ledger: self, node }
    }

    /// The path of an element below the root: `devices/disk[2]/driver`.
    fn path(&self, node: Node) -> String {
        let mut parts = Vec::new();
        let inside = |node: &Node| node.parent().is_some_and(|parent| parent.is_element());
        for node in node.ancestors().take_while(inside) {
            let name = node.tag_name().name();
            parts.push(match self.ordinals.get(node.id().get_usize()) {
                Some(&ordinal @ 2..) => format!("{name}[{ordinal}]"),
                _ => name.to_owned(),
            });
        }
        parts.reverse();
        parts.join("/")
    }

    /// Everything that nobody read: an element that was not looked into as it stands, and of others the attributes and
    /// the text. What may be a password is reported, and not kept.
    pub(super) fn properties(&self, losses: &mut Vec<Loss>) -> Vec<Property> {
        let (read, opened, done) = (self.read.borrow(), self.opened.borrow(), self.done.borrow());
        let mut properties = Vec::new();
        let mut add = |key: String, value: &str| {
            if [key.as_str(), value].iter().any(|text| mentions_password(text)) {
                let why = "it seems to hold a password, which is not carried along: set one on the target";
                losses.push(Loss::dropped(Severity::Change, key, why));
            } else {
                properties.push(Property {
                    dialect: super::super::DIALECT.name.to_owned(),
                    key,
                    value: value.to_owned(),
                });
            }
        };
        let mut past = 0;
        for node in self.tree.root_element().descendants().filter(Node::is_element) {
            if node.range().start < past {
                continue;
            }
            if done.contains(&node.id()) {
                past = node.range().end;
                continue;
            }
            if !opened.contains(&node.id()) {
                past = node.range().end;
                let path = self.path(node);
                if signature(node).is_some_and(|signature| is_usual(&path, &signature)) {
                    continue;
                }
                add(path, self.tree.input_text().get(node.range()).unwrap_or_default());
                continue;
            }
            for attribute in node.attributes().filter(|one| !read.contains(&(node.id(), one.name()))) {
                let path = self.path(node);
                let said = format!("{}@{}={}", node.tag_name().name(), attribute.name(), attribute.value());
                if !is_usual(&path, &said) {
                    add(format!("{path}@{}", attribute.name()), attribute.value());
                }
            }
            if !read.contains(&(node.id(), ""))
                && let Some(text) = node.text().map(str::trim).filter(|text| !text.is_empty())
            {
                add(self.path(node), text);
            }
        }
        properties
    }
}

fn mentions_password(text: &str) -> bool {
    const WORD: &[u8] = b"passw";
    text.as_bytes().windows(WORD.len()).any(|window| window.eq_ignore_ascii_case(WORD))
}

/// An element. Asking it for something marks that as read.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    ledger: &'a Ledger<'a>,
    node: Node<'a, 'a>,
}

impl<'a> Element<'a> {
    fn elements(self, name: &'static str) -> impl Iterator<Item = Node<'a, 'a>> {
        self.node.children().filter(move |node| node.is_element() && node.tag_name().name() == name)
    }

    /// The name.
    pub(super) fn name(self) -> &'a str {
        self.node.tag_name().name()
    }

    /// The first child of that name.
    pub(super) fn child(self, name: &'static str) -> Option<Self> {
        self.elements(name).next().map(|node| self.ledger.open(node))
    }

    /// Every child of that name.
    pub(super) fn children(self, name: &'static str) -> impl Iterator<Item = Self> {
        self.elements(name).map(move |node| self.ledger.open(node))
    }

    /// Every child of that name, when they are not too many.
    pub(super) fn devices(self, name: &'static str) -> Result<Vec<Self>, Error> {
        const LIMIT: usize = 4096;
        let found: Vec<_> = self.children(name).take(LIMIT + 1).collect();
        if found.len() > LIMIT { Err(Error::TooMany { element: name, limit: LIMIT }) } else { Ok(found) }
    }

    /// Every child that is an element, without marking it.
    pub(super) fn unread(self) -> impl Iterator<Item = Self> {
        let ledger = self.ledger;
        self.node.children().filter(Node::is_element).map(move |node| Self { ledger, node })
    }

    /// An attribute.
    pub(super) fn attribute(self, name: &'static str) -> Option<&'a str> {
        self.ledger.read.borrow_mut().insert((self.node.id(), name));
        self.node.attribute(name)
    }

    /// An attribute that may be kept as a property too.
    pub(super) fn peek(self, name: &str) -> Option<&'a str> {
        self.node.attribute(name)
    }

    /// The text, without white space around it.
    pub(super) fn text(self) -> &'a str {
        self.ledger.read.borrow_mut().insert((self.node.id(), ""));
        self.node.text().unwrap_or_default().trim()
    }

    /// The text as it is.
    pub(super) fn raw_text(self) -> String {
        self.ledger.read.borrow_mut().insert((self.node.id(), ""));
        self.node.children().filter(Node::is_text).filter_map(|node| node.text()).collect()
    }

    /// The text of a child.
    pub(super) fn text_of(self, name: &'static str) -> Option<&'a str> {
        self.child(name).map(Self::text)
    }

    /// An attribute of a child.
    pub(super) fn attribute_of(self, child: &'static str, name: &'static str) -> Option<&'a str> {
        self.child(child)?.attribute(name)
    }

    /// An attribute as a number; none when it is not there or is no number.
    pub(super) fn number<T: FromStr>(self, name: &'static str) -> Option<T> {
        let text = self.attribute(name)?.trim();
        text.parse().ok()
    }

    /// Whether an attribute says `yes` or `on`.
    pub(super) fn is_on(self, name: &'static str) -> bool {
        matches!(self.attribute(name), Some("yes" | "on"))
    }

    /// Takes everything in it as read.
    pub(super) fn done(self) {
        self.ledger.done.borrow_mut().insert(self.node.id());
    }

    /// Keeps all of it as a property, whatever was read of it.
    pub(super) fn keep(self) {
        self.ledger.opened.borrow_mut().remove(&self.node.id());
    }

    /// Where it is, as a loss names it.
    pub(super) fn path(self) -> String {
        self.ledger.path(self.node)
    }

    /// An error about a value in it.
    pub(super) fn wrong(self, value: &str, expected: &'static str) -> Error {
        let line = self.ledger.tree.text_pos_at(self.node.range().start).row;
        Error::Value { line, element: excerpt(self.name(), 60), value: excerpt(value, 60), expected }
    }
}
