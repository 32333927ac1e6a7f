//! What is published of a row: read from its evidence, never from memory.

use crate::key::Key;
use crate::row::Row;
use crate::store::{Store, sha256};
use anyhow::Result;
use lab::Recipe;
use profile::Grade;
use profile::support::Seen;
use rehearse::signed::{self, Refused};
use rehearse::{Evidence, Facts, Outcome};

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
pub(crate) fn read(row: &Row, store: &Store, code: &str) -> Result<Cell> {
    let name = row.name();
    let document = store.read(&name)?;
    let known = document.map(|document| {
        let entry = store.entry(&name);
        let seal = match entry {
            Some(entry) if entry.sha256 == sha256(&document) => seal(&document),
            _ => Seal::Broken,
        };
        let stale = match entry {
            Some(entry) => Key::of(row, code).changed_since(&entry.key),
            None => vec!["everything"],
        };
        // What is not signed is shown too, and said to be so.
        known(serde_json::from_slice(&document).ok().as_ref(), row, seal, stale)
    });
    Ok(Cell { guest: row.guest.name, target: row.target.id.clone(), control: row.control, known, name })
}

/// Whether the document is signed, as any reader of it would see.
fn seal(document: &[u8]) -> Seal {
    match signed::verify(document) {
        Ok(signed) => Seal::Signed(signed.signer.to_string()),
        Err(Refused::Unsigned) => Seal::Unsigned,
        Err(_) => Seal::Broken,
    }
}

/// What the evidence says; a failure as nobody expects one when it cannot be read.
fn known(evidence: Option<&Evidence>, row: &Row, seal: Seal, stale: Vec<&'static str>) -> Known {
    let grade = evidence.map_or(Grade::Failed, |evidence| evidence.grade);
    let is_of_row =
        |evidence: &Evidence| evidence.profile == row.target.id && evidence.control == row.control;
    let facts = evidence.and_then(Evidence::facts);
    let run = evidence.and_then(|evidence| evidence.run.as_ref());
    Known {
        grade,
        cause: evidence.and_then(cause),
        expected: evidence.is_some_and(is_of_row) && row.is_met_by(grade.is_booted()),
        drivers: facts.map(drivers).unwrap_or_default(),
        addresses: facts.map(addresses).unwrap_or_default(),
        seconds: run.map(|run| run.timings.run_ms.div_ceil(1000)),
        day: evidence.map(|evidence| evidence.finished.strftime("%F").to_string()).unwrap_or_default(),
        seal,
        stale,
    }
}

/// The cause of a failure, as the evidence names it: `no-root-device`.
fn cause(evidence: &Evidence) -> Option<String> {
    let Outcome::Failed(failed) = &evidence.outcome else { return None };
    let name = serde_json::to_value(failed.cause).ok()?;
    name.as_str().map(str::to_owned)
}

/// Drivers that a disk or a card has whatever the hypervisor.
const COMMON: &[&str] = &["sd", "virtio-pci", "pcieport"];

/// The drivers of the disks under the root and of the cards: of each the one nearest to it that tells the hypervisor.
fn drivers(facts: &Facts) -> Vec<String> {
    let disks = facts.root.iter().flat_map(|root| &root.disks).map(|disk| &disk.drivers);
    let devices = disks.chain(facts.nics.iter().map(|nic| &nic.drivers));
    let mut names: Vec<String> = Vec::new();
    for drivers in devices {
        let telling = drivers.iter().find(|driver| !COMMON.contains(&driver.as_str()));
        if let Some(driver) = telling.filter(|driver| !names.contains(driver)) {
            names.push(driver.clone());
        }
    }
    names
}

/// The addresses that somebody gave: those of the link itself every card has.
fn addresses(facts: &Facts) -> Vec<String> {
    let all = facts.addresses.iter().map(|address| &address.address);
    all.filter(|address| !address.starts_with("fe80")).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row;
    use serde_json::json;

    /// A document that was certified, with what the guest said of itself.
    fn evidence() -> Evidence {
        let driver = |names: &[&str]| json!({ "name": "a", "drivers": names });
        let facts = json!({
            "root": { "source": "a", "filesystem": "ext4", "disks": [driver(&["sd", "virtio_scsi", "virtio-pci"])] },
            "nics": [{ "name": "a", "mac": "", "state": "up", "drivers": ["virtio_net", "virtio-pci"] }],
            "addresses": [
                { "interface": null, "address": "10.0.2.192/24" }, { "interface": null, "address": "fe80::1/64" }
            ]
        });
        let timings = json!({
            "prepare_ms": 1, "firmware_to_kernel_ms": null, "kernel_to_init_ms": null, "init_to_multi_user_ms": null,
            "run_ms": 41_001
        });
        let run = json!({
            "hypervisor": "QEMU", "accelerator": "tcg", "accelerator_reason": "", "timings": timings, "console": [],
            "hardware": {
                "machine": "q35", "firmware": "BIOS", "cpus": 1, "memory_mib": 1, "disks": [], "nics": [], "stand_ins": []
            },
            "preparation": { "report": null, "reason": null, "console_added": [] }
        });
        let booted = json!({ "judged_by": "report", "facts": facts, "concerns": [] });
        let document = json!({
            "format": 1, "grade": "booted-equivalent", "control": false, "guest": { "name": "a", "os": null },
            "disks": [], "profile": "kvm", "profile_version": 1, "release": null, "anyvisor": "0.1.0",
            "finished": "2026-11-23T06:00:00Z", "drivers": null, "run": run, "not_booted": null,
            "outcome": { "booted": booted }
        });
        serde_json::from_value(document).unwrap()
    }

    fn first() -> Row {
        row::all().into_iter().find(|row| row.name() == "debian12-bios--kvm").unwrap()
    }

    fn signed() -> Seal {
        Seal::Signed("k".into())
    }

    #[test]
    fn evidence_is_read() {
        let known = known(Some(&evidence()), &first(), signed(), Vec::new());
        assert_eq!(known.drivers, ["virtio_scsi", "virtio_net"]);
        assert_eq!(known.addresses, ["10.0.2.192/24"]);
        assert_eq!((known.seconds, known.day.as_str()), (Some(42), "2026-11-23"));
        assert!(known.counts());
    }

    #[test]
    fn evidence_of_another_row_does_not_count() {
        let (evidence, control) = (evidence(), Row { control: true, ..first() });
        assert!(!known(Some(&evidence), &control, signed(), Vec::new()).counts());
        assert!(!known(Some(&evidence), &first(), Seal::Unsigned, Vec::new()).counts());
        assert!(!known(Some(&evidence), &first(), signed(), vec!["the code"]).counts());
        assert!(!known(None, &first(), Seal::Broken, Vec::new()).counts());
    }

    #[test]
    fn a_seal_is_what_its_signature_says() {
        let key = signed::Key::from_seed(&[7; 32]);
        let document = signed::sign(&evidence(), &key).unwrap();
        assert_eq!(seal(document.as_bytes()), Seal::Signed(key.public().to_string()));
        assert_eq!(seal(document.replace("booted-equivalent", "booted").as_bytes()), Seal::Broken);
        assert_eq!(seal(&serde_json::to_vec(&evidence()).unwrap()), Seal::Unsigned);
    }
}
