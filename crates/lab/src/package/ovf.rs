//! The guest as VMware exports it: an OVF envelope, its manifest, and the two packed with the disk as an OVA.
//!
//! The specification is DMTF DSP0243 1.1.0; the shape (element order, `vmw:` settings, which controllers there are) is
//! that of VMware's own export tool for a virtual machine of hardware version 19.

use crate::error::Context as _;
use crate::identity::hex;
use crate::recipe::{EPOCH, MIB};
use crate::{Recipe, Result};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A resource's `rasd:ResourceType` (CIM_ResourceAllocationSettingData).
#[derive(Clone, Copy)]
enum Resource {
    Processor = 3,
    Memory = 4,
    ParallelScsi = 6,
    Ethernet = 10,
    CdDrive = 15,
    HardDisk = 17,
    Sata = 20,
    Video = 24,
}

/// One `Item`: pairs of a `rasd` element and its value, in the order that the schema wants (alphabetical), and VMware's
/// own settings after them.
struct Item<'a> {
    resource: Resource,
    required: bool,
    elements: Vec<(&'static str, &'a str)>,
    settings: &'static [(&'static str, &'static str)],
}

/// The envelope's text. `disk` is the file name of the disk image, `file_size` its size and `populated` how much of it
/// is in use, all in bytes.
pub(crate) fn envelope(recipe: &Recipe, disk: &str, file_size: u64, populated: u64) -> String {
    let name = recipe.machine;
    let system = recipe.suite.version().min(12); // hardware version 19 knows no Debian behind 12
    let macs = recipe.macs();
    let mut hardware = String::new();
    for (index, item) in items(&macs).iter().enumerate() {
        item.write(index + 1, &mut hardware);
    }
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope vmw:buildId="build-0" xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:cim="http://schemas.dmtf.org/wbem/wscim/1/common" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <References>
    <File ovf:href="{disk}" ovf:id="file1" ovf:size="{file_size}"/>
  </References>
  <DiskSection>
    <Info>Virtual disk information</Info>
    <Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized" ovf:populatedSize="{populated}"/>
  </DiskSection>
  <NetworkSection>
    <Info>The list of logical networks</Info>
    <Network ovf:name="VM Network">
      <Description>The VM Network network</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="{name}">
    <Info>A virtual machine</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="96" vmw:osType="debian{system}_64Guest">
      <Info>The kind of installed guest operating system</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware requirements</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-19</vssd:VirtualSystemType>
      </System>
{hardware}      <vmw:Config ovf:required="false" vmw:key="cpuHotAddEnabled" vmw:value="false"/>
      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="{firmware}"/>
      <vmw:Config ovf:required="false" vmw:key="memoryHotAddEnabled" vmw:value="false"/>
      <vmw:Config ovf:required="false" vmw:key="tools.syncTimeWithHost" vmw:value="false"/>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#,
        capacity = recipe.disk_size() / MIB,
        firmware = recipe.firmware.name(),
    )
}

