//! The settings that a [`Machine`] has no fields for: kept by their path, and the harmless ones written back.

use super::document::Settings;
use crate::text::excerpt;
use crate::xml::Element;
use machine::{Loss, Machine, Property, Severity};
use roxmltree::Node;

/// A setting whose value is only of interest when it is not the usual one.
struct Setting {
    /// Its path below `Machine`.
    path: &'static str,
    /// What a machine of ours has, or what VirtualBox takes when it is not there.
    usual: &'static str,
    /// What may be written back; nothing where the setting could reach into a host.
    values: &'static [&'static str],
}

const fn setting(path: &'static str, usual: &'static str, values: &'static [&'static str]) -> Setting {
    Setting { path, usual, values }
}

const SWITCH: &[&str] = &["true", "false"];

/// Settings with a usual value, in the order in which they are written.
const SETTINGS: [Setting; 21] = [
    setting("Hardware/CPU/PAE/@enabled", "true", SWITCH),
    setting("Hardware/CPU/LongMode/@enabled", "true", SWITCH),
    setting("Hardware/CPU/X2APIC/@enabled", "true", SWITCH),
    setting("Hardware/CPU/HardwareVirtExLargePages/@enabled", "true", SWITCH),
    setting("Hardware/CPU/NestedHWVirt/@enabled", "false", SWITCH),
    setting("Hardware/HID/@Pointing", "PS2Mouse", &["PS2Mouse", "USBMouse", "USBTablet", "ComboMouse"]),
    setting("Hardware/HID/@Keyboard", "PS2Keyboard", &["PS2Keyboard", "USBKeyboard", "ComboKeyboard"]),
    setting("Hardware/HPET/@enabled", "false", SWITCH),
    setting("Hardware/Chipset/@type", "PIIX3", &["PIIX3", "ICH9"]),
    setting(
        "Hardware/Paravirt/@provider",
        "Default",
        &["None", "Default", "Legacy", "Minimal", "HyperV", "KVM"],
    ),
    setting("Hardware/BIOS/ACPI/@enabled", "true", SWITCH),
    setting("Hardware/BIOS/IOAPIC/@enabled", "true", SWITCH),
    setting("@snapshotFolder", "Snapshots", &[]),
    setting("@aborted", "false", &[]),
    setting("@nameSync", "true", &[]),
    setting("Hardware/@version", "2", &[]),
    setting("Hardware/Network/Adapter/@speed", "0", &[]),
    setting("Hardware/StorageControllers/StorageController/@Bootable", "true", &[]),
    setting("Hardware/StorageControllers/StorageController/AttachedDevice/@hotpluggable", "false", &[]),
    setting("Hardware/StorageControllers/StorageController/AttachedDevice/@passthrough", "false", &[]),
    setting("Hardware/AudioAdapter/@enabled", "false", &[]),
];

