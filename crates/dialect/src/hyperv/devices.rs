//! The devices of Hyper-V's tree of properties. Each instance has a section of its own, `_GUID_`; the manifest says of
//! which device it is an instance, in the order of the devices.

use super::facts::{
    ComPort, Controller, Facts, HardDrive, NetworkAdapter, RemovableDrive, RemovableDriveKind,
};
use super::tree::Tree;
use crate::text::excerpt;
use machine::{Loss, MacAddress, Severity};

/// The IDE controllers, which are one instance.
const IDE: &str = "_83f8638b-8dca-4152-9eda-2ca8b33039b4_";
/// The floppy controller.
const FLOPPY: &str = "_8f0d2762-0b00-4e04-af4f-19010527cb93_";
/// The serial ports, which are one instance.
const SERIAL: &str = "_8e3a359f-559a-4b6a-98a9-1690a6100ed7_";
/// The device whose instances are synthetic SCSI controllers.
const SCSI_DEVICE: &str = "d422512d-2bf2-4752-809d-7b82b5fcb1b4";
/// The device whose instances are synthetic network adapters.
const ADAPTER_DEVICE: &str = "2fc216b0-d2e2-4967-9b6d-b8a5c9ca2778";
/// The ports' settings of a virtual switch that hold the VLAN (Msvm_EthernetSwitchPortVlanSettingData).
const VLAN_FEATURE: &str = "Feature_952C5004-4465-451C-8CB8-FA9AB382B773";
/// The most devices that a manifest lists.
const MAX_DEVICES: u64 = 4096;

/// An instance of a device.
struct Instance {
    device: String,
    name: String,
    /// Where its properties are.
    section: String,
}

/// Reads the devices.
pub(super) fn read(tree: &mut Tree, facts: &mut Facts, losses: &mut Vec<Loss>) {
    let instances = manifest(tree);
    for number in 0..2 {
        drives(
            tree,
            Place { section: IDE, controller: number, kind: Controller::Ide, number },
            facts,
            losses,
        );
    }
    let scsi = instances.iter().filter(|instance| instance.device.eq_ignore_ascii_case(SCSI_DEVICE));
    for (instance, number) in scsi.zip(0..) {
        let place = Place { section: &instance.section, controller: 0, kind: Controller::Scsi, number };
        drives(tree, place, facts, losses);
    }
    floppy(tree, facts);
    for instance in &instances {
        adapter(tree, instance, facts, losses);
    }
    for number in 1..=2_u32 {
        if let Some(path) = tree.text(&format!("{SERIAL}/port{}/connection", number - 1)) {
            facts.com_ports.push(ComPort { number, path });
        }
    }
    facts.tpm = facts.generation == 2
        && instances
            .iter()
            .any(|instance| instance.name.contains("TPM") || instance.name.contains("Trusted Platform"));
}

/// The instances in the manifest's order.
fn manifest(tree: &mut Tree) -> Vec<Instance> {
    let count = tree.number("manifest/size").unwrap_or(0).min(MAX_DEVICES);
    let instance = |number: u64| {
        let at = |key: &str| format!("manifest/vdev{number:03}/{key}");
        let (device, instance) = (tree.text(&at("device"))?, tree.text(&at("instance"))?);
        let name = tree.text(&at("name")).unwrap_or_default();
        Some(Instance { device, name, section: format!("_{}_", instance.to_ascii_lowercase()) })
    };
    (1..=count).filter_map(instance).collect()
}

/// A controller: where its drives stand, and what it is for a machine.
struct Place<'a> {
    section: &'a str,
    /// Its number in the section.
    controller: u32,
    kind: Controller,
    /// Its number in the machine.
    number: u32,
}

