//! Real `.vmx` files, against what libvirt reads in them and what virt-v2v prints of them.

#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

#[path = "round_trip/compare.rs"]
mod compare;
mod corpus;

use corpus::score::Score;
use machine::{Bus, Machine, NicModel, RemovableKind, ScsiModel, SerialTarget};
use roxmltree::{Document, Node};
use std::collections::BTreeMap;

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.tag_name().name() == name)
}

fn text(node: Node, name: &str) -> String {
    child(node, name).and_then(|child| child.text()).unwrap_or_default().to_owned()
}

fn attribute(node: Node, element: &str, name: &str) -> String {
    child(node, element).and_then(|child| child.attribute(name)).unwrap_or_default().to_owned()
}

/// The file's name without the datastore and directory that libvirt's test driver puts before it.
fn base(file: &str) -> String {
    file.rsplit(['/', ']']).next().unwrap_or_default().trim().trim_start_matches("directory/").to_owned()
}

fn bus_name(bus: Bus) -> &'static str {
    match bus {
        Bus::Ide => "ide",
        Bus::Sata => "sata",
        Bus::Scsi(_) => "scsi",
        Bus::Nvme => "nvme",
        Bus::VirtioBlk => "virtio",
        Bus::Usb => "usb",
        Bus::Floppy => "fdc",
        Bus::Xen => "xen",
    }
}

fn scsi_name(model: ScsiModel) -> &'static str {
    match model {
        ScsiModel::BusLogic => "buslogic",
        ScsiModel::LsiLogic => "lsilogic",
        ScsiModel::LsiSas => "lsisas1068",
        ScsiModel::Pvscsi => "vmpvscsi",
        ScsiModel::HyperV => "hyper-v",
        ScsiModel::VirtioScsi => "virtio-scsi",
    }
}

fn nic_name(model: &NicModel) -> String {
    match model {
        NicModel::Pcnet => "vlance".to_owned(),
        NicModel::Vmxnet2 => "vmxnet2".to_owned(),
        NicModel::Vmxnet3 => "vmxnet3".to_owned(),
        NicModel::E1000 => "e1000".to_owned(),
        NicModel::E1000e => "e1000e".to_owned(),
        other => format!("{other:?}"),
    }
}

fn compare(machine: &Machine, bytes: &[u8], domain: Node, score: &mut Score) {
    score.check("name", machine.name.clone(), text(domain, "name"));
    // libvirt writes the bytes in file order; ours is what the guest reads, which differs from version 13 on.
    let raw = machine.bios_uuid.unwrap_or_default();
    let version = String::from_utf8_lossy(bytes)
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("virtualhw.version").map(str::to_owned))
        .and_then(|rest| rest.trim_matches([' ', '=', '"', '\r']).parse::<u32>().ok());
    let file_order = if version >= Some(13) { uuid::Uuid::from_bytes(raw.to_bytes_le()) } else { raw };
    score.check("uuid", file_order.to_string(), text(domain, "uuid"));
    score.check("memory", (machine.memory / 1024).to_string(), text(domain, "memory"));
    score.check("vcpus", machine.cpu.count().to_string(), text(domain, "vcpu"));
    score.check("description", machine.notes.clone().unwrap_or_default(), text(domain, "description"));
    let os = child(domain, "os").unwrap();
    let is_efi = os.attribute("firmware") == Some("efi");
    score.check("firmware", matches!(machine.firmware, machine::Firmware::Uefi(_)), is_efi);
    let devices = child(domain, "devices").unwrap();
    compare_drives(machine, devices, score);
    compare_nics(machine, devices, score);
    let serials: Vec<Node> = devices.children().filter(|node| node.tag_name().name() == "serial").collect();
    score.check("serials", machine.serials.len(), serials.len());
    for (serial, node) in machine.serials.iter().zip(serials) {
        let (kind, place) = match &serial.target {
            SerialTarget::Console => ("null", String::new()),
            SerialTarget::File(file) => ("file", base(file)),
            SerialTarget::Pipe(pipe) => ("pipe", pipe.clone()),
            SerialTarget::Device(device) => ("dev", device.clone()),
            // A concentrator's address says nothing to libvirt.
            SerialTarget::Network(address) if !address.contains("://") => ("null", String::new()),
            SerialTarget::Network(_) => ("tcp", String::new()),
        };
        score.check("serial", kind, node.attribute("type").unwrap());
        let path = attribute(node, "source", "path");
        score.check("serial's path", place, if kind == "file" { base(&path) } else { path });
    }
}

