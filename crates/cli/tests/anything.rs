//! Any description to any other, as somebody at a prompt sees it.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod support;

use std::fs;
use std::path::Path;
use support::{Ran, anyvisor, names, small_ova, small_vmx, text};
use tempfile::TempDir;

const NETWORK: &str = "ethernet0.present = \"TRUE\"\nethernet0.virtualDev = \"vmxnet3\"\nethernet0.networkName = \"VM Network\"\n";

/// A VMX with a disk of 1 MiB and a card on "VM Network".
fn vmx(directory: &Path) -> std::path::PathBuf {
    support::write_raw(&directory.join("d.raw"), 1);
    support::write_vmdk(&directory.join("d.raw"), &directory.join("d.vmdk"), "monolithicSparse");
    small_vmx(directory, "d.vmdk", NETWORK)
}

fn json(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout))
}

#[test]
fn what_there_is_is_listed() {
    let targets = json(&anyvisor(&["targets", "--json"]));
    let ids: Vec<&str> = targets.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    let all = [
        "kvm",
        "proxmox",
        "kubevirt",
        "openstack",
        "esxi",
        "workstation",
        "hyperv",
        "xen",
        "xcp-ng",
        "virtualbox",
    ];
    assert_eq!(ids, all);
    let listed = anyvisor(&["targets"]).stdout;
    assert!(all.iter().all(|id| listed.contains(id)) && listed.contains("2012r2"), "{listed}");
    let sources = anyvisor(&["sources"]).stdout;
    assert!(["ova", "vmx", "libvirt", "disk"].iter().all(|name| sources.contains(name)), "{sources}");
    assert_eq!(sources.lines().filter(|line| line.starts_with("xva ")).count(), 1, "{sources}");
}

#[test]
fn a_description_is_translated_without_its_disks() {
    let directory = TempDir::new().unwrap();
    let source = small_vmx(directory.path(), "gone.vmdk", NETWORK);
    let plain = anyvisor(&["describe", text(&source)]);
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);
    assert!(plain.stdout.contains("gone.vmdk") && plain.stdout.contains("VM Network"), "{}", plain.stdout);
    let xml = anyvisor(&["describe", text(&source), "--as", "libvirt", "--map-network", "VM Network=br0"]);
    assert_eq!(xml.code, Some(0), "{}", xml.stderr);
    assert!(xml.stdout.starts_with("<domain") && xml.stdout.contains("bridge='br0'"), "{}", xml.stdout);
    assert!(xml.stderr.contains("disk1.attachment"), "{}", xml.stderr);
    let unknown = anyvisor(&["describe", text(&source), "--as", "hieroglyphs"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("libvirt"), "{}", unknown.stderr);
}

#[test]
fn a_directory_is_answered_line_by_line() {
    let directory = TempDir::new().unwrap();
    for name in ["a", "b"] {
        fs::create_dir(directory.path().join(name)).unwrap();
        vmx(&directory.path().join(name));
    }
    small_ova(directory.path(), 1);
    fs::write(directory.path().join("a/broken.vmx"), "config.version = \"8\"\nmemsize = \"lots\"\n").unwrap();
    let described = anyvisor(&["describe", text(directory.path())]);
    assert_eq!(described.code, Some(3), "{}", described.stderr);
    assert_eq!(
        described.stdout.lines().filter(|line| line.starts_with('✓')).count(),
        3,
        "{}",
        described.stdout
    );
    assert!(described.stdout.contains("memsize"), "{}", described.stdout);

    let output = directory.path().join("out");
    let converted = anyvisor(&[
        "convert",
        text(directory.path()),
        "--to",
        "esxi:6.7",
        "--disks-only",
        "--output",
        text(&output),
    ]);
    assert_eq!(converted.code, Some(3), "{}", converted.stderr);
    assert_eq!(
        converted.stdout.lines().filter(|line| line.starts_with('✓')).count(),
        3,
        "{}",
        converted.stdout
    );
    assert!(converted.stderr.contains("3 of 4 machines converted"), "{}", converted.stderr);
    assert_eq!(
        names(&output.join("b/small")),
        ["small-disk1-flat.vmdk", "small-disk1.vmdk", "small.manifest.json", "small.vmx"]
    );
    assert!(
        fs::read_to_string(output.join("b/small/small.vmx")).unwrap().contains("virtualHW.version = \"14\"")
    );
}

