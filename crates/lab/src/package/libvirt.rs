//! The guest as libvirt keeps it: the domain's XML, and the qcow2 image that goes with it.

use crate::Recipe;
use crate::axes::Firmware;
use std::fmt::Write as _;

/// The domain's XML (libvirt's "Domain XML format"). `disk` is the file name of the disk image, beside it.
pub(super) fn domain(recipe: &Recipe, disk: &str) -> String {
    let mut cards = String::new();
    for (bus, mac) in (1..).zip(recipe.macs()) {
        // Writing to a String cannot fail.
        let _ = write!(
            cards,
            r#"    <interface type="network">
      <mac address="{mac}"/>
      <source network="default"/>
      <model type="virtio"/>
      <address type="pci" domain="0x0000" bus="0x{bus:02x}" slot="0x00" function="0x0"/>
    </interface>
"#
        );
    }
    let firmware = match recipe.firmware {
        Firmware::Bios => "",
        Firmware::Uefi => r#" firmware="efi""#,
    };
    format!(
        r#"<domain type="kvm">
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit="MiB">1024</memory>
  <vcpu>2</vcpu>
  <os{firmware}>
    <type arch="x86_64" machine="q35">hvm</type>
  </os>
  <features><acpi/><apic/></features>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2"/>
      <source file="{disk}"/>
      <target dev="sda" bus="scsi"/>
      <boot order="1"/>
    </disk>
    <controller type="scsi" index="0" model="virtio-scsi"/>
{cards}    <serial type="pty"><target port="0"/></serial>
    <console type="pty"/>
    <channel type="unix"><target type="virtio" name="org.qemu.guest_agent.0"/></channel>
    <video><model type="virtio"/></video>
  </devices>
</domain>
"#,
        name = recipe.machine,
        uuid = recipe.bios_uuid(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bonded_guest_has_two_cards() {
        let text = domain(Recipe::named("debian12-bond").unwrap(), "debian12-bond.qcow2");
        let document = roxmltree::Document::parse(&text).unwrap();
        assert_eq!(document.descendants().filter(|node| node.has_tag_name("interface")).count(), 2);
        assert!(text.contains(r#"<os firmware="efi">"#));
    }
}
