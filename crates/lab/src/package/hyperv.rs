//! The guest as Hyper-V of Windows Server 2012 R2 exports it: a configuration in `Virtual Machines`, and the disk beside
//! it in `Virtual Hard Disks`. Nothing is published about the configuration; its shape is that of Hyper-V's own files.

use crate::axes::Firmware;
use crate::{Recipe, identity};
use std::fmt::Write as _;

/// The device whose instances are synthetic network adapters.
const ADAPTER: &str = "2fc216b0-d2e2-4967-9b6d-b8a5c9ca2778";

/// The configuration's file name: the machine's identifier.
pub(super) fn file_name(recipe: &Recipe) -> String {
    format!("{}.xml", identity::uuid(recipe.name, "hyper-v").to_uppercase())
}

/// The configuration's text. `disk` is the file name of the disk image, which lay on the host's own path.
pub(super) fn configuration(recipe: &Recipe, disk: &str) -> String {
    let name = recipe.machine;
    let generation_two = u8::from(recipe.firmware == Firmware::Uefi);
    let (mut sections, mut manifest) = (String::new(), String::new());
    let macs = recipe.macs();
    for (index, mac) in macs.iter().enumerate() {
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
        let _ = write!(
            manifest,
            r#"    <vdev{:03}>
      <device type="string">{ADAPTER}</device>
      <instance type="string">{instance}</instance>
      <name type="string">Synthetic Ethernet Port</name>
    </vdev{:03}>
"#,
            index + 1,
            index + 1
        );
    }
    format!(
        r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<configuration>
  <_83f8638b-8dca-4152-9eda-2ca8b33039b4_>
    <VDEVVersion type="integer">1280</VDEVVersion>
    <controller0>
      <drive0>
        <pathname type="string">C:\Hyper-V\{name}\Virtual Hard Disks\{disk}</pathname>
        <type type="string">VHD</type>
      </drive0>
    </controller0>
  </_83f8638b-8dca-4152-9eda-2ca8b33039b4_>
  <_ac6b8dc1-3257-4a70-b1b2-a9c9215659ad_>
    <VDEVVersion type="integer">1280</VDEVVersion>
    <bios_guid type="string">{{{bios}}}</bios_guid>
  </_ac6b8dc1-3257-4a70-b1b2-a9c9215659ad_>
{sections}  <manifest>
    <size type="integer">{count}</size>
{manifest}  </manifest>
  <properties>
    <global_id type="string">{identifier}</global_id>
    <name type="string">{name}</name>
    <subtype type="integer">{generation_two}</subtype>
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
        count = macs.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_lists_every_adapter() {
        let text = configuration(Recipe::named("debian12-hyperv").unwrap(), "debian12-hyperv.vhdx");
        let document = roxmltree::Document::parse(&text).unwrap();
        let listed = document.descendants().find(|node| node.text() == Some(ADAPTER)).unwrap();
        let instance =
            listed.parent().unwrap().children().find(|node| node.has_tag_name("instance")).unwrap();
        let section = format!("_{}_", instance.text().unwrap());
        assert!(document.descendants().any(|node| node.has_tag_name(section.as_str())));
    }
}