/// What other modules read, or what says nothing: paths below `Machine`, and with a `/` at the end all that is below.
const READ: [&str; 46] = [
    "@uuid",
    "@name",
    "@OSType",
    "@lastStateChange",
    "@currentSnapshot",
    "@currentStateModified",
    "@stateFile",
    "Description",
    "MediaRegistry/",
    "Snapshot/",
    "Hardware/@uuid",
    "Hardware/CPU/@count",
    "Hardware/CPU/@hotplug",
    "Hardware/CPU/CpuTree/",
    "Hardware/Memory/@RAMSize",
    "Hardware/Firmware/@type",
    "Hardware/Boot/",
    "Hardware/Display/@controller",
    "Hardware/Display/@VRAMSize",
    "Hardware/BIOS/NVRAM/@path",
    "Hardware/BIOS/SmbiosUuidLittleEndian/@enabled",
    "Hardware/TrustedPlatformModule/@type",
    "Hardware/TrustedPlatformModule/@location",
    "Hardware/USB/Controllers/",
    "Hardware/USBController/@enabled",
    "Hardware/USBController/@enabledEhci",
    "Hardware/RTC/@localOrUTC",
    "Hardware/UART/",
    "Hardware/Network/Adapter/@slot",
    "Hardware/Network/Adapter/@enabled",
    "Hardware/Network/Adapter/@MACAddress",
    "Hardware/Network/Adapter/@cable",
    "Hardware/Network/Adapter/@type",
    // The networks that a card is not connected to.
    "Hardware/Network/Adapter/DisabledModes/",
    "Hardware/Network/Adapter/NAT/",
    "Hardware/StorageControllers/StorageController/@type",
    "Hardware/StorageControllers/StorageController/@PortCount",
    "Hardware/StorageControllers/StorageController/@useHostIOCache",
    "Hardware/StorageControllers/StorageController/AttachedDevice/@type",
    "Hardware/StorageControllers/StorageController/AttachedDevice/@port",
    "Hardware/StorageControllers/StorageController/AttachedDevice/@device",
    "Hardware/StorageControllers/StorageController/AttachedDevice/@nonrotational",
    "Hardware/StorageControllers/StorageController/AttachedDevice/Image/",
    "Hardware/StorageControllers/StorageController/AttachedDevice/HostDrive/",
    // When and by whom a property of the guest was set.
    "Hardware/GuestProperties/GuestProperty/@timestamp",
    "Hardware/GuestProperties/GuestProperty/@flags",
];

/// Devices and services that do not move, by a path that says that they are there.
const LEFT: [(&str, &str, Severity, &str); 7] = [
    ("Hardware/AudioAdapter/@enabled", "true", Severity::Change, "sound cards are not carried over"),
    ("Hardware/LPT/Port/@enabled", "true", Severity::Warning, "parallel ports are not carried over"),
    ("Hardware/RemoteDisplay/@enabled", "true", Severity::Note, "the target has its own remote display"),
    ("Hardware/Display/@accelerate3D", "true", Severity::Change, "3D acceleration is not carried over"),
    (
        "Hardware/SharedFolders/SharedFolder/@hostPath",
        "",
        Severity::Warning,
        "shared folders are VirtualBox's own: share them over the network",
    ),
    (
        "Hardware/HostPci/Devices/Device/@host",
        "",
        Severity::Warning,
        "a device of the source's host does not move with the machine",
    ),
    (
        "Hardware/USB/DeviceFilters/DeviceFilter/@active",
        "true",
        Severity::Note,
        "USB devices of the source's host are not passed on",
    ),
];

/// How deep, how long and how many settings may be that are kept.
const MAX_DEPTH: usize = 10;
const MAX_PATH: usize = 400;
const MAX_VALUE: usize = 4096;
const MAX_SETTINGS: usize = 4096;

/// An element to be looked at.
struct Open<'a> {
    node: Node<'a, 'a>,
    depth: usize,
    /// Its path, and its path with what tells it from its like in brackets.
    plain: String,
    shown: String,
}

/// Keeps every setting that nothing else reads; `understood` are the keys of extra data that something did.
pub(super) fn read(
    settings: &Settings<'_>,
    understood: &[String],
    machine: &mut Machine,
    losses: &mut Vec<Loss>,
) {
    let mut kept = std::mem::take(&mut machine.properties);
    let mut open =
        vec![Open { node: settings.machine, depth: 0, plain: String::new(), shown: String::new() }];
    let mut is_whole = true;
    while let Some(element) = open.pop() {
        is_whole &= element.keep(understood, &mut kept, losses);
        for node in element.node.children().filter(Node::is_element) {
            let below = element.below(node);
            if below.depth > MAX_DEPTH || below.shown.len() > MAX_PATH {
                is_whole = false;
            } else if !is_read(&format!("{}/", below.plain)) && !is_off(&below) {
                open.push(below);
            }
        }
    }
    if !is_whole {
        let why = "settings too many, too deep or too long for any of VirtualBox's are not kept";
        losses.push(Loss::dropped(Severity::Warning, "Machine", why));
    }
    kept.sort();
    machine.properties = kept;
}

fn is_read(path: &str) -> bool {
    READ.contains(&path)
}