fn drives(tree: &mut Tree, place: Place, facts: &mut Facts, losses: &mut Vec<Loss>) {
    let locations = if place.kind == Controller::Ide { 2 } else { 64 };
    for location in 0..locations {
        let drive = format!("{}/controller{}/drive{location}", place.section, place.controller);
        let Some(kind) = tree.text(&format!("{drive}/type")) else { continue };
        let pathname = format!("{drive}/pathname");
        let disk = HardDrive {
            controller_type: place.kind,
            controller_number: place.number,
            controller_location: location,
            ..HardDrive::default()
        };
        match kind.as_str() {
            "NONE" => {
                tree.take(&pathname);
            }
            "VHD" => match tree.text(&pathname) {
                Some(path) => {
                    let format = format_of(&path).map(str::to_owned);
                    facts.hard_drives.push(HardDrive { path: Some(path), format, ..disk });
                }
                None => {
                    let why = "no file is named for the disk";
                    losses.push(Loss::dropped(Severity::Warning, pathname, why));
                }
            },
            "ISO" => facts.removable_drives.push(RemovableDrive {
                kind: RemovableDriveKind::Dvd,
                controller_type: place.kind,
                controller_number: place.number,
                controller_location: location,
                path: tree.text(&pathname),
            }),
            "PHYSICAL" => {
                let why =
                    "a disk of the source's host does not move with the machine's files: copy its content";
                losses.push(Loss::dropped(Severity::Warning, pathname, why));
                facts.hard_drives.push(disk);
            }
            other => {
                let why = format!("a drive of the type {:?} does not move", excerpt(other, 40));
                losses.push(Loss::dropped(Severity::Warning, drive, why));
            }
        }
    }
}

/// The format that a disk's ending stands for; a differencing disk has an ending of its own.
fn format_of(path: &str) -> Option<&'static str> {
    let (_, ending) = path.rsplit_once('.')?;
    let is = |known: &str| ending.eq_ignore_ascii_case(known);
    match () {
        () if is("vhdx") || is("avhdx") => Some("vhdx"),
        () if is("vhd") || is("avhd") => Some("vhd"),
        () => None,
    }
}

/// Every machine of generation 1 has a floppy drive; it is one of the machine's only when there is something in it.
fn floppy(tree: &mut Tree, facts: &mut Facts) {
    let drive = format!("{FLOPPY}/controller0/drive0");
    tree.take(&format!("{drive}/type"));
    if let Some(path) = tree.text(&format!("{drive}/pathname")) {
        facts.removable_drives.push(RemovableDrive {
            kind: RemovableDriveKind::Floppy,
            controller_type: Controller::Ide,
            controller_number: 0,
            controller_location: 0,
            path: Some(path),
        });
    }
}

fn adapter(tree: &mut Tree, instance: &Instance, facts: &mut Facts, losses: &mut Vec<Loss>) {
    let at = |key: &str| format!("{}/{key}", instance.section);
    let is_legacy = !instance.device.eq_ignore_ascii_case(ADAPTER_DEVICE);
    let address = tree.text(&at("MacAddress"));
    // A legacy adapter is told by its address alone: other devices have none.
    if is_legacy && address.is_none() {
        return;
    }
    // A dynamic address stays the machine's own once it has one: the guest's configuration may hang on it.
    let static_mac_address =
        address.and_then(|text| text.parse::<MacAddress>().ok()).filter(|mac| mac.0 != [0; 6]);
    let mut switch_name = None;
    if tree.flag(&at("IsConnected")) {
        // The switch by the administrator's name, else by its identifier.
        let (name, identifier) = (tree.text(&at("Connection/AltSwitchName")), tree.text(&at("SwitchName")));
        switch_name = name.or(identifier);
        if switch_name.is_none() {
            let why = "the adapter is connected to a switch that is not named";
            losses.push(Loss::dropped(Severity::Warning, at("SwitchName"), why));
        }
    }
    if tree.has(&at(&format!("Connection/{VLAN_FEATURE}"))) {
        let why =
            "the port of the virtual switch has a VLAN, in a form that is not read: set it on the target";
        losses.push(Loss::dropped(Severity::Warning, at("Connection/VLAN"), why));
    }
    facts.network_adapters.push(NetworkAdapter { is_legacy, static_mac_address, switch_name, vlan_id: None });
}