/// Drives by their place, as kind and file name.
fn compare_drives(machine: &Machine, devices: Node, score: &mut Score) {
    let mut expected = BTreeMap::new();
    let mut models = BTreeMap::new();
    for node in devices.children() {
        match node.tag_name().name() {
            "disk" => {
                let file = attribute(node, "source", "file");
                let device = node.attribute("device").unwrap_or("disk");
                let bus = attribute(node, "target", "bus");
                let address = |name| attribute(node, "address", name);
                // An IDE channel is a bus there, a controller here.
                let controller = if bus == "ide" { address("bus") } else { address("controller") };
                let key = format!("{bus}{controller}:{}", address("unit"));
                expected.insert(key, (device.to_owned(), base(&file)));
            }
            "controller" if node.attribute("model").is_some() => {
                models.insert(
                    node.attribute("index").unwrap().to_owned(),
                    node.attribute("model").unwrap().to_owned(),
                );
            }
            _ => {}
        }
    }
    let mut got = BTreeMap::new();
    for disk in &machine.disks {
        let at = disk.attachment;
        let key = format!("{}{}:{}", bus_name(at.bus), at.controller, at.unit);
        got.insert(key, ("disk".to_owned(), base(disk.source.as_deref().unwrap_or_default())));
        if let (Bus::Scsi(model), Some(expected)) = (at.bus, models.get(&at.controller.to_string())) {
            score.check("controller", scsi_name(model).to_owned(), expected.clone());
        }
    }
    for drive in &machine.removables {
        let kind = if drive.kind == RemovableKind::Cdrom { "cdrom" } else { "floppy" };
        let key = format!(
            "{}{}:{}",
            bus_name(drive.attachment.bus),
            drive.attachment.controller,
            drive.attachment.unit
        );
        got.insert(key, (kind.to_owned(), base(drive.medium.as_deref().unwrap_or_default())));
    }
    // libvirt cannot say that a drive is empty, and leaves those out.
    got.retain(|place, (kind, medium)| kind == "disk" || !medium.is_empty() || expected.contains_key(place));
    score.check("number of drives", got.len(), expected.len());
    for (place, (device, file)) in expected {
        // A drive of the host's is a "lun" there, whose path does not move; it is an empty drive here.
        let device = if device == "lun" { "cdrom".to_owned() } else { device };
        score.check(&place, got.get(&place).cloned(), Some((device, file)));
    }
}

fn compare_nics(machine: &Machine, devices: Node, score: &mut Score) {
    let nodes: Vec<Node> = devices.children().filter(|node| node.tag_name().name() == "interface").collect();
    score.check("nics", machine.nics.len(), nodes.len());
    for (nic, node) in machine.nics.iter().zip(nodes) {
        let mac = nic.mac.map(|mac| mac.to_string()).unwrap_or_default();
        score.check("mac", mac, attribute(node, "mac", "address"));
        let model = attribute(node, "model", "type");
        if !model.is_empty() {
            score.check("model", nic_name(&nic.model), model);
        }
        let source = child(node, "source");
        let network = source.and_then(|source| {
            source.attribute("bridge").or(source.attribute("network")).or(source.attribute("portgroupid"))
        });
        if let Some(network) = network {
            score.check("network", nic.network.clone().unwrap_or_default(), network.to_owned());
        }
    }
}

#[test]
fn facts_are_those_that_libvirt_reads() {
    let Some(members) = corpus::suite("libvirt-vmx2xmldata") else { return };
    let mut score = Score::default();
    let mut pairs = 0;
    for (stem, vmx, xml) in in_pairs(&members) {
        pairs += 1;
        let machine = dialect::vmx::parse(vmx).unwrap_or_else(|error| panic!("{stem}: {error}")).machine;
        let tree = Document::parse(xml).unwrap();
        let before = score.wrong.len();
        compare(&machine, vmx, tree.root_element(), &mut score);
        score.wrong[before..].iter_mut().for_each(|wrong| wrong.insert_str(0, &format!("{stem}: ")));
    }
    score.print(&format!("{pairs} pairs of .vmx and what libvirt reads in them"));
    assert!(score.wrong.len() <= TOLERATED, "more facts differ than should");
    assert!(score.right >= 355, "fewer facts were compared than there are");
}

