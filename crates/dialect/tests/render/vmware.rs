//! `.vmx` files and OVF descriptors, checked as strictly as VMware's importers do, by xmllint and by virt-v2v.

use crate::{VMX, hostile_names, options};
use dialect::{Dialect, Network, RenderError, RenderOptions};
use machine::{Firmware, Machine, SerialPort, SerialTarget};
use profile::Profile;
use roxmltree::{Document, Node};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn profile(id: &str) -> &'static Profile {
    profile::find(id).unwrap()
}

/// The machine of [`VMX`], on that hardware.
fn machine(profile: &Profile) -> Machine {
    let parsed = dialect::vmx::parse(VMX.as_bytes()).unwrap();
    let adapted = dialect::adapt(&parsed.machine, profile);
    assert_eq!(adapted.objections, []);
    adapted.machine
}

fn beside(machine: &Machine) -> RenderOptions {
    let mut options = options(machine, Path::new(""));
    for disk in &mut options.disks {
        disk.path.set_extension("vmdk");
        disk.format = "vmdk".to_owned();
        disk.subformat = Some("streamOptimized".to_owned());
        disk.capacity = 1 << 30;
        disk.file_size = Some(1 << 20);
    }
    options
}

fn render(dialect: &Dialect, machine: &Machine, profile: &Profile) -> String {
    dialect.render.unwrap()(machine, profile, &beside(machine)).unwrap().text
}

#[test]
fn files_read_well() {
    for (dialect, target) in [
        (&dialect::vmx::DIALECT, "esxi"),
        (&dialect::vmx::DIALECT, "workstation"),
        (&dialect::ovf::DIALECT, "esxi"),
        (&dialect::ovf::DIALECT, "virtualbox"),
    ] {
        let profile = profile(target);
        let text = render(dialect, &machine(profile), profile);
        insta::assert_snapshot!(format!("{}-{target}", dialect.name), text);
    }
}

