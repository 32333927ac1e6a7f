//! What is published of a row: read from its evidence, never from memory.

use crate::key::Key;
use crate::row::Row;
use crate::store::{Store, sha256};
use anyhow::Result;
use lab::Recipe;
use profile::Grade;
use profile::support::Seen;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whose word the evidence is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    /// Signed, and the signature holds; by this public key.
    Signed(String),
    /// Not signed.
    Unsigned,
    /// Signed, and the signature does not hold, or the document is not the one that was kept.
    Broken,
}

/// A row as it is published.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// The row's name.
    pub(crate) name: String,
    /// The guest.
    pub(crate) guest: &'static str,
    /// The hypervisor.
    pub(crate) target: String,
    /// Whether it is a control.
    pub(crate) control: bool,
    /// What is known; `None` when there is no evidence.
    pub(crate) known: Option<Known>,
}

impl Cell {
    /// The row as `anyvisor support` takes it; only one that says of a converted guest how it came out.
    pub(crate) fn seen(&self) -> Option<Seen> {
        let known = self.known.as_ref().filter(|known| known.is_current())?;
        let guest = Recipe::named(self.guest).ok().filter(|_| !self.control)?;
        Some(Seen {
            guest: format!("debian-{}", guest.suite.version()),
            profile: self.target.clone(),
            release: None,
            grade: known.grade,
            when: known.day.clone(),
            file: Some(format!("{}.json", self.name)),
        })
    }
}

/// What the evidence says.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// How much it proves.
    pub(crate) grade: Grade,
    /// Why it did not come up.
    pub(crate) cause: Option<String>,
    /// Whether that is what the row expects.
    pub(crate) expected: bool,
    /// The drivers under the root filesystem and of the network cards.
    pub(crate) drivers: Vec<String>,
    /// The addresses that the guest had.
    pub(crate) addresses: Vec<String>,
    /// From the start of the virtual machine to the verdict, in seconds.
    pub(crate) seconds: Option<u64>,
    /// The day, `2026-11-23`.
    pub(crate) day: String,
    /// Whose word it is.
    pub(crate) seal: Seal,
    /// What has changed since.
    pub(crate) stale: Vec<&'static str>,
}

impl Known {
    /// Whether it counts: as expected, current and signed.
    pub(crate) fn counts(&self) -> bool {
        self.expected && self.is_current()
    }

    /// Whether it is of this guest, this profile and this code, and signed.
    fn is_current(&self) -> bool {
        self.stale.is_empty() && matches!(self.seal, Seal::Signed(_))
    }

    /// What stands beside the grade so that nobody takes it for more than it is.
    pub(crate) fn reservations(&self) -> Vec<String> {
        let mut said = Vec::new();
        if !self.stale.is_empty() {
            said.push(format!("stale: {} changed", self.stale.join(" and ")));
        }
        match self.seal {
            Seal::Signed(_) => {}
            Seal::Unsigned => said.push("unsigned".to_owned()),
            Seal::Broken => said.push("badly signed".to_owned()),
        }
        said
    }
}

/// Reads what is published of a row.
pub(crate) fn read(row: &Row, store: &Store, code: &str, anyvisor: &Path) -> Result<Cell> {
    let name = row.name();
    let mut cell = Cell {
        guest: row.guest.name,
        target: row.target.id.clone(),
        control: row.control,
        known: None,
        name,
    };
    if let Some(document) = store.read(&cell.name)? {
        let seal = seal(&document, store, &cell.name, anyvisor);
        let stale = match store.entry(&cell.name) {
            Some(entry) => Key::of(row, code).changed_since(&entry.key),
            None => vec!["everything"],
        };
        let value = serde_json::from_slice(&document).unwrap_or(Value::Null);
        cell.known = Some(known(&value, row, seal, stale));
    }
    Ok(cell)
}

