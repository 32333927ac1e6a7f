//! Real `.vbox` files, and disks in chains of differences as VirtualBox lays them out.

#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

mod corpus;

use block::{BlockRead, MemoryDisk};
use dialect::Package;
use dialect::vbox::{Error, parse};
use image::{CopyOptions, NewImage, NoProgress};
use machine::{Bus, Clock, Firmware, NicModel, Severity, Tpm, UsbController};
use std::path::Path;
use std::sync::Arc;
use uuid::{Uuid, uuid};

/// Settings as VirtualBox 7 writes them, with a bit of everything.
const SETTINGS: &str = r#"<?xml version="1.0"?>
<VirtualBox xmlns="http://www.virtualbox.org/" version="1.19-windows">
  <Machine uuid="{01234567-89ab-cdef-0123-456789abcdef}" name="Web &amp; Mail" OSType="Debian12_64" snapshotFolder="Snapshots" lastStateChange="2025-01-01T00:00:00Z">
    <Description>two
lines</Description>
    <MediaRegistry>
      <HardDisks>
        <HardDisk uuid="{11111111-1111-1111-1111-111111111111}" location="web.vdi" format="VDI" type="Normal">
          <HardDisk uuid="{22222222-2222-2222-2222-222222222222}" location="Snapshots/{22222222-2222-2222-2222-222222222222}.vdi" format="VDI"/>
        </HardDisk>
        <HardDisk uuid="{33333333-3333-3333-3333-333333333333}" location="D:\VMs\data.vhd" format="VHD" type="Writethrough"/>
      </HardDisks>
      <DVDImages><Image uuid="{44444444-4444-4444-4444-444444444444}" location="C:\iso\debian.iso"/></DVDImages>
    </MediaRegistry>
    <ExtraData>
      <ExtraDataItem name="GUI/LastCloseAction" value="PowerOff"/>
      <ExtraDataItem name="VBoxInternal/Devices/efi/0/Config/DmiSystemSerial" value="string:0042"/>
      <ExtraDataItem name="VBoxInternal/Devices/ahci/0/Config/Port1/SerialNumber" value="WD-1"/>
    </ExtraData>
    <Hardware uuid="{76543210-89ab-cdef-0123-456789abcdef}">
      <CPU count="4" hotplug="true"><PAE enabled="false"/><LongMode enabled="true"/><CpuTree><Cpu id="0"/><Cpu id="1"/></CpuTree></CPU>
      <Memory RAMSize="2048"/>
      <Firmware type="EFI"/>
      <HID Pointing="USBTablet"/>
      <Boot><Order position="1" device="DVD"/><Order position="2" device="HardDisk"/><Order position="3" device="None"/></Boot>
      <Display controller="VMSVGA" VRAMSize="128"/>
      <RemoteDisplay enabled="true"><VRDEProperties><Property name="VNCPassword" value="hush"/></VRDEProperties></RemoteDisplay>
      <BIOS><IOAPIC enabled="true"/><NVRAM path="web.nvram"/><SmbiosUuidLittleEndian enabled="true"/></BIOS>
      <TrustedPlatformModule type="v2_0" location=""/>
      <USB><Controllers><Controller name="OHCI" type="OHCI"/><Controller name="EHCI" type="EHCI"/></Controllers></USB>
      <Network>
        <Adapter slot="0" enabled="true" MACAddress="080027C08E7C" type="82540EM"><NAT><Forwarding name="ssh" proto="1" hostport="2222" guestport="22"/></NAT></Adapter>
        <Adapter slot="1" enabled="true" MACAddress="080027C08E7D" cable="false" type="virtio"><DisabledModes><NAT/></DisabledModes><BridgedInterface name="eth0"/></Adapter>
        <Adapter slot="2" type="82540EM"/>
      </Network>
      <UART><Port slot="0" enabled="true" IOBase="0x3f8" IRQ="4" path="\\.\pipe\web" hostMode="HostPipe"/></UART>
      <AudioAdapter driver="ALSA" enabled="true"/>
      <RTC localOrUTC="UTC"/>
      <SharedFolders><SharedFolder name="x" hostPath="/home" writable="true" autoMount="false"/></SharedFolders>
      <StorageControllers>
        <StorageController name="IDE" type="PIIX3" PortCount="2" useHostIOCache="true" Bootable="true">
          <AttachedDevice passthrough="false" type="DVD" hotpluggable="false" port="1" device="0"><Image uuid="{44444444-4444-4444-4444-444444444444}"/></AttachedDevice>
        </StorageController>
        <StorageController name="SATA" type="AHCI" PortCount="3" useHostIOCache="false" Bootable="true">
          <AttachedDevice nonrotational="true" type="HardDisk" hotpluggable="false" port="1" device="0"><Image uuid="{22222222-2222-2222-2222-222222222222}"/></AttachedDevice>
          <AttachedDevice type="HardDisk" hotpluggable="true" port="2" device="0"><Image uuid="{33333333-3333-3333-3333-333333333333}"/></AttachedDevice>
        </StorageController>
      </StorageControllers>
    </Hardware>
  </Machine>
