//! Domains, checked by libvirt itself.

use crate::{adapted, kvm, options};
use dialect::render::Network;
use dialect::{RenderError, RenderOptions};
use machine::{
    Cache, Cpu, Disk, Firmware, GuestOs, Machine, NumaNode, Property, Smbios, UsbController, Video,
    differences,
};
use roxmltree::Document;
use std::path::Path;
use std::process::Command;

/// What a program of libvirt's prints about a file.
fn libvirt(program: &str, arguments: &[&str], text: &str) -> Result<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("domain.xml");
    std::fs::write(&path, text).unwrap();
    let arguments =
        arguments.iter().map(|argument| if *argument == "FILE" { path.to_str().unwrap() } else { argument });
    let output = Command::new(program)
        .args(arguments)
        .env("HOME", directory.path())
        .env("XDG_RUNTIME_DIR", directory.path())
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed (Debian: libvirt-clients): {error}"));
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout).unwrap());
    }
    Err(format!(
        "{}{}\n{text}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// That libvirt's schema allows the domain, and that its test driver takes it.
pub fn check(text: &str) {
    libvirt("virt-xml-validate", &["FILE", "domain"], text).unwrap();
    // The test driver takes only domains of its own kind.
    let text = text.replacen("type='kvm'", "type='test'", 1);
    libvirt("virsh", &["-q", "-c", "test:///default", "define", "FILE"], &text).unwrap();
}

fn render(machine: &Machine) -> String {
    dialect::libvirt::render(machine, kvm(), &options(machine, Path::new("/images"))).unwrap().text
}

#[test]
fn a_domain_is_valid_and_says_what_the_machine_is() {
    let text = render(&adapted());
    check(&text);
    insta::assert_snapshot!(text);
}

#[test]
fn a_plain_machine_is_valid() {
    let mut machine = adapted();
    machine.firmware = Firmware::Bios;
    machine.tpm = None;
    machine.video = None;
    machine.removables.clear();
    machine.nics.clear();
    machine.disks.truncate(1);
    machine.bios_uuid = None;
    machine.cpu = Cpu { sockets: 1, cores_per_socket: 4, threads_per_core: 2 };
    let text = render(&machine);
    check(&text);
    insta::assert_snapshot!(text);
}

#[test]
fn many_disks_have_places_and_names() {
    let mut machine = adapted();
    let disk = machine.disks[0].clone();
    machine.disks =
        (0..60).map(|index| Disk { id: format!("disk{index}"), boot_order: None, ..disk.clone() }).collect();
    let machine = dialect::adapt(&machine, kvm()).machine;
    let text = render(&machine);
    check(&text);
    let tree = Document::parse(&text).unwrap();
    let names: std::collections::BTreeSet<_> = tree
        .descendants()
        .filter(|node| node.has_tag_name("target"))
        .filter_map(|node| node.attribute("dev"))
        .collect();
    assert_eq!(names.len(), 62);
    assert!(names.contains("sdaa") && names.contains("sdbh"));
}

#[test]
fn networks_go_where_they_are_sent() {
    let machine = adapted();
    let mut options = options(&machine, Path::new("/images"));
    options.networks.insert("DMZ".to_owned(), Network::Bridge("br-dmz".to_owned()));
    let rendered = dialect::libvirt::render(&machine, kvm(), &options).unwrap();
    check(&rendered.text);
    assert!(rendered.text.contains("<source bridge='br-dmz'/>"));
    assert!(rendered.text.contains("<source network='default'/>"));
    let said: Vec<_> = rendered.losses.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|said| said.contains("nic2.network → libvirt's network \"default\"")));
    assert!(!said.iter().any(|said| said.contains("DMZ")));
}

