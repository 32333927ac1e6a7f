//! Settings that VirtualBox has no elements for and takes as extra data of its virtual devices: what the firmware tells
//! the guest about the machine, and the serial numbers of disks (user manual, "Configuring the BIOS DMI Information"
//! and "Configuring the Hard Disk Vendor Product Data").

use super::document::{child, children};
use super::names::Controller;
use super::storage::position;
use machine::{Attachment, Firmware, Machine, Smbios};
use roxmltree::Node;
use std::collections::BTreeMap;

/// The longest serial number that a disk can say: the field of ATA's IDENTIFY DEVICE (ACS-3, 7.12.7.10).
pub(super) const MAX_SERIAL: usize = 20;

/// Where the device of a PC BIOS and of UEFI firmware has its settings.
const FIRMWARE: [&str; 2] = ["VBoxInternal/Devices/pcbios/0/Config/", "VBoxInternal/Devices/efi/0/Config/"];

/// How a text is told from a number that it looks like.
const STRING: &str = "string:";
/// How VirtualBox writes a text of no characters.
const EMPTY: &str = "<EMPTY>";

/// A field of the firmware's tables.
type Field = fn(&mut Smbios) -> &mut Option<String>;

/// The fields by VirtualBox's names.
const FIELDS: [(&str, Field); 7] = [
    ("DmiSystemVendor", |smbios| &mut smbios.manufacturer),
    ("DmiSystemProduct", |smbios| &mut smbios.product),
    ("DmiSystemVersion", |smbios| &mut smbios.version),
    ("DmiSystemSerial", |smbios| &mut smbios.serial),
    ("DmiSystemSKU", |smbios| &mut smbios.sku),
    ("DmiSystemFamily", |smbios| &mut smbios.family),
    ("DmiChassisAssetTag", |smbios| &mut smbios.asset_tag),
];

/// Reads the extra data into a machine whose disks are known; gives back which keys were understood.
pub(super) fn read(settings: Node, machine: &mut Machine) -> Vec<String> {
    let items: BTreeMap<&str, &str> = child(settings, "ExtraData")
        .into_iter()
        .flat_map(|data| children(data, "ExtraDataItem"))
        .filter_map(|item| Some((item.attribute("name")?, item.attribute("value")?)))
        .collect();
    let mut understood = Vec::new();
    for (name, field) in FIELDS {
        for key in FIRMWARE.map(|device| format!("{device}{name}")) {
            if let Some(value) = items.get(key.as_str()) {
                *field(&mut machine.smbios) = Some(plain(value));
                understood.push(key);
            }
        }
    }
    for disk in &mut machine.disks {
        let Some(key) = serial_key(disk.attachment) else { continue };
        if let Some(value) = items.get(key.as_str()) {
            disk.serial = Some(plain(value));
            understood.push(key);
        }
    }
    understood
}

/// The extra data that say the same, by key.
pub(super) fn items(machine: &Machine) -> BTreeMap<String, String> {
    let device = FIRMWARE[usize::from(machine.firmware != Firmware::Bios)];
    let mut smbios = machine.smbios.clone();
    let mut items = BTreeMap::new();
    for (name, field) in FIELDS {
        if let Some(value) = field(&mut smbios) {
            items.insert(format!("{device}{name}"), quoted(value));
        }
    }
    for disk in &machine.disks {
        let serial = disk.serial.as_deref().map(fitting).filter(|serial| !serial.is_empty());
        if let (Some(serial), Some(key)) = (serial, serial_key(disk.attachment)) {
            items.insert(key, quoted(&serial));
        }
    }
    items
}

/// A serial number in the characters and the length that a disk can say.
fn fitting(serial: &str) -> String {
    let fitting: String = serial.chars().filter(|c| matches!(c, ' '..='~')).take(MAX_SERIAL).collect();
    fitting.trim().to_owned()
}

/// Where the serial number of a disk in that place is kept; `None` where there is no such setting.
fn serial_key(at: Attachment) -> Option<String> {
    let device = Controller::of(at.bus)?.serials?;
    let (number, port, unit) = position(at);
    let port = match (device, port, unit) {
        ("ahci", port, _) => format!("Port{port}"),
        (_, 0, 0) => "PrimaryMaster".to_owned(),
        (_, 0, _) => "PrimarySlave".to_owned(),
        (_, _, 0) => "SecondaryMaster".to_owned(),
        _ => "SecondarySlave".to_owned(),
    };
    Some(format!("VBoxInternal/Devices/{device}/{number}/Config/{port}/SerialNumber"))
}

fn plain(value: &str) -> String {
    match value {
        EMPTY => String::new(),
        value => value.strip_prefix(STRING).unwrap_or(value).to_owned(),
    }
}

/// A text as VirtualBox takes it for one, whatever it looks like.
fn quoted(text: &str) -> String {
    if text.is_empty() { EMPTY.to_owned() } else { format!("{STRING}{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::Bus;

    #[test]
    fn texts_stay_texts() {
        for text in ["", "7", "0x10", "string:a", "<EMPTY", "VMware-56 4d", "bytes:QQ=="] {
            assert_eq!(plain(&quoted(text)), text);
        }
        assert_eq!(plain("VMware, Inc."), "VMware, Inc.");
        assert_eq!(fitting("a\u{7}b–0123456789012345678901234"), "ab012345678901234567");
    }

    #[test]
    fn a_disk_has_its_serial_number_where_it_hangs() {
        let key = |bus, controller, unit| serial_key(Attachment { bus, controller, unit });
        assert_eq!(
            key(Bus::Sata, 0, 12).as_deref(),
            Some("VBoxInternal/Devices/ahci/0/Config/Port12/SerialNumber")
        );
        assert_eq!(
            key(Bus::Ide, 3, 0).as_deref(),
            Some("VBoxInternal/Devices/piix3ide/1/Config/SecondaryMaster/SerialNumber")
        );
        assert_eq!(key(Bus::Nvme, 0, 0), None);
    }
}