</VirtualBox>
"#;

#[test]
fn everything_that_a_machine_has_is_read() {
    let parsed = parse(SETTINGS.as_bytes()).unwrap();
    let machine = &parsed.machine;
    assert_eq!((machine.name.as_str(), machine.notes.as_deref()), ("Web & Mail", Some("two\nlines")));
    assert_eq!((machine.cpu.count(), machine.max_cpus, machine.memory), (2, Some(4), 2 << 30));
    // SMBIOS 2.5: the guest prints what is stored, and the first fields are stored the other way round.
    assert_eq!(machine.bios_uuid, Some(uuid!("10325476-ab89-efcd-0123-456789abcdef")));
    let Firmware::Uefi(uefi) = &machine.firmware else { panic!("{:?}", machine.firmware) };
    assert_eq!(uefi.nvram.as_deref(), Some("web.nvram"));
    assert_eq!((machine.tpm, machine.clock), (Some(Tpm { version: 2 }), Clock::Utc));
    assert_eq!(machine.usb, [UsbController::Usb1, UsbController::Usb2]);
    assert_eq!(machine.smbios.serial.as_deref(), Some("0042"));

    let disks: Vec<_> = machine
        .disks
        .iter()
        .map(|disk| (disk.source.as_deref().unwrap(), disk.format.as_deref().unwrap()))
        .collect();
    let child = "Snapshots/{22222222-2222-2222-2222-222222222222}.vdi";
    assert_eq!(disks, [(child, "vdi"), (r"D:\VMs\data.vhd", "vhd")]);
    assert_eq!(machine.disks[0].attachment.bus, Bus::Sata);
    assert_eq!((machine.disks[0].attachment.unit, machine.disks[0].serial.as_deref()), (1, Some("WD-1")));
    assert!(machine.disks[0].ssd && machine.disks[1].independent);
    assert_eq!(machine.removables[0].medium.as_deref(), Some(r"C:\iso\debian.iso"));
    assert_eq!((machine.removables[0].attachment.controller, machine.removables[0].boot_order), (1, Some(1)));
    assert_eq!(machine.disks.iter().map(|disk| disk.boot_order).collect::<Vec<_>>(), [Some(2), Some(3)]);

    let nics: Vec<_> =
        machine.nics.iter().map(|nic| (nic.model.clone(), nic.network.as_deref(), nic.connected)).collect();
    assert_eq!(nics, [(NicModel::E1000, None, true), (NicModel::Virtio, Some("eth0"), false)]);
    assert_eq!(machine.nics[0].mac.unwrap().to_string(), "08:00:27:c0:8e:7c");
}

#[test]
fn what_a_machine_cannot_hold_is_kept_or_told() {
    let parsed = parse(SETTINGS.as_bytes()).unwrap();
    let kept: Vec<_> =
        parsed.machine.properties.iter().map(|own| (own.key.as_str(), own.value.as_str())).collect();
    for expected in [
        ("ExtraData/ExtraDataItem[GUI/LastCloseAction]/@value", "PowerOff"),
        ("Hardware/CPU/PAE/@enabled", "false"),
        ("Hardware/HID/@Pointing", "USBTablet"),
        ("Hardware/Network/Adapter[0]/@type", "82540EM"),
        ("Hardware/StorageControllers/StorageController[IDE]/@type", "PIIX3"),
    ] {
        assert!(kept.contains(&expected), "{expected:?}: {kept:#?}");
    }
    let said: Vec<_> = parsed.losses.iter().map(ToString::to_string).collect();
    for expected in
        ["sound cards", "shared folders", "forwarded ports", "remote display", "secret", "secure boot"]
    {
        assert!(said.iter().any(|said| said.contains(expected)), "{expected}: {said:#?}");
    }
    assert!(!format!("{parsed:?}").contains("hush"));
    // A machine like any other has nothing to keep.
    assert!(!kept.iter().any(|(key, _)| key.contains("LongMode") || key.contains("lastStateChange")));
}

