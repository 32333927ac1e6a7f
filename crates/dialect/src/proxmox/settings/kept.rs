//! What a configuration of Proxmox' said that no machine holds, on its way back.

use super::super::options::Options;
use super::super::{PROPERTIES, document::is_key, drives::CONTROLLERS};
use super::{Settings, Value};

/// Keys that go back. The others name something of the source's host, or let QEMU do anything.
const KEYS: [&str; 26] = [
    "acpi",
    "agent",
    "allow-ksm",
    "autostart",
    "balloon",
    "cpu",
    "cpulimit",
    "cpuunits",
    "freeze",
    "hotplug",
    "ipconfig",
    "keephugepages",
    "keyboard",
    "kvm",
    "machine",
    "nameserver",
    "numa",
    "onboot",
    "protection",
    "reboot",
    "searchdomain",
    "shares",
    "startdate",
    "tablet",
    "tags",
    "tdf",
];
/// Options of disks that go back.
const DISK: [&str; 12] = [
    "aio",
    "backup",
    "detect_zeroes",
    "discard",
    "iops",
    "iops_rd",
    "iops_wr",
    "iothread",
    "mbps",
    "mbps_rd",
    "mbps_wr",
    "queues",
];
/// Options of cards that go back.
const CARD: [&str; 5] = ["firewall", "mtu", "queues", "rate", "trunks"];

impl Settings<'_> {
    /// Puts back what is safe. Whether all came back is seen when the text is read again.
    pub(super) fn keep(&mut self) {
        let kept = self.machine.properties.iter().filter(|property| property.dialect == PROPERTIES);
        for property in kept {
            let (key, value) = (property.key.as_str(), property.value.as_str());
            if !is_key(key) || !is_plain(value) {
                continue;
            }
            let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
            let is_taken = self.settings.iter().any(|setting| setting.key == key);
            match stem {
                "scsi" | "virtio" | "sata" | "ide" => self.append(key, value, &DISK),
                "net" => self.append(key, value, &CARD),
                "scsihw" => self.controller(value),
                _ if KEYS.contains(&stem) && !is_taken => self.set(key, value),
                _ => {}
            }
        }
    }

    /// Adds options of a list to what stands there, those that are known.
    fn append(&mut self, key: &str, value: &str, known: &[&str]) {
        let Some(setting) = self.settings.iter_mut().find(|setting| setting.key == key) else { return };
        let (Value::Disk { options: text, .. } | Value::Text(text)) = &mut setting.value else { return };
        let mut options = Options::parse(value, "");
        while let Some((name, value)) = options.first() {
            if known.contains(&name.as_str()) && !value.is_empty() {
                text.push_str(&format!(",{name}={value}"));
            }
        }
    }

    /// Another spelling of the same controller: with an I/O thread for each disk, say.
    fn controller(&mut self, wanted: &str) {
        let model =
            |name: &str| CONTROLLERS.iter().find(|(known, _)| *known == name).map(|(_, model)| *model);
        let setting = self.settings.iter_mut().find(|setting| setting.key == "scsihw");
        if let Some(Value::Text(text)) = setting.map(|setting| &mut setting.value)
            && model(text).is_some()
            && model(text) == model(wanted)
        {
            wanted.clone_into(text);
        }
    }
}

/// Whether it is one line of printable ASCII, without white space at its ends.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.trim() == value && value.chars().all(|c| matches!(c, ' '..='~'))
}