/// Whether an element is a device that is switched off.
fn is_off(element: &Open<'_>) -> bool {
    let enabled = element.node.attribute("enabled");
    match element.plain.as_str() {
        "Hardware/Network/Adapter" => enabled != Some("true"),
        "Hardware/LPT/Port" => enabled == Some("false"),
        _ => false,
    }
}

impl<'a> Open<'a> {
    fn below(&self, node: Node<'a, 'a>) -> Open<'a> {
        let name = node.tag_name().name();
        let id = ["name", "slot", "id", "port"].iter().find_map(|key| node.attribute(*key));
        let join = |path: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        let mut plain = join(&self.plain);
        // Settings before 1.17 have the controllers beside the hardware.
        if plain == "StorageControllers" {
            plain = "Hardware/StorageControllers".to_owned();
        }
        let mut shown = join(&self.shown);
        if let Some(id) = id {
            shown = format!("{shown}[{}]", excerpt(id, 100));
        }
        Open { node, depth: self.depth + 1, plain, shown }
    }

    /// Keeps the element's own settings; whether all of them could be.
    fn keep(&self, understood: &[String], kept: &mut Vec<Property>, losses: &mut Vec<Loss>) -> bool {
        if self.plain == "ExtraData/ExtraDataItem"
            && self.node.attribute("name").is_some_and(|name| understood.iter().any(|key| key == name))
        {
            return true;
        }
        let name_tells = self.shown.ends_with(']');
        let mut is_whole = true;
        for attribute in self.node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            if name_tells && matches!(name, "name" | "slot" | "id") {
                continue;
            }
            let path = |of: &str| if of.is_empty() { format!("@{name}") } else { format!("{of}/@{name}") };
            let (plain, shown) = (path(&self.plain), path(&self.shown));
            let is_usual = || SETTINGS.iter().any(|known| known.path == plain && known.usual == value);
            if is_read(&plain) || is_usual() {
                continue;
            }
            let left = LEFT.iter().find(|(path, on, ..)| *path == plain && (on.is_empty() || *on == value));
            if let Some((_, _, severity, why)) = left {
                losses.push(Loss::dropped(*severity, shown.clone(), *why));
            }
            if is_secret(&shown) {
                losses.push(Loss::dropped(Severity::Note, shown, "a secret of the source's is not kept"));
            } else if kept.len() >= MAX_SETTINGS || value.len() > MAX_VALUE || shown.len() > MAX_PATH {
                is_whole = false;
            } else {
                kept.push(Property { dialect: "vbox".to_owned(), key: shown, value: value.to_owned() });
            }
        }
        is_whole
    }
}

/// Whether the value under that key may let someone in.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["password", "passwd", "secret", "keystore", "keyid", "token"].iter().any(|part| key.contains(part))
}

/// The value of a setting for a machine: its own where that may be written back, else the usual one.
fn value<'a>(machine: &'a Machine, setting: &'a Setting) -> &'a str {
    let own = machine.properties.iter().find(|own| own.dialect == "vbox" && own.key == setting.path);
    own.map(|own| own.value.as_str()).filter(|value| setting.values.contains(value)).unwrap_or(setting.usual)
}

/// The elements below `parent` that hold settings which are written, each with its attributes.
pub(super) fn elements(machine: &Machine, parent: &str) -> Vec<Element> {
    let mut elements: Vec<(&'static str, Element)> = Vec::new();
    for setting in SETTINGS.iter().filter(|setting| !setting.values.is_empty()) {
        let below = setting.path.strip_prefix(parent).and_then(|path| path.strip_prefix('/'));
        let Some((name, attribute)) = below.and_then(|path| path.split_once("/@")) else { continue };
        if name.contains('/') {
            continue;
        }
        let value = value(machine, setting);
        match elements.iter_mut().find(|(known, _)| *known == name) {
            Some((_, element)) => *element = std::mem::take(element).with(attribute, value),
            None => elements.push((name, Element::new(name).with(attribute, value))),
        }
    }
    elements.into_iter().map(|(_, element)| element).collect()
}
