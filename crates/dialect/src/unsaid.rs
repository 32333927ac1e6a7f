//! What a description leaves unsaid: the difference between a machine and what its description says, with reasons.
//!
//! A renderer that compares is complete by construction: a field that it forgot is a difference like any other.

use crate::text::excerpt;
use machine::{Difference, Loss, Machine, Severity};
use serde_json::Value;

/// Why a field cannot be said.
pub(crate) struct Reason {
    /// The field in the form of [`machine::differences`]; a `*` at the end of a part stands for any rest of it. What is
    /// below the field is told with it.
    pub(crate) field: &'static str,
    /// How much it matters.
    pub(crate) severity: Severity,
    /// Why, in a sentence that an administrator understands.
    pub(crate) why: &'static str,
}

/// A reason, for tables.
pub(crate) const fn reason(field: &'static str, severity: Severity, why: &'static str) -> Reason {
    Reason { field, severity, why }
}

/// The reason for what has none of its own.
const OTHERWISE: &str = "the description has no words for it";

/// The images of disks are other files, of other formats, on every target.
const OF_THE_IMAGE: [&str; 3] = ["source", "format", "capacity"];

/// The losses of a description that says `said` of `machine`, beyond those that are `known`.
pub(crate) fn losses(machine: &Machine, said: &Machine, reasons: &[Reason], known: &[Loss]) -> Vec<Loss> {
    let images: Vec<String> = machine
        .disks
        .iter()
        .flat_map(|disk| OF_THE_IMAGE.map(|field| format!("{}.{field}", disk.id)))
        .collect();
    let mut losses: Vec<Loss> = Vec::new();
    for difference in machine::differences(machine, said) {
        let told = known.iter().chain(&losses).any(|loss| difference.is_told_by(loss));
        if !told && !images.contains(&difference.field) {
            losses.push(loss(&difference, reasons));
        }
    }
    losses
}

fn loss(difference: &Difference, reasons: &[Reason]) -> Loss {
    let kept_as = match &difference.second {
        Value::Null => None,
        Value::String(text) => Some(excerpt(text, 60)),
        other => Some(excerpt(&other.to_string(), 60)),
    };
    let found = reasons.iter().find_map(|reason| Some((reason, matched(&difference.field, reason.field)?)));
    match found {
        Some((reason, what)) => {
            // Of a whole, the part that differs says nothing.
            let kept_as = kept_as.filter(|_| what == difference.field);
            Loss { what: what.to_owned(), kept_as, why: reason.why.to_owned(), severity: reason.severity }
        }
        None => {
            let (what, why) = (difference.field.clone(), OTHERWISE.to_owned());
            Loss { what, kept_as, why, severity: Severity::Change }
        }
    }
}

/// The part of `field` that a pattern covers.
fn matched<'a>(field: &'a str, pattern: &str) -> Option<&'a str> {
    let mut parts = field.split('.');
    let mut length = 0;
    for wanted in pattern.split('.') {
        let part = parts.next()?;
        let fits = match wanted.strip_suffix('*') {
            Some(prefix) => part.starts_with(prefix),
            None => part == wanted,
        };
        if !fits {
            return None;
        }
        length += part.len() + 1;
    }
    field.get(..length.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::{Disk, NumaNode};

    #[test]
    fn every_difference_is_told_once_and_at_its_level() {
        let disk = |serial: Option<&str>| Disk {
            id: "disk1".to_owned(),
            serial: serial.map(str::to_owned),
            source: serial.map(str::to_owned),
            ..Disk::default()
        };
        let numa = vec![NumaNode { cpus: vec![0, 1], memory: 1 }, NumaNode { cpus: vec![2], memory: 1 }];
        let first = Machine {
            memory: 2,
            numa,
            disks: vec![disk(Some("a"))],
            max_cpus: Some(4),
            ..Machine::default()
        };
        let second = Machine { memory: 1, disks: vec![disk(None)], max_cpus: Some(2), ..Machine::default() };
        let reasons = [
            reason("numa", Severity::Change, "one cell"),
            reason("disk*.serial", Severity::Note, "no serial"),
            reason("max_cpus", Severity::Note, "fewer"),
        ];
        let known = [Loss::dropped(Severity::Note, "memory", "")];
        let told = losses(&first, &second, &reasons, &known);
        let said: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["disk1.serial: no serial", "max_cpus → 2: fewer", "numa: one cell"]);
        for difference in machine::differences(&first, &second) {
            let told = told.iter().chain(&known).any(|loss| difference.is_told_by(loss));
            assert!(told || difference.field == "disk1.source", "{}", difference.field);
        }
        assert_eq!(matched("numa.0.cpus.1", "numa.*"), Some("numa.0"));
        assert_eq!(matched("numa", "numa.*"), None);
    }
}
