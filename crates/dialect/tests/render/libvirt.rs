//! Domains, checked by libvirt itself.

use crate::{adapted, kvm, options};
use dialect::render::Network;
use dialect::{RenderError, RenderOptions};
use machine::{Cpu, Disk, Firmware, Machine};
use roxmltree::Document;
use std::path::Path;
use std::process::Command;

/// Runs a program of libvirt's on a file.
fn libvirt(program: &str, arguments: &[&str], text: &str) -> Result<(), String> {
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
        return Ok(());
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