fn items(macs: &[String]) -> Vec<Item<'_>> {
    let item = |resource, elements| Item { resource, required: true, elements, settings: &[] };
    let optional = |resource, elements| Item { resource, required: false, elements, settings: &[] };
    let mut items = vec![
        item(
            Resource::Processor,
            vec![
                ("AllocationUnits", "hertz * 10^6"),
                ("Description", "Number of Virtual CPUs"),
                ("ElementName", "2 virtual CPU(s)"),
                ("VirtualQuantity", "2"),
            ],
        ),
        item(
            Resource::Memory,
            vec![
                ("AllocationUnits", "byte * 2^20"),
                ("Description", "Memory Size"),
                ("ElementName", "1024MB of memory"),
                ("VirtualQuantity", "1024"),
            ],
        ),
        item(
            Resource::ParallelScsi,
            vec![
                ("Address", "0"),
                ("Description", "SCSI Controller"),
                ("ElementName", "SCSI controller 0"),
                ("ResourceSubType", "VirtualSCSI"),
            ],
        ),
        optional(
            Resource::Sata,
            vec![
                ("Address", "0"),
                ("Description", "SATA Controller"),
                ("ElementName", "SATA controller 0"),
                ("ResourceSubType", "vmware.sata.ahci"),
            ],
        ),
        optional(
            Resource::CdDrive,
            vec![
                ("AddressOnParent", "0"),
                ("AutomaticAllocation", "false"),
                ("ElementName", "CD/DVD drive 1"),
                ("Parent", "4"),
                ("ResourceSubType", "vmware.cdrom.remotepassthrough"),
            ],
        ),
        item(
            Resource::HardDisk,
            vec![
                ("AddressOnParent", "0"),
                ("ElementName", "Hard disk 1"),
                ("HostResource", "ovf:/disk/vmdisk1"),
                ("Parent", "3"),
            ],
        ),
        optional(Resource::Video, vec![("AutomaticAllocation", "false"), ("ElementName", "Video card")]),
    ];
    items.extend(macs.iter().zip(CARDS).map(|(mac, card)| adapter(mac, card)));
    items
}

/// A network card's place on its bus, its name and its slot.
type Card = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// The network cards that a guest may have.
const CARDS: [Card; 2] = [
    ("7", "Network adapter 1", &[("slotInfo.pciSlotNumber", "192"), ("wakeOnLanEnabled", "true")]),
    ("8", "Network adapter 2", &[("slotInfo.pciSlotNumber", "224"), ("wakeOnLanEnabled", "true")]),
];

fn adapter<'a>(mac: &'a str, (place, name, settings): Card) -> Item<'a> {
    Item {
        resource: Resource::Ethernet,
        required: true,
        elements: vec![
            ("Address", mac),
            ("AddressOnParent", place),
            ("AutomaticAllocation", "true"),
            ("Connection", "VM Network"),
            ("Description", "VmxNet3 ethernet adapter on &quot;VM Network&quot;"),
            ("ElementName", name),
            ("ResourceSubType", "VmxNet3"),
        ],
        settings,
    }
}

impl Item<'_> {
    fn write(&self, instance: usize, text: &mut String) {
        let (instance, resource) = (instance.to_string(), (self.resource as u32).to_string());
        let mut elements = self.elements.clone();
        elements.push(("InstanceID", &instance));
        elements.push(("ResourceType", &resource));
        elements.sort();
        text.push_str(if self.required { "      <Item>\n" } else { "      <Item ovf:required=\"false\">\n" });
        for (name, value) in elements {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "        <rasd:{name}>{value}</rasd:{name}>");
        }
        for (key, value) in self.settings {
            let _ = writeln!(
                text,
                "        <vmw:Config ovf:required=\"false\" vmw:key=\"{key}\" vmw:value=\"{value}\"/>"
            );
        }
        text.push_str("      </Item>\n");
    }
}

/// The manifest's text: one line of SHA-256 a file, in the order given.
pub(crate) fn manifest(files: &[(&str, String)]) -> String {
    files.iter().map(|(name, digest)| format!("SHA256({name})= {digest}\n")).collect()
}

/// The SHA-256 of a file, in hexadecimal digits.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).context("open", path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).context("read", path)? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

