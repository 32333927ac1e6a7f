//! Hostile names, thrown at both renderers.

use crate::{adapted, hostile_names, kvm, libvirt, options, script};
use dialect::naming;
use machine::{Firmware, Machine};
use roxmltree::Document;
use std::path::Path;

/// The machine, with a name and everything else that is text set to the same.
fn named(name: &str) -> Machine {
    let mut machine = Machine { name: name.to_owned(), firmware: Firmware::Bios, tpm: None, ..adapted() };
    machine.notes = Some(name.to_owned());
    for nic in &mut machine.nics {
        nic.network = Some(name.to_owned());
    }
    for drive in &mut machine.removables {
        drive.medium = Some(name.to_owned());
    }
    for disk in &mut machine.disks {
        disk.serial = Some(name.to_owned());
    }
    machine
}

/// What of a text XML can carry.
fn in_xml(text: &str) -> String {
    let is_xml = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if is_xml(c) { c } else { '\u{fffd}' }).collect()
}

#[test]
fn a_domain_reads_back_the_same_text() {
    for name in hostile_names() {
        let machine = named(&name);
        let text =
            dialect::libvirt::render(&machine, kvm(), &options(&machine, Path::new("/a"))).unwrap().text;
        let tree = Document::parse(&text).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let root = tree.root_element();
        let child = |name| root.children().find(|node| node.has_tag_name(name)).and_then(|node| node.text());
        assert_eq!(child("name").unwrap(), naming::domain_name(&name));
        assert_eq!(child("description").unwrap_or_default(), in_xml(&name));
        assert_eq!(tree.descendants().filter(|node| node.has_tag_name("domain")).count(), 1);
        libvirt::check(&text);
    }
}

#[test]
fn a_hostile_path_is_only_a_path() {
    for name in
        hostile_names().into_iter().filter(|name| !name.contains(['\0', '/', '\r']) && name.len() < 200)
    {
        let machine = named("plain");
        let directory = Path::new("/images").join(format!("x{name}"));
        let Ok(rendered) = dialect::libvirt::render(&machine, kvm(), &options(&machine, &directory)) else {
            assert_ne!(in_xml(&name), name, "{name:?} is refused, and XML can carry it");
            continue;
        };
        let tree = Document::parse(&rendered.text).unwrap();
        let file = tree.descendants().find_map(|node| node.attribute("file")).unwrap();
        assert_eq!(Path::new(file), directory.join("disk1.qcow2"));
    }
}

