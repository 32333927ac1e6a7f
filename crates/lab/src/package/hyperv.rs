//! The guest as Hyper-V of Windows Server 2012 R2 exports it: a configuration in `Virtual Machines`, and the disk beside
//! it in `Virtual Hard Disks`. Nothing is published about the configuration; its shape is that of Hyper-V's own files.

use crate::axes::Firmware;
use crate::{Recipe, identity};
use std::fmt::Write as _;

/// The device whose instances are synthetic network adapters.
const ADAPTER: &str = "2fc216b0-d2e2-4967-9b6d-b8a5c9ca2778";
/// The device whose instances are synthetic SCSI controllers.
const SCSI: &str = "d422512d-2bf2-4752-809d-7b82b5fcb1b4";
/// The IDE controllers of generation 1, which are one instance.
const IDE: &str = "83f8638b-8dca-4152-9eda-2ca8b33039b4";
/// The BIOS of generation 1.
const BIOS: &str = "ac6b8dc1-3257-4a70-b1b2-a9c9215659ad";

/// The configuration's file name: the machine's identifier.
pub(super) fn file_name(recipe: &Recipe) -> String {
    format!("{}.xml", identity::uuid(recipe.name, "hyper-v").to_uppercase())
}

/// A device that the manifest lists: what it is an instance of, which, and its name.
struct Device {
    device: &'static str,
    instance: String,
    name: &'static str,
}

/// The configuration's text. `disk` is the file name of the disk image, which lay on the host's own path.
pub(super) fn configuration(recipe: &Recipe, disk: &str) -> String {
    let name = recipe.machine;
    let mut devices = Vec::new();
    // Generation 1 starts from IDE alone, and generation 2 has none.
    let (subtype, controller, firmware) = match recipe.firmware {
        Firmware::Bios => (0, IDE.to_owned(), BIOS.to_owned()),
        Firmware::Uefi => {
            let instance = identity::uuid(recipe.name, "controller 0");
            let name = "Synthetic SCSI Controller";
            devices.push(Device { device: SCSI, instance: instance.clone(), name });
            (1, instance, identity::uuid(recipe.name, "firmware"))
        }
    };
    let (adapters, sections) = adapters(recipe);
    devices.extend(adapters);
    format!(
        r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<configuration>
  <_{controller}_>
    <VDEVVersion type="integer">1280</VDEVVersion>
    <controller0>
      <drive0>
        <pathname type="string">C:\Hyper-V\{name}\Virtual Hard Disks\{disk}</pathname>
        <type type="string">VHD</type>
      </drive0>
    </controller0>
  </_{controller}_>
  <_{firmware}_>
    <VDEVVersion type="integer">1280</VDEVVersion>
    <bios_guid type="string">{{{bios}}}</bios_guid>
  </_{firmware}_>
{sections}  <manifest>
    <size type="integer">{count}</size>
{manifest}  </manifest>
  <properties>
    <global_id type="string">{identifier}</global_id>
    <name type="string">{name}</name>
    <subtype type="integer">{subtype}</subtype>
    <version type="integer">1280</version>
  </properties>
  <settings>
    <memory>
      <bank>
        <dynamic_memory_enabled type="bool">False</dynamic_memory_enabled>
        <size type="integer">1024</size>
      </bank>
    </memory>
    <processors>
      <count type="integer">2</count>
    </processors>
  </settings>
</configuration>
"#,
        bios = recipe.bios_uuid().to_uppercase(),
        identifier = identity::uuid(recipe.name, "hyper-v").to_uppercase(),
        count = devices.len(),
        manifest = manifest(&devices),
    )
}

/// The network adapters, and their sections.
fn adapters(recipe: &Recipe) -> (Vec<Device>, String) {
    let mut sections = String::new();
    let adapter = |(index, mac): (usize, String)| {
        let instance = identity::uuid(recipe.name, &format!("adapter {index}"));
        // Writing to a String cannot fail.
        let _ = write!(
            sections,
            r#"  <_{instance}_>
    <IsConnected type="bool">True</IsConnected>
    <MacAddress type="string">{}</MacAddress>
    <MacAddressIsStatic type="bool">False</MacAddressIsStatic>
    <Connection><AltSwitchName type="string">External</AltSwitchName></Connection>
  </_{instance}_>
"#,
            mac.replace(':', "-").to_uppercase()
        );
        Device { device: ADAPTER, instance, name: "Synthetic Ethernet Port" }
    };
    let devices = recipe.macs().into_iter().enumerate().map(adapter).collect();
    (devices, sections)
}

fn manifest(devices: &[Device]) -> String {
    let entry = |(number, Device { device, instance, name }): (u32, &Device)| {
        format!(
            r#"    <vdev{number:03}>
      <device type="string">{device}</device>
      <instance type="string">{instance}</instance>
      <name type="string">{name}</name>
    </vdev{number:03}>
"#
        )
    };
    (1..).zip(devices).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instances_of(device: &str, recipe: &str) -> Vec<String> {
        let text = configuration(Recipe::named(recipe).unwrap(), "disk.vhdx");
        let document = roxmltree::Document::parse(&text).unwrap();
        let listed = document.descendants().filter(|node| node.is_element() && node.text() == Some(device));
        let instance = |node: roxmltree::Node| {
            let entry = node.parent().unwrap();
            let instance = entry.children().find(|node| node.has_tag_name("instance")).unwrap();
            let section = format!("_{}_", instance.text().unwrap());
            assert!(document.descendants().any(|node| node.has_tag_name(section.as_str())), "{section}");
            section
        };
        listed.map(instance).collect()
    }

    #[test]
    fn the_manifest_lists_every_device_that_has_a_section() {
        for recipe in ["debian12-hyperv", "debian12-hyperv-gen2"] {
            assert_eq!(instances_of(ADAPTER, recipe).len(), 1);
        }
    }

    #[test]
    fn generation_two_has_a_scsi_controller_and_no_ide() {
        assert_eq!(instances_of(SCSI, "debian12-hyperv-gen2").len(), 1);
        assert!(instances_of(SCSI, "debian12-hyperv").is_empty());
        let text = configuration(Recipe::named("debian12-hyperv-gen2").unwrap(), "disk.vhdx");
        assert!(!text.contains(IDE) && text.contains(r#"<subtype type="integer">1</subtype>"#));
    }
}
