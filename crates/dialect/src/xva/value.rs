//! XML-RPC values (<http://xmlrpc.com/spec.md>): written whole, read where they stand.

use crate::xml::escape;
use roxmltree::Node;

/// A value to be written.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Flag(bool),
    /// A number with a fraction, as text.
    Real(&'static str),
    /// A time, as text.
    Time(&'static str),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl Value {
    pub(super) fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }

    pub(super) fn map<const N: usize>(pairs: [(&str, Value); N]) -> Self {
        Self::Map(pairs.map(|(name, value)| (name.to_owned(), value)).to_vec())
    }

    /// A map of texts.
    pub(super) fn texts(pairs: &[(&str, &str)]) -> Self {
        Self::Map(pairs.iter().map(|(name, value)| ((*name).to_owned(), Self::text(value))).collect())
    }

    /// The value as XML, without white space that a reader might take for text. Recursion is as deep as the code that
    /// built it.
    pub(super) fn write(&self, out: &mut String) {
        out.push_str("<value>");
        match self {
            Self::Text(text) => escape(out, text, false),
            Self::Flag(flag) => {
                out.push_str(if *flag { "<boolean>1</boolean>" } else { "<boolean>0</boolean>" })
            }
            Self::Real(number) => out.push_str(&format!("<double>{number}</double>")),
            Self::Time(time) => out.push_str(&format!("<dateTime.iso8601>{time}</dateTime.iso8601>")),
            Self::List(values) => {
                out.push_str("<array><data>");
                values.iter().for_each(|value| value.write(out));
                out.push_str("</data></array>");
            }
            Self::Map(pairs) => {
                out.push_str("<struct>");
                for (name, value) in pairs {
                    out.push_str("<member><name>");
                    escape(out, name, false);
                    out.push_str("</name>");
                    value.write(out);
                    out.push_str("</member>");
                }
                out.push_str("</struct>");
            }
        }
        out.push_str("</value>");
    }
}

/// A `<value>` of a document.
#[derive(Clone, Copy)]
pub(super) struct Read<'a>(pub(super) Node<'a, 'a>);

impl<'a> Read<'a> {
    fn child(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
        node.children().find(|child| child.has_tag_name(name))
    }

    /// The text of a scalar, whatever its type; nothing for a list or a map.
    pub(super) fn text(self) -> Option<&'a str> {
        match self.0.first_element_child() {
            None => Some(self.0.text().unwrap_or_default()),
            Some(inner) if inner.has_tag_name("array") || inner.has_tag_name("struct") => None,
            Some(inner) => Some(inner.text().unwrap_or_default()),
        }
    }

    /// The names and values of a map, in order.
    pub(super) fn members(self) -> impl Iterator<Item = (&'a str, Read<'a>)> {
        let members = Self::child(self.0, "struct").into_iter().flat_map(|node| node.children());
        members.filter(|node| node.has_tag_name("member")).filter_map(|member| {
            let name = Self::child(member, "name")?.text().unwrap_or_default();
            Some((name, Self(Self::child(member, "value")?)))
        })
    }

    /// A member of a map.
    pub(super) fn member(self, name: &str) -> Option<Self> {
        self.members().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The values of a list.
    pub(super) fn values(self) -> impl Iterator<Item = Read<'a>> {
        let data = Self::child(self.0, "array").and_then(|array| Self::child(array, "data"));
        let values = data.into_iter().flat_map(|data| data.children());
        values.filter(|node| node.has_tag_name("value")).map(Self)
    }

    /// The text of a member.
    pub(super) fn text_of(self, name: &str) -> &'a str {
        self.member(name).and_then(Self::text).unwrap_or_default()
    }

    /// Whether a member is true.
    pub(super) fn is_true(self, name: &str) -> bool {
        matches!(self.text_of(name), "1" | "true")
    }
}
