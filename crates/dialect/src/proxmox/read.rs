//! From a `.conf` to a [`Machine`].

use super::document::Document;
use super::error::Error;
use super::{boot, drives, nics, system};
use crate::Parsed;
use machine::{Loss, Machine, Severity};

/// Reads a configuration, as it is now: snapshots and pending changes are losses.
///
/// # Errors
/// When the bytes are no such file, or when a value that the machine depends on (processors, memory) is wrong.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    let mut losses = Vec::new();
    let mut document = Document::parse(bytes, &mut losses)?;
    let mut machine = Machine { notes: document.notes(), ..Machine::default() };
    system::read(&mut document, &mut machine, &mut losses)?;
    let disks = drives::read(&mut document, &mut machine, &mut losses);
    let cards = nics::read(&mut document, &mut machine, &mut losses);
    boot::read(&mut document, &mut machine, &disks, &cards, &mut losses);
    report(&document, &mut losses);
    machine.properties = document.into_properties();
    Ok(Parsed { machine, losses })
}

/// Settings that have no place in a machine and that somebody may miss.
const MISSED: [(&str, Severity, &str); 6] = [
    ("args", Severity::Warning, "further arguments for QEMU are not carried over"),
    ("hookscript", Severity::Change, "a script of the source's host does not move"),
    ("lock", Severity::Change, "the machine was locked by an operation: it may not be finished"),
    ("template", Severity::Note, "it is a template; the target makes a machine of it"),
    ("audio0", Severity::Change, "sound cards are not carried over"),
    ("rng0", Severity::Note, "whether there is a random number generator is the target's to decide"),
];

fn report(document: &Document, losses: &mut Vec<Loss>) {
    for (key, severity, why) in MISSED {
        if document.peek(key).is_some() {
            losses.push(Loss::dropped(severity, key, why));
        }
    }
    for (key, last, why) in [
        ("hostpci", 15, "a device of the source's host does not move with the machine"),
        ("usb", 13, "a USB device of the source's host does not move with the machine"),
        ("parallel", 2, "parallel ports are not carried over"),
        ("virtiofs", 9, "a directory of the source's host does not move with the machine"),
    ] {
        for number in document.numbers(key, last) {
            losses.push(Loss::dropped(Severity::Warning, format!("{key}{number}"), why));
        }
    }
    if document.peek("arch").is_some_and(|arch| arch != "x86_64") {
        let why = "only machines with x86-64 processors are moved";
        losses.push(Loss::dropped(Severity::Warning, "arch", why));
    }
}
