//! The rules of the APIs `kubevirt.io/v1` and `cdi.kubevirt.io/v1beta1` for the fields that are written, as data, and of
//! their admission (KubeVirt's `validateDisks`, `validateInterfaces`).

use serde_json::Value;
use std::collections::BTreeSet;

/// What a field may be.
enum Kind {
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A name as RFC 1123 has labels.
    Label,
    /// The name of a NetworkAttachmentDefinition, with a namespace or without.
    Definition,
    /// A number of bytes with its unit.
    Quantity,
    /// Letters, digits and `_.+-`.
    Serial,
    /// An identifier.
    Uuid,
    /// A hardware address.
    Mac,
    /// A number of one and more.
    Number,
    /// A truth value.
    Truth,
    /// Any text.
    Text,
    /// An object without fields.
    Empty,
}

use Kind::{Definition, Empty, Label, Mac, Number, OneOf, Quantity, Serial, Text, Truth, Uuid};

const DOMAIN: &str = "spec.template.spec.domain";

/// Every field of a VirtualMachine that is written; what begins with a dot is below the domain. `[]` is any item of a list.
static MACHINE: &[(&str, Kind)] = &[
    ("apiVersion", OneOf(&["kubevirt.io/v1"])),
    ("kind", OneOf(&["VirtualMachine"])),
    ("metadata.name", Label),
    ("metadata.annotations.anyvisor/name", Text),
    ("metadata.annotations.kubernetes.io/description", Text),
    ("metadata.annotations.vm.kubevirt.io/os", Text),
    ("spec.runStrategy", OneOf(&["Always", "RerunOnFailure", "Manual", "Halted", "Once"])),
    ("spec.template.metadata.labels.kubevirt.io/vm", Label),
    (".machine.type", OneOf(&["q35", "pc"])),
    (".cpu.sockets", Number),
    (".cpu.cores", Number),
    (".cpu.threads", Number),
    (".cpu.maxSockets", Number),
    (".memory.guest", Quantity),
    (".firmware.uuid", Uuid),
    (".firmware.serial", Serial),
    (".firmware.bootloader.bios", Empty),
    (".firmware.bootloader.efi.secureBoot", Truth),
    (".chassis.asset", Text),
    (".clock.utc", Empty),
    (".clock.timer.rtc.tickPolicy", OneOf(&["delay", "catchup"])),
    (".clock.timer.pit.tickPolicy", OneOf(&["delay", "catchup", "discard"])),
    (".clock.timer.hpet.present", Truth),
    (".clock.timer.hyperv.present", Truth),
    (".features.acpi", Empty),
    (".features.apic", Empty),
    (".features.smm.enabled", Truth),
    (".features.hyperv.relaxed", Empty),
    (".features.hyperv.vapic", Empty),
    (".features.hyperv.spinlocks.spinlocks", Number),
    (".devices.disks[].name", Label),
    (".devices.disks[].disk.bus", OneOf(&["virtio", "sata", "scsi", "usb"])),
    (".devices.disks[].disk.readonly", Truth),
    (".devices.disks[].bootOrder", Number),
    (".devices.disks[].serial", Serial),
    (".devices.disks[].cache", OneOf(&["none", "writethrough", "writeback"])),
    (".devices.disks[].shareable", Truth),
    (".devices.interfaces[].name", Label),
    (
        ".devices.interfaces[].model",
        OneOf(&["e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139", "virtio"]),
    ),
    (".devices.interfaces[].macAddress", Mac),
    (".devices.interfaces[].bridge", Empty),
    (".devices.interfaces[].masquerade", Empty),
    (".devices.interfaces[].bootOrder", Number),
    (".devices.interfaces[].state", OneOf(&["absent", "up", "down"])),
    (".devices.inputs[].name", Label),
    (".devices.inputs[].type", OneOf(&["tablet", "keyboard"])),
    (".devices.inputs[].bus", OneOf(&["usb", "virtio"])),
    (".devices.autoattachPodInterface", Truth),
    (".devices.autoattachGraphicsDevice", Truth),
    (".devices.autoattachSerialConsole", Truth),
    (".devices.tpm.persistent", Truth),
    (".devices.rng", Empty),
    ("spec.template.spec.networks[].name", Label),
    ("spec.template.spec.networks[].pod", Empty),
    ("spec.template.spec.networks[].multus.networkName", Definition),
    ("spec.template.spec.volumes[].name", Label),
    ("spec.template.spec.volumes[].dataVolume.name", Label),
];

/// Every field of a DataVolume that is written.
static VOLUME: &[(&str, Kind)] = &[
    ("apiVersion", OneOf(&["cdi.kubevirt.io/v1beta1"])),
    ("kind", OneOf(&["DataVolume"])),
    ("metadata.name", Label),
    ("metadata.annotations.cdi.kubevirt.io/storage.bind.immediate.requested", OneOf(&["true"])),
    ("spec.source.upload", Empty),
    ("spec.storage.resources.requests.storage", Quantity),
    ("spec.storage.storageClassName", Text),
];

