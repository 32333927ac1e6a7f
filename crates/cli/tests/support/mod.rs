//! Small sources made by code, and the program run on them.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed
#![allow(dead_code)] // each test binary uses its own part of this

use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A member of an archive, as its header and contents will be.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) kind: tar::EntryType,
    pub(crate) link: Option<String>,
    pub(crate) contents: Vec<u8>,
}

impl Member {
    pub(crate) fn file(name: &str, contents: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), kind: tar::EntryType::Regular, link: None, contents: contents.into() }
    }
}

/// Writes an archive whose names are taken as they are, `../` and all.
pub(crate) fn write_tar(path: &Path, members: &[Member]) {
    let mut archive = tar::Builder::new(fs::File::create(path).unwrap());
    for member in members {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..member.name.len()].copy_from_slice(member.name.as_bytes());
        if let Some(link) = &member.link {
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_entry_type(member.kind);
        header.set_mode(0o644);
        header.set_size(member.contents.len() as u64);
        header.set_cksum();
        archive.append(&header, member.contents.as_slice()).unwrap();
    }
    archive.finish().unwrap();
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(seed >> 13).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Writes a raw disk of `mib` MiB: noise, then as much of nothing, then noise.
pub(crate) fn write_raw(path: &Path, mib: usize) {
    let third = (mib << 20) / 3;
    let mut contents = noise(third, 1);
    contents.resize((mib << 20) - third, 0);
    contents.extend(noise(third, 2));
    fs::write(path, contents).unwrap();
}

/// Runs a program that has to be there and has to succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run ({error}); ./dev test installs it"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Makes a VMDK of `raw` in the given subformat.
pub(crate) fn write_vmdk(raw: &Path, vmdk: &Path, subformat: &str) {
    let option = format!("subformat={subformat}");
    run("qemu-img", &["convert", "-q", "-f", "raw", "-O", "vmdk", "-o", &option, text(raw), text(vmdk)]);
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An OVF descriptor of a machine with one disk of `capacity` bytes in `file`.
pub(crate) fn ovf(file: &str, capacity: u64) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
 <References><File ovf:href="{file}" ovf:id="file1"/></References>
 <DiskSection><Info>Disks</Info>
  <Disk ovf:capacity="{capacity}" ovf:diskId="vmdisk1" ovf:fileRef="file1"
   ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
 </DiskSection>
 <VirtualSystem ovf:id="small"><Info>A machine</Info><Name>small</Name>
  <VirtualHardwareSection><Info>Hardware</Info>
   <System><vssd:ElementName>Virtual Hardware Family</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID>
    <vssd:VirtualSystemType>vmx-19</vssd:VirtualSystemType></System>
   <Item><rasd:ElementName>1 CPU</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID>
    <rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>
   <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ElementName>256 MB</rasd:ElementName>
    <rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType>
    <rasd:VirtualQuantity>256</rasd:VirtualQuantity></Item>
   <Item><rasd:Address>0</rasd:Address><rasd:ElementName>SCSI</rasd:ElementName><rasd:InstanceID>3</rasd:InstanceID>
    <rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
   <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ElementName>Disk</rasd:ElementName>
    <rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID>
    <rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
  </VirtualHardwareSection>
 </VirtualSystem>
</Envelope>
"#
    )
}

/// A manifest over `members`, by SHA-256.
pub(crate) fn mf(members: &[Member]) -> Vec<u8> {
    members
        .iter()
        .map(|member| format!("SHA256({})= {}\n", member.name, hex(&Sha256::digest(&member.contents))))
        .collect::<String>()
        .into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The members of a good OVA whose one disk has `mib` MiB: descriptor, manifest, disk.
pub(crate) fn ova_members(directory: &Path, mib: usize) -> Vec<Member> {
    let (raw, vmdk) = (directory.join("small.raw"), directory.join("small.vmdk"));
    write_raw(&raw, mib);
    write_vmdk(&raw, &vmdk, "streamOptimized");
    let descriptor = Member::file("small.ovf", ovf("small.vmdk", (mib as u64) << 20));
    let disk = Member::file("small.vmdk", fs::read(&vmdk).unwrap());
    let mut members = vec![descriptor, disk];
    members.insert(1, Member::file("small.mf", mf(&members)));
    members
}

/// A good OVA whose one disk has `mib` MiB and no guest; the disk's contents lie beside it in `small.raw`.
pub(crate) fn small_ova(directory: &Path, mib: usize) -> PathBuf {
    let path = directory.join("small.ova");
    write_tar(&path, &ova_members(directory, mib));
    path
}

/// A VMX in `directory` whose disk is `disk`; `more` is appended.
pub(crate) fn small_vmx(directory: &Path, disk: &str, more: &str) -> PathBuf {
    let path = directory.join("small.vmx");
    let text = format!(
        ".encoding = \"UTF-8\"\nconfig.version = \"8\"\nvirtualHW.version = \"19\"\ndisplayName = \"small\"\n\
         memSize = \"256\"\nnumvcpus = \"1\"\nscsi0.present = \"TRUE\"\nscsi0.virtualDev = \"pvscsi\"\n\
         scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"{disk}\"\n{more}"
    );
    fs::write(&path, text).unwrap();
    path
}

/// What a run of the program came to.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `anyvisor` with `arguments`.
pub(crate) fn anyvisor(arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_anyvisor"))
        .args(arguments)
        // The key that signs evidence is the tests' own, and not the user's.
        .env("XDG_DATA_HOME", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs `anyvisor convert SOURCE --to kvm --output OUTPUT` with `more` arguments.
pub(crate) fn convert(source: &Path, output: &Path, more: &[&str]) -> Ran {
    anyvisor(&[&["convert", text(source), "--to", "kvm", "--output", text(output)], more].concat())
}

/// The names in a directory, hidden ones too, sorted; none when there is no such directory.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
