//! JSON in its canonical form (RFC 8785), for documents without fractions: [`Value`].
//!
//! The numbers are integers that every implementation of JSON holds exactly, so that writing them needs none of the rules for
//! floating point.

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// The largest integer that a double holds exactly, with all smaller ones (RFC 7493, section 2.2).
const MOST: u64 = (1 << 53) - 1;

/// A JSON value without fractions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Text(String),
    List(Vec<Value>),
    /// The members; no name is there twice.
    Object(BTreeMap<String, Value>),
}

impl Value {
    /// Reads a document. What comes twice, is no integer or nests too deeply is refused.
    pub(super) fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// The canonical form, in UTF-8.
    pub(super) fn canonical(&self) -> Vec<u8> {
        let mut out = String::new();
        self.write(&mut out);
        out.into_bytes()
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Boolean(true) => out.push_str("true"),
            Self::Boolean(false) => out.push_str("false"),
            Self::Integer(integer) => out.push_str(&integer.to_string()),
            Self::Text(text) => write_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => write_object(members, out),
        }
    }
}

/// Section 3.2.3: members are sorted by their names' UTF-16 code units.
fn write_object(members: &BTreeMap<String, Value>, out: &mut String) {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push('{');
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_text(name, out);
        out.push(':');
        value.write(out);
    }
    out.push('}');
}

/// Section 3.2.2.2: only what has to be escaped is, in the shortest way.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without fractions")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        let integer = i64::try_from(value).ok().filter(|_| value <= MOST);
        integer
            .map(Value::Integer)
            .ok_or_else(|| E::custom(format!("the integer {value} is not exact everywhere")))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        match value.unsigned_abs() <= MOST {
            true => Ok(Value::Integer(value)),
            false => Err(E::custom(format!("the integer {value} is not exact everywhere"))),
        }
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_string()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.insert(name.clone(), value).is_some() {
                return Err(de::Error::custom(format!("the member {name:?} is there twice")));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        String::from_utf8(Value::parse(text.as_bytes()).unwrap().canonical()).unwrap()
    }

    #[test]
    fn the_order_and_the_escapes_are_those_of_the_rfc() {
        // Section 3.2.3, whose names are sorted by UTF-16: a surrogate pair comes before U+FB33.
        let names = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
        assert_eq!(
            canonical(names),
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
        );
        // Section 3.2.2's string.
        let text = r#"["\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/"]"#;
        assert_eq!(canonical(text), "[\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"]");
        assert_eq!(
            canonical(" { \"b\" : [ ] , \"a\" : [ null , true , 0 , 12 ] } "),
            "{\"a\":[null,true,0,12],\"b\":[]}"
        );
    }

    #[test]
    fn what_is_hostile_is_refused() {
        let deep = "[".repeat(100_000);
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            "1.5",
            "1e3",
            "9007199254740992",
            "-9007199254740992",
            "18446744073709551616",
            r#""\ud800""#,
            "[1] 2",
            "[1",
            "",
            deep.as_str(),
        ] {
            assert!(Value::parse(text.as_bytes()).is_err(), "{}", text.get(..40).unwrap_or(text));
        }
        assert_eq!(canonical("9007199254740991"), "9007199254740991");
        assert!(Value::parse(b"\"\xff\"").is_err());
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Boolean),
            (-(MOST as i64)..=MOST as i64).prop_map(Value::Integer),
            any::<String>().prop_map(Value::Text),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                proptest::collection::btree_map(any::<String>(), inner, 0..6).prop_map(Value::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_its_own(value in values()) {
            let canonical = value.canonical();
            let again = Value::parse(&canonical).unwrap();
            prop_assert_eq!(&again, &value);
            prop_assert_eq!(again.canonical(), canonical);
        }
    }
}
