//! Real configurations of Hyper-V's: every property against what another reader finds, and the machines that they are.

#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

mod corpus;

use dialect::hyperv::{Tree, Value, vmcx, xml};
use machine::{Bus, Clock, Firmware, NicModel, RemovableKind};
use std::collections::BTreeMap;
use std::path::PathBuf;

const VMCX: &str = "EC04F346-DB96-4700-AF5B-77B3C56C38BD.vmcx";
const XML: &str = "B90AC31B-C6F8-479F-9B91-07B894A6A3F6.xml";

/// A file of the corpus; none, with a printed line, when the corpus is not there.
fn file(name: &str) -> Option<Vec<u8>> {
    let path: PathBuf = corpus::directory().join("vm-hyperv").join(name);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        println!("skipped: there is no {}", path.display());
    }
    bytes
}

/// The values of a tree as JSON, by their ways.
fn flat(path: String, value: &serde_json::Value, into: &mut BTreeMap<String, serde_json::Value>) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                flat(path, member, into);
            }
        }
        value => {
            into.insert(path, value.clone());
        }
    }
}

fn as_json(tree: &Tree) -> BTreeMap<String, serde_json::Value> {
    let json = |value: &Value| match value {
        Value::Int(number) => (*number).into(),
        Value::UInt(number) => (*number).into(),
        Value::Double(number) => (*number).into(),
        Value::Bool(value) => (*value).into(),
        text @ (Value::Text(_) | Value::Bytes(_)) => text.to_string().into(),
    };
    tree.values().map(|(path, value)| (path.to_owned(), json(value))).collect()
}

#[test]
fn every_value_of_a_vmcx_is_the_one_that_another_reader_finds() {
    let (Some(bytes), Some(expected)) = (file(VMCX), file(&format!("expected/{VMCX}.json"))) else { return };
    let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
    let mut values = BTreeMap::new();
    flat(String::new(), &expected["configuration"], &mut values);
    let got = as_json(&vmcx::tree(&bytes).unwrap());
    println!("{} values", values.len());
    assert!(values.len() > 250);
    assert_eq!(got, values);
}

#[test]
fn a_vmcx_is_a_machine() {
    let Some(bytes) = file(VMCX) else { return };
    let parsed = vmcx::parse(&bytes).unwrap();
    let machine = parsed.machine;
    assert_eq!(machine.name, "Default Generation 1");
    assert_eq!((machine.cpu.count(), machine.memory, machine.max_memory), (1, 1 << 30, None));
    assert_eq!((&machine.firmware, machine.clock), (&Firmware::Bios, Clock::LocalTime));
    // {9acfcc0c-d25c-4bd1-…} as the BIOS of generation 1 shows it.
    assert_eq!(machine.bios_uuid.unwrap().to_string(), "0ccccf9a-5cd2-d14b-b968-7bc4a42f1561");
    assert_eq!(machine.smbios.serial.as_deref(), Some("0233-9765-2178-7560-9149-7666-91"));
    let [disk] = machine.disks.as_slice() else { panic!("{:?}", machine.disks) };
    assert_eq!(disk.source.as_deref(), Some(r"C:\Disks\Default Generation 1.vhdx"));
    assert_eq!((disk.attachment.bus, disk.attachment.controller, disk.attachment.unit), (Bus::Ide, 0, 0));
    let [drive] = machine.removables.as_slice() else { panic!("{:?}", machine.removables) };
    assert_eq!(
        (drive.kind, drive.attachment.controller, drive.medium.as_deref()),
        (RemovableKind::Cdrom, 1, None)
    );
    let [nic] = machine.nics.as_slice() else { panic!("{:?}", machine.nics) };
    assert_eq!((&nic.model, nic.mac, nic.connected), (&NicModel::HyperV, None, false));
    assert_eq!((drive.boot_order, disk.boot_order), (Some(1), Some(2)));
    let kept =
        |key: &str| machine.properties.iter().find(|kept| kept.key == key).map(|kept| kept.value.as_str());
    assert_eq!(kept("settings/processors/weight"), Some("100"));
    assert_eq!(kept("properties/creation_time"), Some("hex:fcec38b4f142d901"));
    assert_eq!(kept("settings/processors/count"), None, "what is read is not kept");
}

#[test]
fn an_xml_is_a_machine() {
    let Some(bytes) = file(XML) else { return };
    let tree = xml::tree(&bytes).unwrap();
    // Every element with a type is a value.
    let text = utf16_text(&bytes);
    assert_eq!(tree.values().count(), text.matches(" type=\"").count());
    let machine = xml::parse(&bytes).unwrap().machine;
    assert_eq!((machine.name.as_str(), machine.memory), ("Default Generation 1", 512 << 20));
    assert_eq!(machine.bios_uuid.unwrap().to_string(), "3891b15a-e3ba-7b41-92cf-17eab4346c65");
    assert_eq!(machine.disks[0].source.as_deref(), Some(r"C:\Disks\Default Generation 1.vhdx"));
    assert_eq!((machine.disks.len(), machine.removables.len(), machine.nics.len()), (1, 1, 1));
    // The same in UTF-8, as some tools rewrite it.
    let utf8 = text.replacen("UTF-16", "UTF-8", 1);
    assert_eq!(xml::parse(utf8.as_bytes()).unwrap().machine, machine);
}

fn utf16_text(bytes: &[u8]) -> String {
    let units: Vec<u16> =
        bytes[2..].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16(&units).unwrap()
}

#[test]
fn both_are_recognised_by_content() {
    for (name, dialect) in [(VMCX, "hyperv-vmcx"), (XML, "hyperv-xml")] {
        let Some(bytes) = file(name) else { return };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.bin");
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(dialect::Package::open(&path).unwrap().kind, dialect);
    }
}

#[test]
fn damage_is_refused_or_harmless() {
    let Some(bytes) = file(VMCX) else { return };
    for cut in [0, 0x2d, 0x1000, 0x2008, 0x3000, 0x4001, bytes.len() - 1] {
        assert!(vmcx::parse(&bytes[..cut]).is_err(), "{cut:#x}");
    }
    // The older header takes over; without both there is nothing to read.
    let mut damaged = bytes.clone();
    damaged[8] ^= 1;
    assert!(vmcx::parse(&damaged).is_ok());
    damaged[0x1008] ^= 1;
    assert!(matches!(vmcx::parse(&damaged), Err(dialect::hyperv::Error::Header)));
    for at in (0x2000..bytes.len()).step_by(97) {
        let mut damaged = bytes.clone();
        damaged[at] = !damaged[at];
        let _ = vmcx::parse(&damaged);
    }
}