#[test]
fn media_are_in_their_drives() {
    let machine = adapted();
    let mut options = options(&machine, Path::new("/images"));
    options.media.insert(1, "/images/boot.flp".into());
    let rendered = dialect::libvirt::render(&machine, kvm(), &options).unwrap();
    check(&rendered.text);
    assert!(rendered.text.contains("<source file='/images/boot.flp'/>"));
    assert!(rendered.losses.iter().any(|loss| loss.why.contains("debian.iso")));
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let machine = adapted();
    let render =
        |machine: &Machine, options: &RenderOptions| dialect::libvirt::render(machine, kvm(), options);
    let no_files = RenderOptions::default();
    assert_eq!(render(&machine, &no_files).unwrap_err(), RenderError::NoFile { disk: "disk1".to_owned() });
    let relative = options(&machine, Path::new(""));
    assert!(matches!(render(&machine, &relative), Err(RenderError::Relative { .. })));
    // The source's hardware, as it is.
    let source = dialect::vmx::parse(crate::VMX.as_bytes()).unwrap().machine;
    let absolute = options(&source, Path::new("/images"));
    assert!(matches!(render(&source, &absolute), Err(RenderError::Bus { .. })));
}

/// A machine with what KVM has and few others say.
fn grown() -> Machine {
    let mut machine = adapted();
    machine.cpu = Cpu { sockets: 2, cores_per_socket: 2, threads_per_core: 1 };
    machine.max_cpus = Some(8);
    machine.max_memory = Some(8 << 30);
    machine.numa = [(0..4, 1 << 30), (4..8, 1 << 30)]
        .map(|(cpus, memory)| NumaNode { cpus: cpus.collect(), memory })
        .to_vec();
    machine.smbios = Smbios {
        manufacturer: Some("Maker & Sons".to_owned()),
        serial: Some("S-1".to_owned()),
        asset_tag: Some("A 1".to_owned()),
        ..Smbios::default()
    };
    machine.guest_os = Some(GuestOs { vocabulary: "libosinfo".to_owned(), id: "debian12".to_owned() });
    machine.usb = vec![UsbController::Usb2, UsbController::Usb3];
    machine.video = Some(Video { model: Some("qxl".to_owned()), memory: Some(64 << 20) });
    machine.disks[0].cache = Some(Cache::WriteBack);
    machine.disks[0].ssd = true;
    machine.disks[0].serial = Some("DISK 1".to_owned());
    machine.nics[0].vlan = Some(42);
    let kept = |key: &str, value: &str| Property {
        dialect: "libvirt".to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
    };
    machine.properties = vec![
        kept("features/kvm", "<kvm><hidden state='on'/></kvm>"),
        kept("on_crash", "<on_crash>preserve</on_crash>"),
        kept("devices/watchdog", "<watchdog model='i6300esb' action='reset'/>"),
    ];
    machine
}

#[test]
fn all_that_a_machine_has_is_said_and_libvirt_understands_it() {
    let machine = grown();
    let rendered =
        dialect::libvirt::render(&machine, kvm(), &options(&machine, Path::new("/images"))).unwrap();
    check(&rendered.text);
    insta::assert_snapshot!(rendered.text);
    let lost: Vec<&str> = rendered.losses.iter().map(|loss| loss.what.as_str()).collect();
    let expected =
        ["removables.0.medium", "removables.1.medium", "nic1.network", "nic1.vlan", "nic2.network"];
    assert_eq!(lost, expected);

    // What libvirt makes of it says the same of the machine.
    let text = rendered.text.replacen("type='kvm'", "type='test'", 1);
    let commands = "define FILE; dumpxml 'Web & <Mail> (prod)'";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("domain.xml");
    std::fs::write(&path, &text).unwrap();
    let commands = commands.replace("FILE", path.to_str().unwrap());
    let printed = libvirt("virsh", &["-q", "-c", "test:///default", &commands], &text).unwrap();
    let printed = &printed[printed.find("<domain").unwrap()..];
    let parse = |text: &str| {
        let mut machine = dialect::libvirt::parse(text.as_bytes()).unwrap().machine;
        // libvirt adds devices that it deems missing.
        machine.properties.clear();
        machine
    };
    let found = differences(&parse(&rendered.text), &parse(printed));
    assert_eq!(found, [], "{printed}");
}
