//! The main job: a real Debian guest, as VMware exports it, moves to KVM and is seen booting; merely attached to the
//! same hardware, it is not.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod support;

use lab::Package;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Ran, anyvisor, convert, names, run, text};
use tempfile::TempDir;

/// What the lab gives the guest, and the move must not take from it.
const INTERFACE: &str = "ens192";
const ADDRESS: &str = "10.0.2.192";

fn guest() -> lab::GuestFiles {
    lab::guest(&lab::DEBIAN12_BIOS).unwrap_or_else(|error| panic!("the lab cannot make its guest: {error:?}"))
}

fn blake3(path: &Path) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path).unwrap()).unwrap();
    hasher.finalize().to_hex().to_string()
}

#[track_caller]
fn json(ran: &Ran, code: i32) -> Value {
    assert_eq!(ran.code, Some(code), "{}\n{}", ran.stderr, ran.stdout);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// That the guest came up on virtio, with its card's name and its address.
#[track_caller]
fn assert_booted(evidence: &Value) {
    let grade = if evidence["run"]["accelerator"] == "kvm" { "booted" } else { "booted-equivalent" };
    assert_booted_on(evidence, grade, "virtio_scsi", "virtio_net");
}

/// That the guest came up with that grade and on those drivers, with its card's name and its address.
#[track_caller]
fn assert_booted_on(evidence: &Value, grade: &str, disk: &str, card_driver: &str) {
    let booted = &evidence["outcome"]["booted"];
    assert_eq!((&evidence["grade"], &booted["judged_by"]), (&grade.into(), &"report".into()), "{evidence:#}");
    let facts = &booted["facts"];
    assert!(facts["root"].to_string().contains(disk), "{facts:#}");
    let cards = facts["nics"].as_array().unwrap();
    let card = cards.iter().find(|card| card["name"] == INTERFACE).unwrap_or_else(|| panic!("{facts:#}"));
    assert!(card["drivers"].to_string().contains(card_driver), "{card:#}");
    assert!(facts["addresses"].to_string().contains(ADDRESS), "{facts:#}");
}

#[test]
fn merely_attached_it_does_not_reach_its_login() {
    let evidence =
        json(&anyvisor(&["rehearse", text(&guest().path(Package::Ova)), "--on", "kvm", "--json"]), 4);
    assert_eq!(evidence["outcome"]["failed"]["cause"], "no-root-device", "{evidence:#}");
    assert_eq!((&evidence["grade"], &evidence["control"]), (&"failed".into(), &true.into()), "{evidence:#}");
}

#[test]
fn converted_it_boots_and_keeps_its_name_and_address() {
    let guest = guest();
    let before = blake3(&guest.path(Package::Ova));
    let directory = TempDir::new().unwrap();
    let manifest = json(&convert(&guest.path(Package::Ova), directory.path(), &["--rehearse", "--json"]), 0);
    assert_booted(&manifest["rehearsal"]);
    assert_eq!(
        names(directory.path()),
        [
            "debian12-disk1.qcow2",
            "debian12.evidence.json",
            "debian12.manifest.json",
            "debian12.sh",
            "debian12.xml"
        ]
    );
    assert_eq!(blake3(&guest.path(Package::Ova)), before, "the source was changed");

    let edits = manifest["guest"]["edits"].as_array().unwrap();
    let link = edits.iter().find(|edit| edit["path"].as_str().unwrap().ends_with("ens192.link")).unwrap();
    assert!(link["diff"].as_str().unwrap().contains("+Name=ens192"), "{link:#}");
    assert!(manifest["guest"]["converted"]["trimmed"].as_u64().unwrap() > 0);

    let disk = directory.path().join("debian12-disk1.qcow2");
    run("qemu-img", &["check", "-q", text(&disk)]);
    let raw = directory.path().join("disk.raw");
    run("qemu-img", &["convert", "-O", "raw", text(&disk), text(&raw)]);
    assert_eq!(manifest["disks"][0]["blake3"], blake3(&raw).as_str());
    run("virt-xml-validate", &[text(&directory.path().join("debian12.xml")), "domain"]);
}

#[test]
fn from_a_vmx_to_raw_it_boots_too() {
    let guest = guest();
    let before = blake3(&guest.disk(Package::Vmx).unwrap());
    let directory = TempDir::new().unwrap();
    let more = ["--disk-format", "raw", "--name", "moved", "--json"];
    let manifest = json(&convert(&guest.path(Package::Vmx), directory.path(), &more), 0);
    assert_eq!(manifest["source"]["kind"], "vmx");
    assert_eq!(blake3(&guest.disk(Package::Vmx).unwrap()), before, "the source was changed");
    assert_eq!(manifest["disks"][0]["blake3"], blake3(&directory.path().join("moved-disk1.raw")).as_str());
    // A manifest is no witness of what the disks hold now.
    let looked = json(&anyvisor(&["rehearse", text(directory.path()), "--static", "--json"]), 0);
    assert_eq!(looked["disks"][0]["rehearsed"], Value::Null);
    let evidence = json(&anyvisor(&["rehearse", text(directory.path()), "--checksum", "--json"]), 0);
    assert_eq!(evidence["disks"][0]["rehearsed"], manifest["disks"][0]["blake3"]);
    assert_booted(&evidence);
}

#[test]
fn a_guest_that_uefi_starts_boots_too() {
    let guest = lab::guest(&lab::DEBIAN12_EFI).unwrap();
    let directory = TempDir::new().unwrap();
    let manifest = json(&convert(&guest.path(Package::Ova), directory.path(), &["--rehearse", "--json"]), 0);
    assert_eq!(manifest["rehearsal"]["run"]["hardware"]["firmware"], "UEFI");
    assert_booted(&manifest["rehearsal"]);
}

#[test]
fn on_kvm_it_goes_back_to_esxi_and_boots_there() {
    let directory = TempDir::new().unwrap();
    let (kvm, esxi) = (directory.path().join("kvm"), directory.path().join("esxi"));
    json(&convert(&guest().path(Package::Ova), &kvm, &["--json"]), 0);
    let domain = kvm.join("debian12.xml");
    let arguments = ["convert", text(&domain), "--to", "esxi:7.0", "--output", text(&esxi), "--json"];
    let manifest = json(&anyvisor(&arguments), 0);
    assert_eq!(manifest["source"]["kind"], "libvirt");
    assert_eq!(manifest["disks"][0]["format"], "vmdk");
    let evidence = json(&anyvisor(&["rehearse", text(&esxi), "--json"]), 0);
    assert_booted_on(&evidence, "booted-equivalent", "vmw_pvscsi", "vmxnet3");
}

#[test]
fn it_moves_to_virtualbox_and_boots_there() {
    let directory = TempDir::new().unwrap();
    let output = text(directory.path());
    json(
        &anyvisor(&[
            "convert",
            text(&guest().path(Package::Vmx)),
            "--to",
            "virtualbox",
            "--output",
            output,
            "--json",
        ]),
        0,
    );
    let evidence = json(&anyvisor(&["rehearse", output, "--json"]), 0);
    assert_booted_on(&evidence, "booted-equivalent", "ahci", "e1000");
}

/// On Hyper-V's legacy devices, with the drivers of the synthetic ones where the kernel looks for them.
#[test]
fn it_moves_to_hyper_v_and_boots_on_what_stands_in() {
    let guest = guest();
    let source = guest.path(Package::Vmx);
    let before = json(&anyvisor(&["rehearse", text(&source), "--on", "hyperv", "--static", "--json"]), 4);
    assert_eq!(before["outcome"]["failed"]["cause"], "missing-driver", "{before:#}");

    let directory = TempDir::new().unwrap();
    let output = text(directory.path());
    let arguments = [
        "convert",
        text(&source),
        "--to",
        "hyperv",
        "--output",
        output,
        "--rehearse",
        "--checksum",
        "--json",
    ];
    let manifest = json(&anyvisor(&arguments), 0);
    assert_booted_on(&manifest["rehearsal"], "booted-fallback", "ata_piix", "tulip");
    let drivers = manifest["rehearsal"]["drivers"].to_string();
    assert!(
        drivers.contains("vmbus:32264132cb86a2449b5c50d1417354f5") && drivers.contains("hv_netvsc"),
        "{drivers}"
    );

    let evidence = directory.path().join("debian12.evidence.json");
    let verified = json(&anyvisor(&["evidence", "verify", text(&evidence), "--json"]), 0);
    assert_eq!((&verified[0]["grade"], &verified[0]["standing"]), (&"booted-fallback".into(), &"own".into()));
    let honest = fs::read_to_string(&evidence).unwrap();
    let disk: Value = serde_json::from_str::<Value>(&honest).unwrap()["disks"][0].clone();
    assert_eq!(disk["before"], blake3(&guest.path(Package::Raw)).as_str());
    assert_eq!(disk["rehearsed"], manifest["disks"][0]["blake3"]);
    fs::write(&evidence, honest.replace("booted-fallback", "booted")).unwrap();
    let ran = anyvisor(&["evidence", "verify", text(&evidence)]);
    assert!(ran.code == Some(3) && ran.stdout.contains("was changed"), "{}", ran.stdout);
}

#[test]
fn the_qemu_script_boots_it() {
    let guest = guest();
    let directory = TempDir::new().unwrap();
    json(&convert(&guest.path(Package::Ova), directory.path(), &["--json"]), 0);
    let script = directory.path().join("debian12.sh");
    let log = directory.path().join("log");
    let output = fs::File::create(&log).unwrap();
    let mut qemu = Command::new(&script)
        .args(["-display", "none"])
        .env("ACCEL", "tcg") // a KVM that opens and runs nothing would hang
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let mut seen = String::new();
    while begin.elapsed().as_secs() < 300 && !seen.contains("login:") && qemu.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(500));
        seen = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    }
    let _ = qemu.kill();
    qemu.wait().unwrap();
    assert!(seen.contains("login:"), "{seen}");
}

#[test]
fn inspection_says_what_the_guest_is() {
    let facts = json(&anyvisor(&["inspect", text(&guest().path(Package::Vmx)), "--json"]), 0);
    assert_eq!(facts["guest"]["os"]["id"], "debian");
    assert_eq!(facts["guest"]["interfaces"][0]["name"], INTERFACE);
    assert_eq!(facts["machine"]["memory"], 1_u64 << 30);
}

#[test]
fn a_dry_run_shows_the_changes_to_the_guest() {
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("out");
    let ran = convert(&guest().path(Package::Ova), &output, &["--dry-run"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("+Name=ens192") && ran.stdout.contains("virtio_scsi"), "{}", ran.stdout);
    assert!(!output.exists());
}
