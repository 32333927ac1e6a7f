//! The virtual systems of a descriptor, of which one is read (DSP0243 2.1.1, clauses 7.2 and 7.3).

use super::document::{Document, attribute, child_text, kind};
use super::{Error, FileReference, Result, VirtualDisk};
use machine::{Firmware, Machine};
use roxmltree::Node;
use std::collections::{BTreeMap, BTreeSet};

/// The most machines that are named when one has to be chosen.
const MAX_NAMED: usize = 256;
/// The longest name by which a machine is chosen, in bytes; one with a longer name is chosen by its identifier.
const MAX_NAME: usize = 200;

/// The virtual system that is wanted, and how many others there are. Where there is but one, it is that.
pub(super) fn choose<'a>(document: &Document<'a>, wanted: Option<&str>) -> Result<(Node<'a, 'a>, usize)> {
    let systems = all(document);
    match systems.as_slice() {
        [] => return Err(Error::NoSystem),
        [system] => return Ok((*system, 0)),
        _ => {}
    }
    let names = names(&systems);
    let Some(wanted) = wanted else { return Err(Error::SeveralSystems { names }) };
    let by_id = systems.iter().find(|system| attribute(**system, "id") == Some(wanted));
    let mut by_name = systems.iter().filter(|system| system_name(**system) == wanted);
    let only = by_name.next().filter(|_| by_name.next().is_none());
    let chosen = by_id.or(only);
    let chosen = chosen.ok_or_else(|| Error::NoSuchSystem { wanted: wanted.to_owned(), names })?;
    Ok((*chosen, systems.len() - 1))
}

/// Every virtual system, however deep in collections it lies.
fn all<'a>(document: &Document<'a>) -> Vec<Node<'a, 'a>> {
    let (mut found, mut left) = (Vec::new(), vec![document.root()]);
    while let Some(node) = left.pop() {
        match kind(node) {
            "VirtualSystem" => found.push(node),
            "VirtualSystemCollection" | "Envelope" => left.extend(node.children().rev()),
            _ => {}
        }
    }
    found
}

/// What each is chosen by: its name, where no other has it, else its identifier.
fn names(systems: &[Node]) -> Vec<String> {
    let is_plain =
        |name: &str| !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control);
    // How many answer to a name, as their name or their identifier.
    let mut answering: BTreeMap<String, usize> = BTreeMap::new();
    for system in systems {
        let id = attribute(*system, "id").map(str::to_owned);
        for name in BTreeSet::from_iter(id.into_iter().chain([system_name(*system)])) {
            *answering.entry(name).or_default() += 1;
        }
    }
    let called = systems.iter().take(MAX_NAMED).map(|system| {
        let name = system_name(*system);
        let id = attribute(*system, "id").filter(|id| !id.is_empty());
        if is_plain(&name) && answering.get(&name) == Some(&1) {
            name
        } else {
            id.map_or(name, str::to_owned)
        }
    });
    called.collect()
}

/// The name for people, else the identifier.
pub(super) fn system_name(system: Node) -> String {
    child_text(system, "Name").or_else(|| attribute(system, "id").map(str::to_owned)).unwrap_or_default()
}

/// Keeps the files and disks that `machine` has.
pub(super) fn leave_others_alone(
    machine: &Machine,
    files: &mut Vec<FileReference>,
    disks: &mut Vec<VirtualDisk>,
) {
    let nvram = match &machine.firmware {
        Firmware::Uefi(uefi) => uefi.nvram.as_ref(),
        Firmware::Bios => None,
    };
    let images = machine.disks.iter().filter_map(|disk| disk.source.as_ref());
    let media = machine.removables.iter().filter_map(|drive| drive.medium.as_ref());
    let used: BTreeSet<&str> = images.chain(media).chain(nvram).map(String::as_str).collect();
    files.retain(|file| used.contains(file.href.as_str()));
    disks.retain(|disk| disk.file.as_ref().is_some_and(|file| used.contains(file.href.as_str())));
}
