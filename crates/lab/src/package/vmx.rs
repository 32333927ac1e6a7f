//! The guest as a hosted VMware product or a datastore keeps it: the `.vmx` that goes with its disk.

use crate::Recipe;

/// The configuration's text. `disk` is the file name of the disk image, beside the configuration.
pub(super) fn configuration(recipe: &Recipe, disk: &str) -> String {
    let name = recipe.machine;
    let uuid = vmware_uuid(&recipe.bios_uuid());
    let mut entries: Vec<(String, &str)> = Vec::new();
    let mut say = |key: &str, value| entries.push((key.to_owned(), value));
    say(".encoding", "UTF-8");
    say("config.version", "8");
    say("virtualHW.version", "19");
    say("displayName", name);
    let system = guest_os(recipe);
    say("guestOS", &system);
    say("firmware", recipe.firmware.name());
    let nvram = format!("{name}.nvram");
    say("nvram", &nvram);
    say("uuid.bios", &uuid);
    say("uuid.location", &uuid);
    HARDWARE.iter().for_each(|(key, value)| say(key, value));
    say("scsi0:0.fileName", disk);
    let macs = recipe.macs();
    for (index, (mac, slot)) in macs.iter().zip(SLOTS).enumerate() {
        let mut card = |key: &str, value| say(&format!("ethernet{index}.{key}"), value);
        card("present", "TRUE");
        card("virtualDev", "vmxnet3");
        card("networkName", "VM Network");
        card("addressType", "generated");
        card("generatedAddress", mac);
        card("generatedAddressOffset", "0");
        card("pciSlotNumber", slot);
    }
    entries.iter().map(|(key, value)| format!("{key} = \"{value}\"\n")).collect()
}

/// VMware's name for the system: hardware version 19 knows no Debian behind 12.
fn guest_os(recipe: &Recipe) -> String {
    format!("debian{}-64", recipe.suite.version().min(12))
}

/// The slots of the first network cards.
const SLOTS: [&str; 2] = ["192", "224"];

/// What is the same in every guest.
const HARDWARE: &[(&str, &str)] = &[
    ("numvcpus", "2"),
    ("cpuid.coresPerSocket", "1"),
    ("memSize", "1024"),
    ("pciBridge0.present", "TRUE"),
    ("pciBridge4.present", "TRUE"),
    ("pciBridge4.virtualDev", "pcieRootPort"),
    ("pciBridge4.functions", "8"),
    ("vmci0.present", "TRUE"),
    ("hpet0.present", "TRUE"),
    ("svga.present", "TRUE"),
    ("svga.vramSize", "8388608"),
    ("floppy0.present", "FALSE"),
    ("scsi0.present", "TRUE"),
    ("scsi0.virtualDev", "pvscsi"),
    ("scsi0.pciSlotNumber", "160"),
    ("scsi0:0.present", "TRUE"),
    ("scsi0:0.deviceType", "scsi-hardDisk"),
    ("sata0.present", "TRUE"),
    ("sata0.pciSlotNumber", "32"),
    ("sata0:0.present", "TRUE"),
    ("sata0:0.deviceType", "cdrom-raw"),
    ("sata0:0.fileName", "auto detect"),
    ("sata0:0.startConnected", "FALSE"),
    ("serial0.present", "TRUE"),
    ("serial0.fileType", "file"),
    ("serial0.fileName", "serial0.log"),
    ("tools.syncTime", "FALSE"),
    ("powerType.powerOff", "soft"),
    ("powerType.reset", "soft"),
];

/// A UUID as VMware writes it: sixteen bytes apart, and a dash in the middle.
fn vmware_uuid(uuid: &str) -> String {
    let digits: Vec<char> = uuid.chars().filter(|&character| character != '-').collect();
    let bytes: Vec<String> = digits.chunks(2).map(|pair| pair.iter().collect()).collect();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    format!("{}-{}", first.join(" "), second.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEBIAN12_BIOS;

    #[test]
    fn a_uuid_is_written_as_vmware_does() {
        assert_eq!(
            vmware_uuid("564d1ab0-0d12-4c52-9a37-1f2e3d4c5b6a"),
            "56 4d 1a b0 0d 12 4c 52-9a 37 1f 2e 3d 4c 5b 6a"
        );
    }

    #[test]
    fn keys_are_unique_and_values_are_quoted() {
        let text = configuration(&DEBIAN12_BIOS, "debian12.vmdk");
        let mut keys: Vec<_> = text.lines().map(|line| line.split(" = ").next().unwrap()).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
        assert!(text.lines().all(|line| line.ends_with('"')));
        assert!(text.contains("scsi0:0.fileName = \"debian12.vmdk\"\n"));
    }
}