fn known(evidence: &Value, row: &Row, seal: Seal, stale: Vec<&'static str>) -> Known {
    let text = |pointer: &str| evidence.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let grade = text("/grade").and_then(|name| Grade::named(&name)).unwrap_or(Grade::Failed);
    let about = evidence.get("profile").and_then(Value::as_str) == Some(row.target.id.as_str())
        && evidence.get("control").and_then(Value::as_bool) == Some(row.control);
    Known {
        grade,
        cause: text("/outcome/failed/cause"),
        expected: about && row.is_met_by(grade.is_booted()),
        drivers: drivers(evidence),
        addresses: strings(evidence.pointer("/outcome/booted/facts/addresses"), "address"),
        seconds: evidence.pointer("/run/timings/run_ms").and_then(Value::as_u64).map(|ms| ms.div_ceil(1000)),
        day: text("/finished").unwrap_or_default().chars().take(10).collect(),
        seal,
        stale,
    }
}

/// The drivers of the disks under the root and of the cards that are up: the one nearest to the bus that is not the bus' own.
fn drivers(evidence: &Value) -> Vec<String> {
    let lists = ["/outcome/booted/facts/root/disks", "/outcome/booted/facts/nics"];
    let devices = lists.iter().filter_map(|pointer| evidence.pointer(pointer)?.as_array()).flatten();
    let mut names: Vec<String> = Vec::new();
    for device in devices {
        let drivers: Vec<&str> =
            device["drivers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let telling = drivers.iter().find(|driver| !["sd", "virtio-pci", "pcieport"].contains(driver));
        if let Some(driver) = telling.filter(|driver| !names.iter().any(|name| name == *driver)) {
            names.push((*driver).to_owned());
        }
    }
    names
}

fn strings(list: Option<&Value>, member: &str) -> Vec<String> {
    let members = list.and_then(Value::as_array).into_iter().flatten();
    let text = |value: &Value| value.as_str().or_else(|| value[member].as_str()).map(str::to_owned);
    members.filter_map(text).filter(|address| !address.starts_with("fe80")).collect()
}

/// Whether the document is the one that was kept, and is signed. The program itself is asked, as any reader would.
fn seal(document: &[u8], store: &Store, name: &str, anyvisor: &Path) -> Seal {
    if store.entry(name).is_none_or(|entry| entry.sha256 != sha256(document)) {
        return Seal::Broken;
    }
    let value: Value = serde_json::from_slice(document).unwrap_or(Value::Null);
    let Some(signature) = value.get("signature") else { return Seal::Unsigned };
    let verified = Command::new(anyvisor)
        .args(["evidence", "verify"])
        .arg(store.path(name))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let key = signature["public_key"].as_str().or_else(|| signature["key"].as_str()).unwrap_or("unknown");
    match verified {
        Ok(status) if status.success() => Seal::Signed(key.to_owned()),
        _ => Seal::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row;
    use serde_json::json;

    fn evidence() -> Value {
        json!({
            "grade": "booted-equivalent", "control": false, "profile": "kvm", "finished": "2026-11-23T06:00:00Z",
            "run": { "timings": { "run_ms": 41_001 } },
            "outcome": { "booted": { "facts": {
                "root": { "disks": [ { "drivers": ["sd", "virtio_scsi", "virtio-pci"] } ] },
                "nics": [ { "drivers": ["virtio_net", "virtio-pci"] } ],
                "addresses": [ { "address": "10.0.2.192/24" }, { "address": "fe80::1/64" } ]
            } } }
        })
    }

    fn first() -> Row {
        row::all().into_iter().find(|row| row.name() == "debian12-bios--kvm").unwrap()
    }

    #[test]
    fn evidence_is_read() {
        let known = known(&evidence(), &first(), Seal::Signed("k".into()), Vec::new());
        assert_eq!(known.drivers, ["virtio_scsi", "virtio_net"]);
        assert_eq!(known.addresses, ["10.0.2.192/24"]);
        assert_eq!((known.seconds, known.day.as_str()), (Some(42), "2026-11-23"));
        assert!(known.counts());
    }

    #[test]
    fn evidence_of_another_row_does_not_count() {
        let control = Row { control: true, ..first() };
        assert!(!known(&evidence(), &control, Seal::Signed("k".into()), Vec::new()).counts());
        assert!(!known(&evidence(), &first(), Seal::Unsigned, Vec::new()).counts());
        assert!(!known(&evidence(), &first(), Seal::Signed("k".into()), vec!["the code"]).counts());
        assert!(!known(&Value::Null, &first(), Seal::Broken, Vec::new()).counts());
    }
}
