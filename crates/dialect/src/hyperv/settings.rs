//! From Hyper-V's tree of properties to its [`Facts`].

use super::devices;
use super::error::Error;
use super::facts::{Facts, KeptProperty, SecureBoot, StartupDevice};
use super::tree::Tree;
use crate::Parsed;
use crate::text::excerpt;
use machine::{Loss, Severity};
use uuid::Uuid;

/// The longest value that is kept as a property, in bytes.
const LONGEST_KEPT: usize = 4096;

/// The machine that the properties describe. What is not read is kept.
pub(super) fn machine(mut tree: Tree) -> Result<Parsed, Error> {
    let mut losses = Vec::new();
    let mut facts = Facts::default();
    identity(&mut tree, &mut facts);
    processors_and_memory(&mut tree, &mut facts)?;
    firmware(&mut tree, &mut facts, &mut losses);
    devices::read(&mut tree, &mut facts, &mut losses);
    report(&mut tree, &facts, &mut losses);
    facts.check()?;
    facts.properties = kept(tree, &mut losses);
    Ok(Parsed { machine: facts.machine(), losses })
}

fn identity(tree: &mut Tree, facts: &mut Facts) {
    facts.name = tree.text("properties/name").unwrap_or_default();
    facts.notes = tree.text("properties/notes");
    // The subtype came with generation 2, as 1.
    facts.generation = if tree.number("properties/subtype") == Some(1) { 2 } else { 1 };
}

fn processors_and_memory(tree: &mut Tree, facts: &mut Facts) -> Result<(), Error> {
    let mut number = |path: &str, expected| {
        tree.number(path).ok_or_else(|| Error::Value {
            key: path.to_owned(),
            value: "missing".to_owned(),
            expected,
        })
    };
    let count = number("settings/processors/count", "a number of processors")?;
    facts.processor_count = u32::try_from(count).unwrap_or(u32::MAX);
    let mib = number("settings/memory/bank/size", "a size in MiB")?;
    facts.memory_startup_bytes = mib.saturating_mul(1 << 20);
    // 0 leaves it to the host.
    let threads =
        tree.number("settings/processors/hwthreads").and_then(|threads| u32::try_from(threads).ok());
    facts.hw_thread_count_per_core = threads.filter(|&threads| threads > 0);
    if tree.flag("settings/memory/bank/dynamic_memory_enabled") {
        let most = tree.number("settings/memory/bank/limit").map(|mib| mib.saturating_mul(1 << 20));
        facts.memory_maximum_bytes = most.filter(|&most| most > facts.memory_startup_bytes);
    }
    Ok(())
}

/// What the virtual BIOS or UEFI says, whose device identifier differs between generations.
fn firmware(tree: &mut Tree, facts: &mut Facts, losses: &mut Vec<Loss>) {
    let Some(section) = tree.sections_with("bios_guid").into_iter().next() else { return };
    let at = |key: &str| format!("{section}/{key}");
    if let Some(text) = tree.text(&at("bios_guid")) {
        facts.bios_guid = Uuid::parse_str(text.trim()).ok();
        if facts.bios_guid.is_none() {
            let why = format!("{:?} is no GUID", excerpt(&text, 60));
            losses.push(Loss::dropped(Severity::Warning, at("bios_guid"), why));
        }
    }
    facts.bios_serial_number = tree.text(&at("bios_serial_number"));
    facts.chassis_asset_tag = tree.text(&at("chassis/asset_tag"));
    if tree.flag(&at("secure_boot_enabled")) && facts.generation == 2 {
        // The template stays a property, by its identifier.
        facts.secure_boot = Some(SecureBoot { template: None });
    }
    for index in 0..8 {
        let path = at(&format!("boot/device{index}"));
        let Some(name) = tree.text(&path) else { continue };
        match STARTUP.iter().find(|(known, _)| *known == name) {
            Some((_, device)) => facts.startup_order.push(*device),
            None => {
                let why = format!("{:?} is no kind of device to start from", excerpt(&name, 40));
                losses.push(Loss::dropped(Severity::Note, path, why));
            }
        }
    }
}

/// What a configuration calls the kinds of devices from which a BIOS starts.
const STARTUP: [(&str, StartupDevice); 4] = [
    ("Optical", StartupDevice::Cd),
    ("HardDrive", StartupDevice::Ide),
    ("Network", StartupDevice::LegacyNetworkAdapter),
    ("Floppy", StartupDevice::Floppy),
];

/// Says what a machine cannot hold.
fn report(tree: &mut Tree, facts: &Facts, losses: &mut Vec<Loss>) {
    if facts.generation == 2 {
        let why =
            "generation 2 keeps the boot order in UEFI variables, which are not read: the first disk starts";
        losses.push(Loss::dropped(Severity::Note, "boot order", why));
    }
    let snapshots = "global_settings/snapshots/list/size";
    if let Some(count) = tree.number(snapshots).filter(|&count| count > 0) {
        let why = format!("there are {count} checkpoints; the machine moves as it is now");
        losses.push(Loss::dropped(Severity::Change, snapshots, why));
    }
    if tree.has("settings/savedstate") || tree.has("savedstate") {
        let why =
            "a saved state does not move: if the machine was saved, its disks are as after a power failure";
        losses.push(Loss::dropped(Severity::Warning, "savedstate", why));
    }
}

/// What nothing reads, for the way back.
fn kept(tree: Tree, losses: &mut Vec<Loss>) -> Vec<KeptProperty> {
    let mut kept = Vec::new();
    for (key, value) in tree.into_rest() {
        let value = value.to_string();
        if value.len() > LONGEST_KEPT {
            let why = format!("a value of {} characters is too long to keep", value.len());
            losses.push(Loss::dropped(Severity::Note, key, why));
            continue;
        }
        kept.push(KeptProperty { key, value });
    }
    kept
}