#[test]
fn networks_are_mapped_or_listed_before_anything_runs() {
    let directory = TempDir::new().unwrap();
    let source = vmx(directory.path());
    let output = directory.path().join("out");
    let to = |more: &[&str]| {
        anyvisor(
            &[&["convert", text(&source), "--to", "kvm", "--disks-only", "--output", text(&output)], more]
                .concat(),
        )
    };
    let planned = to(&["--dry-run"]);
    assert!(planned.stdout.contains("networks without a mapping: \"VM Network\""), "{}", planned.stdout);
    let file = directory.path().join("networks");
    fs::write(&file, "# ours\nVM Network = network:lan\n").unwrap();
    let option = format!("@{}", text(&file));
    let done = to(&["--map-network", &option]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(!done.stderr.contains("without a mapping"), "{}", done.stderr);
    assert!(fs::read_to_string(output.join("small.xml")).unwrap().contains("network='lan'"));
    assert!(done.stdout.contains("virsh define"), "{}", done.stdout);
    assert_eq!(to(&["--map-network", "nothing"]).code, Some(2));
}

#[test]
fn the_hardware_around_a_lone_disk_is_chosen() {
    let directory = TempDir::new().unwrap();
    vmx(directory.path());
    let (disk, output) = (directory.path().join("d.vmdk"), directory.path().join("out"));
    let arguments =
        ["convert", text(&disk), "--to", "xen", "--disks-only", "--output", text(&output), "--json"];
    let ran =
        anyvisor(&[arguments.as_slice(), &["--cpus", "3", "--memory", "4G", "--firmware", "uefi"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let machine = &json(&ran)["plan"]["machine"];
    assert_eq!(machine["memory"], 4_u64 << 30);
    assert_eq!(machine["cpu"]["cores_per_socket"], 3);
    assert!(machine["firmware"]["uefi"].is_object(), "{machine}");
    let configuration = fs::read_to_string(output.join("d.cfg")).unwrap();
    assert!(
        configuration.contains("vcpus = 3") && configuration.contains("firmware = \"uefi\""),
        "{configuration}"
    );
}

#[test]
fn a_target_that_cannot_be_is_refused_with_a_choice() {
    let directory = TempDir::new().unwrap();
    let source = vmx(directory.path());
    let output = directory.path().join("out");
    let to =
        |more: &[&str]| anyvisor(&[&["convert", text(&source), "--output", text(&output)], more].concat());
    for (arguments, code, says) in [
        (vec!["--to", "vax"], 2, "kvm"),
        (vec!["--to", "hyperv:2003"], 2, "2012r2"),
        (vec!["--to", "hyperv", "--generation", "2"], 3, "other firmware"),
        (vec!["--to", "hyperv", "--disk-format", "vdi"], 3, "vhdx"),
        (vec!["--to", "kvm", "--package", "ova"], 3, "files"),
    ] {
        let ran = to(&arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(names(&output), [""; 0]);
}

#[test]
fn of_several_machines_one_is_chosen() {
    let directory = TempDir::new().unwrap();
    let system = |id: &str| {
        format!(
            "<VirtualSystem ovf:id=\"{id}\"><Info/><Name>{id}-1</Name><VirtualHardwareSection><Info/></VirtualHardwareSection>\
             </VirtualSystem>"
        )
    };
    let descriptor = format!(
        "<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\">\
         <References/><VirtualSystemCollection ovf:id=\"app\"><Info/>{}{}</VirtualSystemCollection></Envelope>",
        system("web"),
        system("db")
    );
    let path = directory.path().join("app.ovf");
    fs::write(&path, descriptor).unwrap();
    let all = anyvisor(&["describe", text(&path)]);
    assert_eq!(all.code, Some(0), "{}", all.stderr);
    let lines: Vec<&str> = all.stdout.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("web-1") && lines[1].contains("db-1"), "{}", all.stdout);
    let one = json(&anyvisor(&["describe", text(&path), "--machine", "db", "--json"]));
    assert_eq!(one["machine"]["name"], "db-1");
    let refused = anyvisor(&["inspect", text(&path)]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("web-1, db-1") && refused.stderr.contains("--machine NAME"),
        "{}",
        refused.stderr
    );
    let output = directory.path().join("out");
    let chosen = support::convert(&path, &output, &["--machine", "web-1", "--dry-run", "--disks-only"]);
    // It is chosen, and has nothing to convert.
    assert_eq!(chosen.code, Some(3), "{}", chosen.stderr);
    assert!(chosen.stderr.contains("no disk with an image"), "{}", chosen.stderr);
}

#[test]
fn what_a_description_says_cannot_drive_the_terminal() {
    let directory = TempDir::new().unwrap();
    let namespace = "http://schemas.dmtf.org/ovf/envelope/1";
    let systems = "<VirtualSystem ovf:id='a&#x9b;2J'/><VirtualSystem ovf:id='b'/>";
    let source = directory.path().join("a.ovf");
    fs::write(
        &source,
        format!(
            "<Envelope xmlns='{namespace}' xmlns:ovf='{namespace}'><VirtualSystemCollection ovf:id='c'>{systems}\
             </VirtualSystemCollection></Envelope>"
        ),
    )
    .unwrap();
    let output = directory.path().join("out");
    let refused = anyvisor(&["convert", text(&source), "--to", "kvm", "--output", text(&output)]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(refused.stderr.contains("a·2J, b") && !refused.stderr.contains('\u{9b}'), "{:?}", refused.stderr);
}
