//! The rules of VirtualBox's `VirtualBox-settings.xsd` for the elements that are written, as data, with what its
//! program reads beyond the schema (`TrustedPlatformModule`, `X2APIC`, `hotplug`).

use roxmltree::{Document, Node};

/// What a value may be.
enum Value {
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A number from one to another.
    Number(u64, u64),
    /// An identifier in braces that is not nil.
    Uuid,
    /// Twelve hexadecimal digits of a single card's address.
    Mac,
    /// A number in hexadecimal digits after `0x`.
    Hex,
    /// Text that is not empty.
    Text,
    /// Any text.
    Any,
}

use Value::{Any, Hex, Mac, Number, OneOf, Text, Uuid};

const SWITCH: Value = OneOf(&["true", "false"]);

/// An element.
struct Rule {
    /// Its name, and its parent's where that tells two apart.
    name: &'static str,
    /// Attributes that must be there, and that may.
    required: &'static [(&'static str, Value)],
    optional: &'static [(&'static str, Value)],
    /// Elements below it.
    children: &'static [&'static str],
}

const DEVICES: &[&str] = &["None", "Floppy", "DVD", "HardDisk", "Network"];
const MEDIUM_TYPES: &[&str] =
    &["Normal", "Immutable", "Writethrough", "Shareable", "Readonly", "MultiAttach"];
const CONTROLLERS: &[&str] = &[
    "AHCI",
    "LsiLogic",
    "BusLogic",
    "PIIX3",
    "PIIX4",
    "ICH6",
    "LsiLogicSas",
    "I82078",
    "USB",
    "NVMe",
    "VirtioSCSI",
];
const CARDS: &[&str] = &["Am79C970A", "Am79C973", "Am79C960", "82540EM", "82543GC", "82545EM", "virtio"];
const GRAPHICS: &[&str] = &["None", "VBoxVGA", "VMSVGA", "VBoxSVGA", "VGAWithVirtioGPU", "VirtioGPU"];

const fn switch(name: &'static str) -> Rule {
    Rule { name, required: &[], optional: &[("enabled", SWITCH)], children: &[] }
}