#[test]
fn what_is_no_machine_is_refused_with_a_remedy() {
    let refuse = |from: &str, to: &str| {
        assert!(SETTINGS.contains(from), "{from}");
        let error = parse(SETTINGS.replace(from, to).as_bytes()).unwrap_err();
        assert!(!error.remedy().is_empty());
        error
    };
    assert!(matches!(refuse("1.19-windows", "1.7-linux"), Error::Version { .. }));
    assert!(matches!(refuse("RAMSize=\"2048\"", "RAMSize=\"2\""), Error::Value { line: 22, .. }));
    assert!(matches!(refuse("count=\"4\"", "count=\"many\""), Error::Value { .. }));
    assert!(matches!(refuse("http://www.virtualbox.org/", "urn:x"), Error::NotSettings { .. }));
    let encrypted = "type=\"Normal\"><Property name=\"CRYPT/KeyId\" value=\"k\"/>";
    assert!(matches!(refuse("type=\"Normal\">", encrypted), Error::EncryptedDisk { .. }));
    let global =
        r#"<VirtualBox xmlns="http://www.virtualbox.org/" version="1.12-linux"><Global/></VirtualBox>"#;
    assert_eq!(parse(global.as_bytes()).unwrap_err(), Error::Global);
    assert_eq!(parse(global.replace("Global", "MachineEncrypted").as_bytes()).unwrap_err(), Error::Encrypted);
    let entity = format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{}", &SETTINGS[SETTINGS.find('\n').unwrap()..]);
    assert!(matches!(parse(entity.as_bytes()).unwrap_err(), Error::Xml(_)));
    // As deep as XML goes.
    let deep = format!("{}{}", "<a b='c'>".repeat(900), "</a>".repeat(900));
    let parsed = parse(SETTINGS.replace("<RTC", &format!("{deep}<RTC")).as_bytes()).unwrap();
    assert!(parsed.losses.iter().any(|loss| loss.what == "Machine" && loss.severity == Severity::Warning));
}

#[test]
fn a_real_machine_is_read() {
    let path = corpus::directory().join("vm-vbox/GOAD-DC01.vbox");
    let Ok(bytes) = std::fs::read(&path) else {
        return println!("skipped: there is no {}", path.display());
    };
    let parsed = parse(&bytes).unwrap();
    let machine = &parsed.machine;
    assert_eq!(machine.name, "GOAD-DC01");
    assert_eq!(machine.guest_os.as_ref().unwrap().id, "Windows2016_64");
    assert_eq!((machine.cpu.count(), machine.memory >> 20), (2, 3000));
    // What is attached now, not what a snapshot attaches.
    let disk = &machine.disks[0];
    assert_eq!(disk.source.as_deref(), Some("Snapshots/{e6800503-8273-4f16-b584-c7ba2c1df698}.vmdk"));
    assert_eq!((machine.disks.len(), disk.attachment.bus), (1, Bus::Ide));
    assert_eq!(machine.nics[1].network.as_deref(), Some("vboxnet0"));
    assert!(parsed.losses.iter().any(|loss| loss.why.starts_with("2 snapshots")));
    println!("GOAD-DC01: {} properties, {} losses", machine.properties.len(), parsed.losses.len());
}

/// A VDI of that content and with that identifier.
fn vdi(path: &Path, content: &[u8], identifier: Uuid) {
    let format = image::by_name("vdi").unwrap();
    let new = NewImage { identifier: Some(identifier), ..NewImage::new(format) };
    let disk: Arc<dyn BlockRead> = Arc::new(MemoryDisk::from_bytes(content.to_vec()));
    image::copy::copy(disk, path, &new, &CopyOptions::default(), &NoProgress).unwrap();
}

#[test]
fn the_attached_end_of_a_chain_is_opened_with_what_is_below() {
    const SIZE: usize = 2 << 20;
    /// Where a VDI has its kind, and its parent's identifier.
    const KIND: usize = 0x4c;
    const PARENT: usize = 0x1a8;
    let directory = tempfile::tempdir().unwrap();
    let snapshots = directory.path().join("Snapshots");
    std::fs::create_dir(&snapshots).unwrap();
    let content: Vec<u8> = (0..SIZE).map(|index| (index / 512) as u8).collect();
    let (base, child) =
        (uuid!("11111111-1111-1111-1111-111111111111"), uuid!("22222222-2222-2222-2222-222222222222"));
    vdi(&directory.path().join("web.vdi"), &content, base);
    let path = snapshots.join(format!("{{{child}}}.vdi"));
    vdi(&path, &[0; SIZE], child);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[KIND..KIND + 4].copy_from_slice(&4_u32.to_le_bytes());
    bytes[PARENT..PARENT + 16].copy_from_slice(&base.to_bytes_le());
    std::fs::write(&path, bytes).unwrap();
    std::fs::write(directory.path().join("web.vbox"), SETTINGS).unwrap();

    let package = Package::open(&directory.path().join("web.vbox")).unwrap();
    assert_eq!(package.kind, "vbox");
    let image = package.open_disk(&package.machine.disks[0]).unwrap();
    let mut read = vec![0; SIZE];
    image.read_at(&mut read, 0).unwrap();
    assert!(read == content);
}