/// Runs a program on a file that holds the text.
fn read_by(program: &str, debian: &str, arguments: &[&str], directory: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed (Debian: {debian}): {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn virt_v2v_reads_the_machine_of_a_vmx() {
    if Command::new("virt-v2v").arg("--version").output().is_err() {
        println!(
            "skipped: virt-v2v is not installed, and drags half a distribution in (`./dev bench convert` installs it)"
        );
        return;
    }
    for target in ["esxi", "workstation"] {
        let directory = tempfile::tempdir().unwrap();
        let profile = profile(target);
        let mut machine = machine(profile);
        // It knows no NVMe.
        machine.disks.retain(|disk| disk.attachment.bus != machine::Bus::Nvme);
        for disk in &machine.disks {
            let arguments = ["create", "-q", "-f", "vmdk", &format!("{}.vmdk", disk.id), "1M"];
            read_by("qemu-img", "qemu-utils", &arguments, directory.path());
        }
        std::fs::write(directory.path().join("web.vmx"), render(&dialect::vmx::DIALECT, &machine, profile))
            .unwrap();
        let arguments = ["-i", "vmx", "web.vmx", "--print-source"];
        let said = read_by("virt-v2v", "virt-v2v", &arguments, directory.path());
        for fact in [
            "source name: Web & <Mail> (prod)",
            "memory: 2147483648 (bytes)",
            "nr vCPUs: 4",
            "CPU topology: sockets: 2 cores/socket: 2",
            "firmware: uefi",
            "[vmxnet3]",
            "[e1000]",
        ] {
            assert!(said.contains(fact), "{fact:?} is not in {said}");
        }
        assert_eq!(said.matches("[scsi]").count(), 2, "{said}");
    }
}

/// The machine with everything that is text set to the same.
fn named(name: &str, profile: &Profile) -> Machine {
    let text = || Some(name.to_owned());
    let mut machine = Machine { name: name.to_owned(), notes: text(), ..machine(profile) };
    machine.nics.iter_mut().for_each(|nic| nic.network = text());
    machine.removables.iter_mut().for_each(|drive| drive.medium = text());
    machine.disks.iter_mut().for_each(|disk| disk.serial = text());
    machine.serials.push(SerialPort { target: SerialTarget::File(name.to_owned()) });
    machine.smbios.serial = text();
    machine.guest_os = text().map(|id| machine::GuestOs { vocabulary: "vmware".to_owned(), id });
    if let Some(video) = &mut machine.video {
        video.model = text();
    }
    let properties = ["vmx", "ovf"].into_iter().flat_map(|dialect| {
        [name, "ethernet0.pciSlotNumber", "ProductSection.Vendor"].map(|key| machine::Property {
            dialect: dialect.to_owned(),
            key: key.to_owned(),
            value: name.to_owned(),
        })
    });
    machine.properties = properties.collect();
    machine
}

#[test]
fn hostile_names_set_no_keys() {
    for target in ["esxi", "workstation"] {
        let profile = profile(target);
        let keys = |text: &str| -> Vec<String> {
            // A reader of its own: one assignment a line, in printable characters and quotes.
            let lines = text.lines().map(|line| line.strip_suffix('"').unwrap().split_once(" = \"").unwrap());
            let plain = |c: char| c != '"' && !c.is_ascii_control();
            lines
                .inspect(|(_, value)| assert!(value.chars().all(plain), "{value:?}"))
                .map(|(key, _)| key.to_owned())
                .collect()
        };
        let kept = |key: &String| key != "annotation" && !key.ends_with(".vnet");
        let expected: Vec<String> = keys(&render(&dialect::vmx::DIALECT, &named("plain", profile), profile))
            .into_iter()
            .filter(kept)
            .collect();
        for name in hostile_names() {
            let text = render(&dialect::vmx::DIALECT, &named(&name, profile), profile);
            let found: Vec<String> = keys(&text).into_iter().filter(kept).collect();
            assert_eq!(found, expected, "{name:?}");
            let read = dialect::vmx::parse(text.as_bytes()).unwrap().machine;
            assert_eq!((read.name.as_str(), read.notes.unwrap_or_default().as_str()), (&*name, &*name));
        }
    }
}

#[test]
fn hostile_names_make_no_elements() {
    let directory = tempfile::tempdir().unwrap();
    for target in ["esxi", "virtualbox"] {
        let profile = profile(target);
        for (index, name) in hostile_names().into_iter().enumerate() {
            let machine = named(&name, profile);
            let text = render(&dialect::ovf::DIALECT, &machine, profile);
            check(&text, target);
            std::fs::write(directory.path().join(format!("{target}{index}.ovf")), &text).unwrap();
            let tree = Document::parse(&text).unwrap();
            let items = tree
                .descendants()
                .filter(|node| node.has_tag_name("Item") || node.tag_name().name() == "Item");
            let plain = render(&dialect::ovf::DIALECT, &named("plain", profile), profile);
            assert_eq!(items.count(), plain.matches("</Item>").count(), "{name:?}");
            dialect::ovf::parse(text.as_bytes()).unwrap();
        }
    }
    let files = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let files: Vec<String> = files.map(|name| name.to_str().unwrap().to_owned()).collect();
    let arguments: Vec<&str> =
        ["--noout", "--nonet"].into_iter().chain(files.iter().map(String::as_str)).collect();
    read_by("xmllint", "libxml2-utils", &arguments, directory.path());
}

const OVF: &str = "http://schemas.dmtf.org/ovf/envelope/1";

fn child_text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children().find(|child| child.tag_name().name() == name)?.text()
}

fn values<'a>(tree: &'a Document<'_>, element: &str, attribute: &str) -> BTreeSet<&'a str> {
    let nodes = tree.descendants().filter(|node| node.tag_name().name() == element);
    nodes.filter_map(|node| node.attribute((OVF, attribute))).collect()
}

/// What VMware's importer refuses: items whose elements are out of order, that lack a name, a number or a type, references
/// that lead nowhere, and extensions that are not marked as such.
fn check(text: &str, target: &str) {
    let tree = Document::parse(text).unwrap();
    let items: Vec<Node> = tree.descendants().filter(|node| node.tag_name().name() == "Item").collect();
    let instances: Vec<&str> = items.iter().filter_map(|item| child_text(*item, "InstanceID")).collect();
    assert_eq!(instances.len(), items.len());
    assert_eq!(instances.iter().collect::<BTreeSet<_>>().len(), items.len(), "two items have one number");
    let (disks, files) = (values(&tree, "Disk", "diskId"), values(&tree, "File", "id"));
    let networks = values(&tree, "Network", "name");
    for item in &items {
        let names: Vec<&str> = item
            .children()
            .filter(|child| child.is_element() && child.tag_name().namespace().unwrap().contains("CIM_"))
            .map(|child| child.tag_name().name())
            .collect();
        assert!(names.is_sorted(), "{names:?}");
        for needed in ["ElementName", "InstanceID", "ResourceType"] {
            assert!(child_text(*item, needed).is_some(), "{needed}: {text}");
        }
        let parent = child_text(*item, "Parent");
        assert!(parent.is_none_or(|parent| instances.contains(&parent)), "{parent:?}");
        match child_text(*item, "HostResource").map(|uri| uri.rsplit_once('/').unwrap()) {
            Some(("ovf:/disk", id)) => assert!(disks.contains(id)),
            Some(("ovf:/file", id)) => assert!(files.contains(id)),
            other => assert_eq!(other, None),
        }
        if let Some(network) = child_text(*item, "Connection") {
            let named = |known: &&str| known.trim() == network.trim();
            assert!(networks.iter().any(named), "{network:?} {networks:?}");
        }
    }
    assert!(values(&tree, "Disk", "fileRef").is_subset(&files));
    for node in tree.descendants().filter(Node::is_element) {
        let namespace = node.tag_name().namespace().unwrap();
        if !namespace.starts_with("http://schemas.dmtf.org/") {
            assert_eq!(node.attribute((OVF, "required")), Some("false"), "{:?}", node.tag_name());
            assert!(target != "virtualbox" || !namespace.contains("vmware"));
        }
    }
}

#[test]
fn a_strict_importer_takes_the_descriptor() {
    for target in ["esxi", "workstation", "virtualbox"] {
        let profile = profile(target);
        let mut options = beside(&machine(profile));
        options.media.insert(0, "debian.iso".into());
        let text = dialect::ovf::render(&machine(profile), profile, &options).unwrap().text;
        check(&text, target);
        let parsed = dialect::ovf::parse(text.as_bytes()).unwrap();
        assert_eq!(parsed.machine.removables[0].medium.as_deref(), Some("debian.iso"));
        assert_eq!(parsed.files.len(), 4);
        assert_eq!(parsed.files[0].size, Some(1 << 20));
        assert_eq!(parsed.machine.disks[0].capacity, Some(1 << 30));
    }
}

#[test]
fn settings_go_back_only_where_they_are_harmless() {
    let text = format!(
        "{VMX}ethernet0.pciSlotNumber = \"192\"\ndisk.EnableUUID = \"TRUE\"\nvmx.log.filename = \"/etc/cron.d/x\"\n\
         isolation.tools.copy.disable = \"FALSE\"\nRemoteDisplay.vnc.enabled = \"TRUE\"\nethernet7.pciSlotNumber = \"9\"\n"
    );
    let profile = profile("esxi");
    let machine = dialect::adapt(&dialect::vmx::parse(text.as_bytes()).unwrap().machine, profile).machine;
    let rendered = dialect::vmx::render(&machine, profile, &beside(&machine)).unwrap();
    assert!(rendered.text.contains("ethernet0.pciSlotNumber = \"192\"\n"));
    assert!(rendered.text.contains("disk.EnableUUID = \"TRUE\"\n"));
    for gone in ["cron", "isolation", "vnc", "ethernet7"] {
        assert!(!rendered.text.contains(gone), "{gone}: {}", rendered.text);
    }
    assert!(rendered.losses.iter().any(|loss| loss.what == "properties"));
}

#[test]
fn networks_go_where_they_are_sent() {
    let networks = [("DMZ", Network::Managed("vmnet8".to_owned())), ("VM Network", Network::User)];
    let sent = |target: &str, dialect: &Dialect, networks: &[(&str, Network)]| {
        let machine = machine(profile(target));
        let networks = networks.iter().map(|(name, network)| ((*name).to_owned(), network.clone()));
        let options = RenderOptions { networks: networks.collect(), ..beside(&machine) };
        let rendered = dialect.render.unwrap()(&machine, profile(target), &options).unwrap();
        let told = rendered.losses.iter().filter(|loss| loss.what.ends_with(".network")).count();
        (rendered.text, told)
    };
    let (text, told) = sent("workstation", &dialect::vmx::DIALECT, &networks);
    assert!(text.contains("ethernet0.connectionType = \"custom\"\nethernet0.vnet = \"vmnet8\"\n"), "{text}");
    assert!(text.contains("ethernet1.connectionType = \"nat\"\n") && told == 0, "{text}");
    let (text, told) = sent("workstation", &dialect::vmx::DIALECT, &[]);
    assert!(text.contains("ethernet0.connectionType = \"bridged\"\n") && told == 2, "{text}");
    let (text, told) = sent("esxi", &dialect::vmx::DIALECT, &[]);
    assert!(text.contains("ethernet0.networkName = \"DMZ\"\n") && told == 0, "{text}");
    let (text, told) = sent("esxi", &dialect::ovf::DIALECT, &networks);
    assert!(text.contains("<rasd:Connection>vmnet8</rasd:Connection>") && told == 0, "{text}");
    assert!(text.contains("<Network ovf:name='vmnet8'>") && !text.contains("DMZ"), "{text}");
}

#[test]
fn media_and_variables_are_where_they_were_put() {
    let machine = machine(profile("esxi"));
    let mut options = beside(&machine);
    options.name = Some("another".to_owned());
    options.media.insert(1, "boot.flp".into());
    options.nvram = Some("web.nvram".into());
    let text = dialect::vmx::render(&machine, profile("esxi"), &options).unwrap().text;
    let read = dialect::vmx::parse(text.as_bytes()).unwrap().machine;
    assert_eq!(read.name, "another");
    assert_eq!(read.removables[1].medium.as_deref(), Some("boot.flp"));
    assert!(matches!(read.firmware, Firmware::Uefi(uefi) if uefi.nvram.as_deref() == Some("web.nvram")));
}

#[test]
fn an_older_release_has_an_older_hardware_version() {
    for (release, version) in [("8.0", "20"), ("7.0", "17"), ("6.5", "13")] {
        let profile = profile::find_release("esxi", release).unwrap();
        let machine = Machine { tpm: None, ..machine(profile) };
        let vmx = render(&dialect::vmx::DIALECT, &machine, profile);
        assert!(vmx.contains(&format!("virtualHW.version = \"{version}\"\n")));
        let ovf = render(&dialect::ovf::DIALECT, &machine, profile);
        assert!(ovf.contains(&format!(">vmx-{version}</vssd:VirtualSystemType>")));
        // The guest reads the same UUID whatever the order of bytes.
        for read in [
            dialect::vmx::parse(vmx.as_bytes()).unwrap().machine,
            dialect::ovf::parse(ovf.as_bytes()).unwrap().machine,
        ] {
            assert_eq!(read.bios_uuid, machine.bios_uuid);
        }
    }
}

#[test]
fn what_cannot_be_written_is_an_error() {
    for (dialect, target) in [(&dialect::vmx::DIALECT, "esxi"), (&dialect::ovf::DIALECT, "virtualbox")] {
        let render = |machine: &Machine, options: &RenderOptions| {
            dialect.render.unwrap()(machine, profile(target), options).unwrap_err()
        };
        let machine = machine(profile(target));
        let no_file = render(&machine, &RenderOptions::default());
        assert_eq!(no_file, RenderError::NoFile { disk: "disk1".to_owned() });
        // Hardware that the target does not have.
        let mut other = machine.clone();
        other.nics[0].model = machine::NicModel::Tulip;
        assert!(matches!(render(&other, &beside(&other)), RenderError::NicModel { .. }));
        let mut other = machine;
        other.disks[0].attachment.bus = machine::Bus::VirtioBlk;
        assert!(matches!(render(&other, &beside(&other)), RenderError::Bus { .. }));
    }
}