const fn list(name: &'static str, children: &'static [&'static str]) -> Rule {
    Rule { name, required: &[], optional: &[], children }
}

const fn named(name: &'static str) -> Rule {
    Rule { name, required: &[], optional: &[("name", Any)], children: &[] }
}

static RULES: &[Rule] = &[
    Rule { name: "VirtualBox", required: &[("version", Text)], optional: &[], children: &["Machine"] },
    Rule {
        name: "Machine",
        required: &[("name", Text), ("OSType", Text), ("uuid", Uuid)],
        optional: &[("snapshotFolder", Text)],
        children: &["MediaRegistry", "Description", "Hardware", "ExtraData"],
    },
    list("Description", &[]),
    list("MediaRegistry", &["HardDisks", "DVDImages", "FloppyImages"]),
    list("HardDisks", &["HardDisk"]),
    list("DVDImages", &["Image"]),
    list("FloppyImages", &["Image"]),
    Rule {
        name: "HardDisk",
        required: &[("uuid", Uuid), ("location", Text), ("format", Text), ("type", OneOf(MEDIUM_TYPES))],
        optional: &[],
        children: &[],
    },
    Rule {
        name: "DVDImages/Image",
        required: &[("uuid", Uuid), ("location", Text)],
        optional: &[],
        children: &[],
    },
    Rule {
        name: "FloppyImages/Image",
        required: &[("uuid", Uuid), ("location", Text)],
        optional: &[],
        children: &[],
    },
    Rule { name: "Image", required: &[("uuid", Uuid)], optional: &[], children: &[] },
    list("ExtraData", &["ExtraDataItem"]),
    Rule { name: "ExtraDataItem", required: &[("name", Text), ("value", Any)], optional: &[], children: &[] },
    Rule {
        name: "Hardware",
        required: &[],
        optional: &[("uuid", Uuid)],
        children: &[
            "CPU",
            "Memory",
            "Firmware",
            "HID",
            "HPET",
            "Chipset",
            "Paravirt",
            "Boot",
            "Display",
            "BIOS",
            "TrustedPlatformModule",
            "USB",
            "Network",
            "UART",
            "AudioAdapter",
            "RTC",
            "StorageControllers",
        ],
    },
    Rule {
        name: "CPU",
        required: &[("count", Number(1, 64))],
        optional: &[("hotplug", SWITCH)],
        children: &["PAE", "LongMode", "X2APIC", "HardwareVirtExLargePages", "NestedHWVirt", "CpuTree"],
    },
    switch("PAE"),
    switch("LongMode"),
    switch("X2APIC"),
    switch("HardwareVirtExLargePages"),
    switch("NestedHWVirt"),
    list("CpuTree", &["Cpu"]),
    Rule { name: "Cpu", required: &[("id", Number(0, 63))], optional: &[], children: &[] },
    Rule { name: "Memory", required: &[("RAMSize", Number(4, 2_097_152))], optional: &[], children: &[] },
    Rule {
        name: "Firmware",
        required: &[("type", OneOf(&["BIOS", "EFI", "EFI32", "EFI64", "EFIDUAL"]))],
        optional: &[],
        children: &[],
    },
    Rule {
        name: "HID",
        required: &[],
        optional: &[
            ("Pointing", OneOf(&["USBMouse", "USBTablet", "PS2Mouse", "ComboMouse"])),
            ("Keyboard", OneOf(&["USBKeyboard", "PS2Keyboard", "ComboKeyboard"])),
        ],
        children: &[],
    },
    switch("HPET"),
    Rule { name: "Chipset", required: &[("type", OneOf(&["PIIX3", "ICH9"]))], optional: &[], children: &[] },
    Rule {
        name: "Paravirt",
        required: &[("provider", OneOf(&["None", "Default", "Legacy", "Minimal", "HyperV", "KVM"]))],
        optional: &[],
        children: &[],
    },
    list("Boot", &["Order"]),
    Rule {
        name: "Order",
        required: &[("position", Number(1, 4)), ("device", OneOf(DEVICES))],
        optional: &[],
        children: &[],
    },
    Rule {
        name: "Display",
        required: &[("controller", OneOf(GRAPHICS))],
        optional: &[("VRAMSize", Number(0, 256))],
        children: &[],
    },
    list("BIOS", &["ACPI", "IOAPIC", "NVRAM"]),
    switch("ACPI"),
    switch("IOAPIC"),
    Rule { name: "NVRAM", required: &[("path", Text)], optional: &[], children: &[] },
    Rule {
        name: "TrustedPlatformModule",
        required: &[("type", OneOf(&["v1_2", "v2_0"])), ("location", Any)],
        optional: &[],
        children: &[],
    },
    list("USB", &["Controllers"]),
    list("Controllers", &["Controller"]),
    Rule {
        name: "Controller",
        required: &[("name", Text), ("type", OneOf(&["OHCI", "EHCI", "XHCI"]))],
        optional: &[],
        children: &[],
    },
    list("Network", &["Adapter"]),
    Rule {
        name: "Adapter",
        required: &[("slot", Number(0, 7)), ("enabled", SWITCH), ("type", OneOf(CARDS))],
        optional: &[("MACAddress", Mac), ("cable", SWITCH)],
        children: &["NAT", "BridgedInterface", "InternalNetwork", "HostOnlyInterface"],
    },
    list("NAT", &[]),
    named("BridgedInterface"),
    named("InternalNetwork"),
    named("HostOnlyInterface"),
    list("UART", &["Port"]),
    Rule {
        name: "Port",
        required: &[
            ("slot", Number(0, 3)),
            ("enabled", SWITCH),
            ("IRQ", Number(0, 255)),
            ("IOBase", Hex),
            ("hostMode", OneOf(&["Disconnected", "RawFile", "HostPipe", "HostDevice", "TCP"])),
        ],
        optional: &[],
        children: &[],
    },
    Rule {
        name: "AudioAdapter",
        required: &[("driver", OneOf(&["Null"]))],
        optional: &[("enabled", SWITCH)],
        children: &[],
    },
    Rule { name: "RTC", required: &[("localOrUTC", OneOf(&["local", "UTC"]))], optional: &[], children: &[] },
    list("StorageControllers", &["StorageController"]),
    Rule {
        name: "StorageController",
        required: &[("name", Text), ("type", OneOf(CONTROLLERS)), ("PortCount", Number(1, 255))],
        optional: &[("useHostIOCache", SWITCH), ("Bootable", SWITCH)],
        children: &["AttachedDevice"],
    },
    Rule {
        name: "AttachedDevice",
        required: &[
            ("type", OneOf(&["HardDisk", "DVD", "Floppy"])),
            ("port", Number(0, 254)),
            ("device", Number(0, 1)),
        ],
        optional: &[("hotpluggable", SWITCH), ("nonrotational", SWITCH)],
        children: &["Image"],
    },
];

/// What may be only once among its like, by the attribute.
const UNIQUE: [(&str, &[&str]); 6] = [
    ("HardDisk", &["uuid"]),
    ("StorageController", &["name"]),
    ("AttachedDevice", &["port", "device"]),
    ("Order", &["position"]),
    ("Adapter", &["slot"]),
    ("Port", &["slot"]),
];

impl Value {
    fn allows(&self, value: &str) -> bool {
        match self {
            OneOf(values) => values.contains(&value),
            Number(from, to) => value.parse().is_ok_and(|number: u64| (*from..=*to).contains(&number)),
            Uuid => {
                let text = value.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
                text.and_then(|text| uuid::Uuid::try_parse(text).ok()).is_some_and(|uuid| !uuid.is_nil())
            }
            Mac => {
                let is_station = matches!(
                    value.as_bytes().get(1),
                    Some(b'0' | b'2' | b'4' | b'6' | b'8' | b'A' | b'C' | b'E')
                );
                value.len() == 12 && is_station && value.bytes().all(|byte| byte.is_ascii_hexdigit())
            }
            Hex => value.strip_prefix("0x").is_some_and(|digits| u16::from_str_radix(digits, 16).is_ok()),
            Text => !value.is_empty(),
            Any => true,
        }
    }
}

fn name<'a>(node: Node<'a, '_>) -> &'a str {
    node.tag_name().name()
}

/// Sees that the settings keep the rules.
pub fn check(text: &str) {
    let tree = Document::parse(text).unwrap();
    assert_eq!(tree.root_element().tag_name().namespace(), Some("http://www.virtualbox.org/"));
    for node in tree.descendants().filter(Node::is_element) {
        element(node, text);
    }
    for (of, keys) in UNIQUE {
        for parent in tree.descendants() {
            let mut seen = std::collections::BTreeSet::new();
            for node in parent.children().filter(|node| name(*node) == of) {
                let key: Vec<_> = keys.iter().map(|key| node.attribute(*key)).collect();
                assert!(seen.insert(key.clone()), "two {of} of {key:?}\n{text}");
            }
        }
    }
    // Whatever is attached is registered.
    let media: Vec<_> = tree
        .descendants()
        .filter(|node| node.has_attribute("location"))
        .filter_map(|node| node.attribute("uuid"))
        .collect();
    for image in tree.descendants().filter(|node| name(*node) == "Image") {
        assert!(media.contains(&image.attribute("uuid").unwrap()), "{text}");
    }
}

fn element(node: Node, text: &str) {
    let below = node.parent_element().map(|parent| format!("{}/{}", name(parent), name(node)));
    let rule = RULES.iter().find(|rule| Some(rule.name) == below.as_deref());
    let rule = rule.or_else(|| RULES.iter().find(|rule| rule.name == name(node)));
    let rule = rule.unwrap_or_else(|| panic!("{} is no element of the schema\n{text}", name(node)));
    for (required, _) in rule.required {
        assert!(node.has_attribute(*required), "{} has no {required}\n{text}", rule.name);
    }
    for attribute in node.attributes() {
        let mut known = rule.required.iter().chain(rule.optional);
        let (_, value) = known
            .find(|(known, _)| *known == attribute.name())
            .unwrap_or_else(|| panic!("{} has a {}\n{text}", rule.name, attribute.name()));
        assert!(value.allows(attribute.value()), "{}: {attribute:?}\n{text}", rule.name);
    }
    for child in node.children().filter(Node::is_element) {
        assert!(rule.children.contains(&name(child)), "{} is below {}\n{text}", name(child), rule.name);
    }
}
