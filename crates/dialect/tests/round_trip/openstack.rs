//! OpenStack's JSON: it says the machine less the losses.

use crate::{CASES, machines, options};
use machine::{Firmware, Machine, Tpm};
use proptest::prelude::*;
use serde_json::Value;

/// Values that Nova's `ImageMetaProps` has for the properties that are written.
const VALUES: [(&str, &[&str]); 12] = [
    ("architecture", &["x86_64"]),
    ("hw_disk_bus", &["ide", "sata", "scsi", "usb", "virtio"]),
    ("hw_scsi_model", &["virtio-scsi"]),
    ("hw_vif_model", &["e1000", "e1000e", "pcnet", "rtl8139", "virtio"]),
    ("hw_firmware_type", &["bios", "uefi"]),
    ("os_secure_boot", &["disabled", "optional", "required"]),
    ("hw_machine_type", &["q35", "pc"]),
    ("hw_tpm_version", &["1.2", "2.0"]),
    ("hw_tpm_model", &["tpm-tis", "tpm-crb"]),
    ("hw_video_model", &["bochs", "none", "qxl", "vga", "virtio"]),
    ("hw_pointer_model", &["usbtablet"]),
    ("os_type", &["linux", "windows"]),
];

/// Properties of any value.
const FREE: [&str; 7] = [
    "hw_cpu_sockets",
    "hw_cpu_cores",
    "hw_cpu_threads",
    "hw_qemu_guest_agent",
    "hw_rng_model",
    "os_distro",
    "os_version",
];

fn check_properties(properties: &Value) {
    for (key, value) in properties.as_object().unwrap() {
        let value = value.as_str().unwrap();
        match VALUES.iter().find(|(known, _)| known == key) {
            Some((_, values)) => assert!(values.contains(&value), "{key}={value}"),
            None => assert!(FREE.contains(&key.as_str()) && !value.is_empty(), "{key}={value}"),
        }
    }
    // TCG's newer interface is of the newer version only.
    let is_crb = properties["hw_tpm_model"] == "tpm-crb";
    assert!(!is_crb || properties["hw_tpm_version"] == "2.0");
}

/// What the JSON says, field by field, in place of what the machine says.
fn said(machine: &Machine, deployment: &Value) -> Machine {
    let mut said = machine.clone();
    let server = &deployment["server"];
    said.name = server["name"].as_str().unwrap().to_owned();
    said.notes = server["description"].as_str().map(str::to_owned);
    said.memory = deployment["flavor"]["ram"].as_u64().unwrap() << 20;
    assert_eq!(deployment["flavor"]["vcpus"], machine.cpu.count());
    let images = deployment["images"].as_array().unwrap();
    assert_eq!(images.len(), machine.disks.len());
    for (disk, image) in said.disks.iter_mut().zip(images) {
        check_properties(&image["properties"]);
        let index = image["volume"]["boot_index"].as_i64().unwrap();
        disk.boot_order = u32::try_from(index + 1).ok().filter(|order| *order > 0);
        let is_uefi = image["properties"]["hw_firmware_type"] == "uefi";
        assert_eq!(is_uefi, machine.firmware != Firmware::Bios);
        let tpm = image["properties"]["hw_tpm_version"].as_str();
        said.tpm = tpm.map(|version| Tpm { version: if version == "1.2" { 1 } else { 2 } });
        let capacity = disk.capacity.unwrap();
        assert!(image["volume"]["size"].as_u64().unwrap() << 30 >= capacity);
    }
    let ports = deployment["ports"].as_array().unwrap();
    assert_eq!(ports.len(), machine.nics.len());
    for (nic, port) in said.nics.iter_mut().zip(ports) {
        nic.mac = port["mac_address"].as_str().map(|mac| mac.parse().unwrap());
        nic.connected = port["admin_state_up"] == true;
        nic.network = port["network"].as_str().map(str::to_owned);
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn json_says_the_machine_less_the_losses(machine in machines(profile::find("openstack").unwrap())) {
        let (dialect, profile) = (&dialect::openstack::DIALECT, profile::find("openstack").unwrap());
        let options = options(dialect, profile, &machine);
        let rendered = dialect::openstack::render(&machine, profile, &options).unwrap();
        let deployment = serde_json::from_str(&rendered.text).unwrap();
        for difference in machine::differences(&machine, &said(&machine, &deployment)) {
            let is_told = rendered.losses.iter().any(|loss| difference.is_told_by(loss));
            assert!(is_told, "no loss tells of {difference:?}\n{:#?}\n{}", rendered.losses, rendered.text);
        }
        // The script does the same.
        let upload = dialect::openstack::render_upload(&machine, profile, &options).unwrap();
        assert_eq!(upload.losses, rendered.losses);
    }
}
