//! The `.xml` of Hyper-V before Windows Server 2016: one element a property, with its type as an attribute, in UTF-16 as
//! Hyper-V writes it or in UTF-8.
//!
//! There is no published specification. What is here follows files of Windows Server 2012 and 2012 R2.

use super::error::Error;
use super::settings;
use super::tree::{MAX_PATH, Tree, Value};
use crate::Parsed;
use crate::base64;
use crate::dialects::{Dialect, Head};
use crate::text::{decode, excerpt};
use roxmltree::{Document, Node, ParsingOptions};

/// The longest file that is read, in bytes.
pub const MAX_SIZE: usize = 16 << 20;
/// The most elements, attributes and texts.
const MAX_NODES: u32 = 1 << 19;
/// How deep elements lie in each other: Hyper-V's own six levels.
const MAX_DEPTH: usize = 24;

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    name: "hyperv-xml",
    description: "a Hyper-V configuration (.xml, before Windows Server 2016)",
    ending: "xml",
    executable: false,
    recognise,
    parse: Some(|bytes| Ok(parse(bytes)?)),
    render: None,
};

fn recognise(head: &Head<'_>) -> bool {
    let said = ["<VDEVVersion", "<global_id", "<global_settings"];
    head.xml_root() == Some("configuration") && said.iter().any(|said| head.text.contains(said))
}

/// Reads the file.
///
/// # Errors
/// When it is no XML of Hyper-V's, or a value that the machine depends on is wrong.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    settings::machine(tree(bytes)?)
}

/// Reads the tree of properties alone.
///
/// # Errors
/// When it is no XML of Hyper-V's.
pub fn tree(bytes: &[u8]) -> Result<Tree, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_SIZE });
    }
    let text = decode(bytes, None).text;
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&text, options).map_err(Error::Xml)?;
    let root = document.root_element();
    if root.tag_name().name() != "configuration" {
        return Err(Error::Root { name: excerpt(root.tag_name().name(), 60) });
    }
    let mut tree = Tree::default();
    for node in root.descendants().filter(|node| node.is_element() && node.attribute("type").is_some()) {
        tree.insert(path(node, root)?, value(node)?)?;
    }
    Ok(tree)
}

/// The way from the root to an element.
fn path(node: Node, root: Node) -> Result<String, Error> {
    let mut names: Vec<&str> = Vec::new();
    let mut length = 0_usize;
    for element in node.ancestors().take_while(|element| *element != root) {
        names.push(element.tag_name().name());
        length = length.saturating_add(element.tag_name().name().len()).saturating_add(1);
        if names.len() > MAX_DEPTH || length > MAX_PATH {
            return Err(Error::TooDeep { path: excerpt(element.tag_name().name(), 60) });
        }
    }
    names.reverse();
    Ok(names.join("/"))
}

fn value(node: Node) -> Result<Value, Error> {
    let text = node.text().unwrap_or_default();
    let wrong = |expected| Error::Value {
        key: node.tag_name().name().to_owned(),
        value: format!("{:?}", excerpt(text, 60)),
        expected,
    };
    Ok(match node.attribute("type").unwrap_or_default() {
        "integer" => match text.trim().parse::<i64>() {
            Ok(number) => Value::Int(number),
            Err(_) => Value::UInt(text.trim().parse().map_err(|_| wrong("a number"))?),
        },
        "bool" => match text.trim() {
            truth if truth.eq_ignore_ascii_case("true") => Value::Bool(true),
            truth if truth.eq_ignore_ascii_case("false") => Value::Bool(false),
            _ => return Err(wrong("True or False")),
        },
        "bytes" => Value::Bytes(base64::decode(text).ok_or_else(|| wrong("Base64"))?),
        _ => Value::Text(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(inner: &str) -> Result<Tree, Error> {
        tree(format!("<configuration>{inner}</configuration>").as_bytes())
    }

    #[test]
    fn values_have_types() {
        let tree = parsed(
            "<a><n type='integer'>-5</n><b type='bool'>True</b><t type='string'> x </t>\
             <d type='bytes'>AQID\n</d><d type='bytes'></d></a>",
        )
        .unwrap();
        let got: Vec<_> = tree.values().map(|(path, value)| format!("{path}={value}")).collect();
        assert_eq!(got, ["a/b=true", "a/d=hex:010203", "a/d#4=hex:", "a/n=-5", "a/t= x "]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(matches!(parsed("<n type='integer'>many</n>"), Err(Error::Value { .. })));
        assert!(matches!(tree(b"<domain/>"), Err(Error::Root { .. })));
        assert!(matches!(tree(b"<!DOCTYPE a [<!ENTITY b 'c'>]><configuration/>"), Err(Error::Xml(_))));
        let deep = "<a>".repeat(40) + "<n type='integer'>1</n>" + &"</a>".repeat(40);
        assert!(matches!(parsed(&deep), Err(Error::TooDeep { .. })));
        let long = format!("<{0}><n type='integer'>1</n></{0}>", "a".repeat(600));
        assert!(matches!(parsed(&long), Err(Error::TooDeep { .. })));
    }
}