/// What must be there.
const REQUIRED: [&str; 4] = ["apiVersion", "kind", "metadata.name", "spec"];

/// A quantity in bytes.
pub fn bytes(text: &str) -> u64 {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        unit => panic!("{unit} is no unit"),
    };
    digits.parse::<u64>().unwrap() * unit
}

fn is_label(text: &str) -> bool {
    let is_plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    (1..=63).contains(&text.len())
        && text.chars().all(is_plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl Kind {
    fn allows(&self, value: &Value) -> bool {
        let text = value.as_str();
        let is = |test: &dyn Fn(&str) -> bool| text.is_some_and(test);
        match self {
            OneOf(known) => is(&|text| known.contains(&text)),
            Label => is(&is_label),
            Definition => is(&|text| text.split('/').count() <= 2 && text.split('/').all(is_label)),
            Quantity => is(&|text| bytes(text) > 0),
            Serial => is(&|text| {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
                (1..=256).contains(&text.len()) && text.chars().all(is_plain)
            }),
            Uuid => is(&|text| uuid::Uuid::try_parse(text).is_ok()),
            Mac => is(&|text| text.parse::<machine::MacAddress>().is_ok_and(|mac| mac.0[0] & 1 == 0)),
            Number => value.as_u64().is_some_and(|number| (1..=u64::from(u32::MAX)).contains(&number)),
            Truth => value.is_boolean(),
            Text => value.is_string(),
            Empty => value.as_object().is_some_and(serde_json::Map::is_empty),
        }
    }
}

/// Sees that a document keeps the rules.
pub fn check(document: &Value, stream: &str) {
    let rules = if document["kind"] == "VirtualMachine" { MACHINE } else { VOLUME };
    for path in REQUIRED {
        let found = path.split('.').try_fold(document, |value, key| value.get(key));
        assert!(found.is_some(), "{path} is missing\n{stream}");
    }
    walk("", document, rules, stream);
}

fn walk(path: &str, value: &Value, rules: &[(&str, Kind)], stream: &str) {
    let found = rules.iter().find(|(known, _)| match known.strip_prefix('.') {
        Some(below) => path == format!("{DOMAIN}.{below}"),
        None => path == *known,
    });
    match (found, value) {
        (Some((_, kind)), value) => assert!(kind.allows(value), "{path} is {value}\n{stream}"),
        (None, Value::Object(fields)) if !fields.is_empty() => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(&path, value, rules, stream);
            }
        }
        (None, Value::Array(items)) => {
            items.iter().for_each(|item| walk(&format!("{path}[]"), item, rules, stream));
        }
        (None, value) => panic!("{path} is no field of the API: {value}\n{stream}"),
    }
}

/// Sees that names are used once, and that what is referred to is there.
pub fn check_references(documents: &[Value], stream: &str) {
    let spec = &documents.last().unwrap()["spec"]["template"]["spec"];
    let names = |list: &Value, key: &[&str]| -> Vec<String> {
        let name = |item: &Value| {
            let found = key.iter().try_fold(item, |value, key| value.get(*key));
            found.and_then(Value::as_str).map(str::to_owned)
        };
        list.as_array().map(|list| list.iter().filter_map(name).collect()).unwrap_or_default()
    };
    let devices = &spec["domain"]["devices"];
    let (disks, volumes) = (names(&devices["disks"], &["name"]), names(&spec["volumes"], &["name"]));
    assert_eq!(disks, volumes, "{stream}");
    assert_eq!(names(&devices["interfaces"], &["name"]), names(&spec["networks"], &["name"]), "{stream}");
    let (_, uploads) = documents.split_last().unwrap();
    let uploads: Vec<String> =
        uploads.iter().map(|volume| volume["metadata"]["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names(&spec["volumes"], &["dataVolume", "name"]), uploads, "{stream}");
    for names in [disks, uploads, names(&devices["interfaces"], &["name"])] {
        let once: BTreeSet<&String> = names.iter().collect();
        assert_eq!(once.len(), names.len(), "{stream}");
    }
    let pods = spec["networks"].as_array().unwrap().iter().filter(|network| network.get("pod").is_some());
    assert!(pods.count() <= 1, "{stream}");
    let orders = ["disks", "interfaces"].into_iter().flat_map(|list| devices[list].as_array().unwrap());
    let orders: Vec<u64> = orders.filter_map(|device| device["bootOrder"].as_u64()).collect();
    assert_eq!(orders.iter().collect::<BTreeSet<_>>().len(), orders.len(), "{stream}");
}
