//! What two machines do not have in common: [`differences`].

use crate::{Loss, Machine};
use serde_json::Value;

/// A field in which two machines differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The field: `memory`, `disk1.serial`, `removables.0.medium`. What has an `id` goes by it.
    pub field: String,
    /// What the first machine has there; null when nothing.
    pub first: Value,
    /// What the second machine has there; null when nothing.
    pub second: Value,
}

/// The fields in which `first` and `second` differ, in the alphabetical order of [`Machine`]'s fields.
pub fn differences(first: &Machine, second: &Machine) -> Vec<Difference> {
    // Plain data always has a form in JSON.
    let value = |machine: &Machine| serde_json::to_value(machine).unwrap_or_default();
    let mut found = Vec::new();
    compare("", &value(first), &value(second), &mut found);
    found
}

impl Difference {
    /// Whether `loss` is about this field, or about what it is part of.
    pub fn is_told_by(&self, loss: &Loss) -> bool {
        self.field.strip_prefix(&loss.what).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

fn join(path: &str, part: &str) -> String {
    if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") }
}

fn compare(path: &str, first: &Value, second: &Value, found: &mut Vec<Difference>) {
    match (first, second) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let part =
                    |object: &serde_json::Map<String, Value>| object.get(key).cloned().unwrap_or_default();
                compare(&join(path, key), &part(a), &part(b), found);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for index in 0..a.len().max(b.len()) {
                let part = |array: &Vec<Value>| array.get(index).cloned().unwrap_or_default();
                let (a, b) = (part(a), part(b));
                let id = |value: &Value| value.get("id").and_then(Value::as_str).map(str::to_owned);
                let name = id(&a).or_else(|| id(&b)).unwrap_or_else(|| join(path, &index.to_string()));
                compare(&name, &a, &b, found);
            }
        }
        (first, second) if first == second => {}
        (first, second) => {
            found.push(Difference { field: path.to_owned(), first: first.clone(), second: second.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Disk, Severity};

    #[test]
    fn fields_go_by_their_ids() {
        let disk = |serial: Option<&str>| Disk {
            id: "disk1".to_owned(),
            serial: serial.map(str::to_owned),
            ..Disk::default()
        };
        let first = Machine { memory: 1, disks: vec![disk(Some("a"))], ..Machine::default() };
        let second = Machine { disks: vec![disk(None)], ..Machine::default() };
        assert_eq!(differences(&first, &first), []);
        let found = differences(&first, &second);
        let fields: Vec<_> = found.iter().map(|difference| difference.field.as_str()).collect();
        assert_eq!(fields, ["disk1.serial", "memory"]);
        let told =
            |what: &str| found.iter().all(|one| one.is_told_by(&Loss::dropped(Severity::Note, what, "")));
        assert!(!told("disk1") && !told("mem"));
        assert!(found.iter().any(|one| one.is_told_by(&Loss::dropped(Severity::Note, "disk1", ""))));
    }
}