/// The other way round: what libvirt writes of a domain says what our reader of domains finds in it.
#[test]
fn facts_are_those_that_libvirt_writes() {
    let Some(members) = corpus::suite("libvirt-xml2vmxdata") else { return };
    let mut score = Score::default();
    let mut pairs = 0;
    for (stem, vmx, xml) in in_pairs(&members) {
        let Ok(domain) = dialect::libvirt::parse(xml.as_bytes()) else { continue };
        pairs += 1;
        let (written, domain) = (dialect::vmx::parse(vmx).unwrap().machine, domain.machine);
        let before = score.wrong.len();
        score.check("name", &written.name, &domain.name);
        score.check("notes", &written.notes, &domain.notes);
        // libvirt rounds up to what VMware's memory comes in.
        score.check("memory", written.memory, domain.memory.next_multiple_of(4 << 20));
        score.check("processors", written.cpu.count(), domain.cpu.count());
        let is_uefi = |machine: &Machine| matches!(machine.firmware, machine::Firmware::Uefi(_));
        score.check("firmware", is_uefi(&written), is_uefi(&domain));
        let drives = |machine: &Machine| machine.disks.len() + machine.removables.len();
        score.check("drives", drives(&written), drives(&domain));
        let macs = |machine: &Machine| machine.nics.iter().map(|nic| nic.mac).collect::<Vec<_>>();
        score.check("addresses", macs(&written), macs(&domain));
        score.check("serial ports", written.serials.len(), domain.serials.len());
        score.wrong[before..].iter_mut().for_each(|wrong| wrong.insert_str(0, &format!("{stem}: ")));
    }
    score.print(&format!("{pairs} pairs of libvirt domains and the .vmx that libvirt writes of them"));
    assert!(score.wrong.len() <= 1, "more facts differ than should");
    assert!(score.right >= 199, "fewer facts were compared than there are");
}

/// The `.vmx` files with a domain beside them: what both are called, and both.
fn in_pairs(members: &[corpus::Member]) -> Vec<(&str, &[u8], &str)> {
    let xml = |stem: &str| {
        let member = members.iter().find(|member| member.path.strip_suffix(".xml") == Some(stem))?;
        std::str::from_utf8(&member.bytes).ok()
    };
    members
        .iter()
        .filter_map(|member| {
            let stem = member.path.strip_suffix(".vmx")?;
            Some((stem, member.bytes.as_slice(), xml(stem)?))
        })
        .collect()
}

/// Every machine of the corpus goes to each of VMware's products and comes back less what was told.
#[test]
fn real_machines_come_back_less_the_losses() {
    let (mut there, mut refused) = (0, 0);
    for suite in ["libvirt-vmx2xmldata", "libvirt-xml2vmxdata", "virt-v2v-vmx-ova", "virt-manager-virtconv"] {
        let Some(members) = corpus::suite(suite) else { return };
        for member in members.iter().filter(|member| member.path.ends_with(".vmx")) {
            let Ok(parsed) = dialect::vmx::parse(&member.bytes) else { continue };
            for (target, dialect) in [
                ("esxi", &dialect::vmx::DIALECT),
                ("workstation", &dialect::vmx::DIALECT),
                ("esxi", &dialect::ovf::DIALECT),
                ("virtualbox", &dialect::ovf::DIALECT),
            ] {
                let profile = profile::find(target).unwrap();
                let adapted = dialect::adapt(&parsed.machine, profile);
                if adapted.objections.is_empty() {
                    compare::assert_round_trip(dialect, profile, &adapted.machine);
                    there += 1;
                } else {
                    refused += 1;
                }
            }
        }
    }
    println!(
        "{there} machines of .vmx files went to VMware's products and VirtualBox and back, {refused} cannot go"
    );
    assert!(there >= FLOOR, "fewer machines than there were");
}

/// How many machines went there and back.
const FLOOR: usize = 247;

/// Facts in which we differ on purpose: two SCSI devices of the source's host that are passed through, each with the
/// number of drives. They do not move, and are losses.
const TOLERATED: usize = 4;