#[test]
fn a_script_runs_nothing_but_qemu() {
    let directory = tempfile::tempdir().unwrap();
    for (index, name) in hostile_names().into_iter().enumerate() {
        let machine = named(&name);
        let inner = directory.path().join(index.to_string());
        let path = script::laid_out(&inner, &machine);
        script::check_syntax(&path);
        let before = std::fs::read_dir(&inner).unwrap().count();
        let echo = script::echo(directory.path());
        let output =
            std::process::Command::new(&path).env("QEMU", &echo).current_dir(&inner).output().unwrap();
        assert!(output.status.success(), "{name:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(std::fs::read_dir(&inner).unwrap().count(), before, "{name:?} made a file");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let expected = naming::domain_name(&name).replace(',', ",,");
        let shown = text.split("[guest=").nth(1).and_then(|rest| rest.split("]\n[").next()).unwrap();
        assert_eq!(shown, expected, "{name:?}");
    }
}

#[test]
fn the_scripts_disks_may_be_called_anything() {
    let directory = tempfile::tempdir().unwrap();
    for name in
        hostile_names().into_iter().filter(|name| !name.contains(['\0', '/', '\r']) && name.len() < 200)
    {
        let machine = named("plain");
        let mut options = options(&machine, Path::new(""));
        options.disks[0].path = format!("x{name}").into();
        let Ok(rendered) = dialect::qemu_script::render(&machine, kvm(), &options) else { continue };
        let path = directory.path().join("run.sh");
        std::fs::write(&path, rendered.text).unwrap();
        let echo = script::echo(directory.path());
        let output = std::process::Command::new("sh").arg(&path).env("QEMU", echo).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let expected = format!("{}/x{}]", directory.path().display(), name.replace(',', ",,"));
        assert!(text.contains(&expected), "{name:?}: {text}");
        assert!(!directory.path().join("PWNED").exists() && !Path::new("PWNED").exists());
    }
}

/// Every setting of a configuration of Xen's, by Python, whose literals they are.
fn xl_settings(text: &str) -> String {
    let program = "import ast, sys\n\
                   for line in ast.parse(sys.stdin.buffer.read()).body:\n\
                   \x20   assert type(line) is ast.Assign and len(line.targets) == 1\n\
                   \x20   sys.stdout.buffer.write(line.targets[0].id.encode() + b'\\0')\n\
                   \x20   value = ast.literal_eval(line.value)\n\
                   \x20   value = value if isinstance(value, list) else [value]\n\
                   \x20   sys.stdout.buffer.write('\\1'.join(map(str, value)).encode() + b'\\0')\n";
    let mut child = std::process::Command::new("python3")
        .args(["-c", program])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3 is needed (Debian: python3)");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "Python cannot read it:\n{text}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_configuration_of_xen_says_what_it_should_to_another_reader() {
    let xen = profile::find("xen").unwrap();
    for name in hostile_names() {
        let mut machine = dialect::adapt(&named(&name), xen).machine;
        machine.smbios.serial = Some(name.clone());
        let mut options = options(&machine, Path::new("/images"));
        for disk in &mut options.disks {
            disk.format = "raw".to_owned();
        }
        let text = dialect::xl::render(&machine, xen, &options).unwrap().text;
        let settings = xl_settings(&text);
        let fields: Vec<&str> = settings.split('\0').collect();
        let value = |key: &str| fields.chunks(2).find(|pair| pair[0] == key).map(|pair| pair[1]);
        assert_eq!(value("name"), Some(naming::domain_name(&name).as_str()), "{text}");
        let disks: Vec<&str> = value("disk").unwrap().split('\x01').collect();
        assert_eq!(disks.len(), machine.disks.len() + machine.removables.len(), "{text}");
        assert!(fields.len() < 2 * 24, "{name:?} became a setting:\n{text}");
    }
}

#[test]
fn a_hostile_path_is_only_a_path_to_xen() {
    let xen = profile::find("xen").unwrap();
    for name in hostile_names().into_iter().filter(|name| !name.contains(['\0', '/']) && name.len() < 200) {
        let machine = dialect::adapt(&named("plain"), xen).machine;
        let directory = Path::new("/images").join(format!("x{name}"));
        let Ok(rendered) = dialect::xl::render(&machine, xen, &options(&machine, &directory)) else {
            assert!(name.contains(char::is_control) || name.contains('\u{fffe}'), "{name:?} is refused");
            continue;
        };
        let settings = xl_settings(&rendered.text);
        let disks = settings.split("disk\0").nth(1).unwrap();
        let first = disks.split(['\0', '\x01']).next().unwrap();
        let target = first.split_once("target=").unwrap().1;
        assert_eq!(Path::new(target), directory.join("disk1.qcow2"));
    }
}

#[test]
fn the_description_in_an_xva_reads_back_the_same_text() {
    let profile = profile::find("xcp-ng").unwrap();
    for name in hostile_names() {
        let machine = dialect::adapt(&named(&name), profile).machine;
        let text = dialect::xva::render(&machine, profile, &options(&machine, Path::new("/a"))).unwrap().text;
        let tree = Document::parse(&text).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let members = tree.descendants().filter(|node| node.has_tag_name("member"));
        let value = |field: &str| {
            let mut found =
                members.clone().filter(|member| member.first_child().unwrap().text() == Some(field));
            found.next().unwrap().last_child().unwrap().text().unwrap_or_default().to_owned()
        };
        assert_eq!((value("name_label"), value("name_description")), (in_xml(&name), in_xml(&name)));
        let parsed = dialect::xva::parse(text.as_bytes()).unwrap().machine;
        assert_eq!(parsed.disks.len(), machine.disks.len());
    }
}