/// Packs the guest as an OVA: a tar (ustar) of the envelope, the manifest and the disk, in this order, so that a reader
/// of a stream knows what to expect of the disk before it comes (DSP0243, 5.2).
pub(super) fn package(recipe: &Recipe, disk: &Path, populated: u64, ova: &Path) -> Result<()> {
    let stem = recipe.machine;
    let disk_name = format!("{stem}-disk1.vmdk");
    let mut file = File::open(disk).context("open", disk)?;
    let size = file.metadata().context("read", disk)?.len();
    let ovf = envelope(recipe, &disk_name, size, populated);
    let ovf_name = format!("{stem}.ovf");
    let manifest = manifest(&[(&ovf_name, hex(&Sha256::digest(&ovf))), (&disk_name, sha256(disk)?)]);

    let output = File::create(ova).context("create", ova)?;
    let mut tar = tar::Builder::new(output);
    let header = |size| {
        let mut header = tar::Header::new_ustar();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(EPOCH);
        header
    };
    tar.append_data(&mut header(ovf.len() as u64), &ovf_name, ovf.as_bytes()).context("write", ova)?;
    let manifest_name = format!("{stem}.mf");
    tar.append_data(&mut header(manifest.len() as u64), manifest_name, manifest.as_bytes())
        .context("write", ova)?;
    tar.append_data(&mut header(size), disk_name, &mut file).context("write", ova)?;
    tar.finish().context("write", ova)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEBIAN12_BIOS;

    const RASD: &str = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData";

    fn value<'a>(item: roxmltree::Node<'a, 'a>, name: &str) -> Option<&'a str> {
        item.children().find(|child| child.has_tag_name((RASD, name))).and_then(|child| child.text())
    }

    #[test]
    fn every_parent_is_the_controller_that_it_should_be() {
        let text = envelope(&DEBIAN12_BIOS, "debian12-disk1.vmdk", 1, 2);
        let document = roxmltree::Document::parse(&text).unwrap();
        let items: Vec<_> = document.descendants().filter(|node| node.tag_name().name() == "Item").collect();
        let parent_type = |resource_type: &str| {
            let child = items.iter().find(|item| value(**item, "ResourceType") == Some(resource_type))?;
            let parent = value(*child, "Parent")?;
            let parent = items.iter().find(|item| value(**item, "InstanceID") == Some(parent))?;
            value(*parent, "ResourceType")
        };
        assert_eq!(parent_type("17"), Some("6"), "the disk hangs on the SCSI controller");
        assert_eq!(parent_type("15"), Some("20"), "the CD drive hangs on the SATA controller");
        let adapter = items.iter().find(|item| value(**item, "ResourceType") == Some("10")).unwrap();
        assert_eq!(value(*adapter, "Address"), DEBIAN12_BIOS.macs().first().map(String::as_str));
        assert_eq!(value(*adapter, "ResourceSubType"), Some("VmxNet3"));
    }

    #[test]
    fn items_are_in_the_order_of_the_schema() {
        let text = envelope(&DEBIAN12_BIOS, "debian12-disk1.vmdk", 1, 2);
        let document = roxmltree::Document::parse(&text).unwrap();
        for item in document.descendants().filter(|node| node.tag_name().name() == "Item") {
            let names: Vec<_> = item
                .children()
                .filter(|child| child.tag_name().namespace() == Some(RASD))
                .map(|child| child.tag_name().name())
                .collect();
            assert!(names.is_sorted(), "{names:?}");
        }
    }

    #[test]
    fn a_package_holds_envelope_manifest_and_disk_in_this_order() {
        let directory = tempfile::tempdir().unwrap();
        let (disk, ova) = (directory.path().join("disk"), directory.path().join("guest.ova"));
        std::fs::write(&disk, b"not really a disk").unwrap();
        package(&DEBIAN12_BIOS, &disk, 17, &ova).unwrap();

        let mut archive = tar::Archive::new(File::open(&ova).unwrap());
        let members: Vec<(String, Vec<u8>)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                (entry.path().unwrap().display().to_string(), content)
            })
            .collect();
        let names: Vec<_> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["debian12.ovf", "debian12.mf", "debian12-disk1.vmdk"]);
        let expected = format!(
            "SHA256(debian12.ovf)= {}\nSHA256(debian12-disk1.vmdk)= {}\n",
            hex(&Sha256::digest(&members[0].1)),
            hex(&Sha256::digest(b"not really a disk")),
        );
        assert_eq!(String::from_utf8(members[1].1.clone()).unwrap(), expected);
    }
}
