//! A guest of VMware's moves to Xen, and is seen booting there: as a domain of a real one.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod support;

use lab::Package;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use support::{anyvisor, text, write_raw, write_vmdk};
use tempfile::TempDir;

/// A second disk and a second card, as VMware's configuration has them.
const MORE: &str = r#"
scsi0:1.present = "TRUE"
scsi0:1.deviceType = "scsi-hardDisk"
scsi0:1.fileName = "data.vmdk"
ethernet1.present = "TRUE"
ethernet1.virtualDev = "vmxnet3"
ethernet1.networkName = "VM Network"
ethernet1.addressType = "static"
ethernet1.address = "00:50:56:01:02:03"
ethernet1.pciSlotNumber = "224"
"#;

/// The size of the second disk, in MiB.
const MORE_MIB: usize = 6;

/// The lab's guest with [`MORE`] in `directory`: its configuration, beside the second disk; the first stays in the lab.
fn with_more(guest: &lab::GuestFiles, directory: &Path) -> PathBuf {
    let (first, raw) = (guest.disk(Package::Vmx).unwrap(), directory.join("data.raw"));
    write_raw(&raw, MORE_MIB);
    write_vmdk(&raw, &directory.join("data.vmdk"), "monolithicSparse");
    let stated = fs::read_to_string(guest.path(Package::Vmx)).unwrap();
    let name = first.file_name().unwrap().to_str().unwrap();
    let path = directory.join("two.vmx");
    fs::write(&path, stated.replace(&format!("\"{name}\""), &format!("\"{}\"", text(&first))) + MORE)
        .unwrap();
    path
}

#[test]
fn converted_it_is_a_domain_of_a_real_xen_with_its_disks_and_cards_their_names_and_addresses() {
    let guest = lab::guest(&lab::DEBIAN12_BIOS)
        .unwrap_or_else(|error| panic!("the lab cannot make its guest: {error:?}"));
    let directory = TempDir::new().unwrap();
    let source = with_more(&guest, directory.path());
    let within = guest.disk(Package::Vmx).unwrap();
    let output = directory.path().join("xen");
    let ran = anyvisor(&[
        "convert",
        text(&source),
        "--within",
        text(within.parent().unwrap()),
        "--to",
        "xen",
        "--output",
        text(&output),
        "--rehearse",
        "--json",
    ]);
    assert_eq!(ran.code, Some(0), "{} (`anyvisor appliance install --xen` fetches Xen)", ran.stderr);
    let manifest: Value = serde_json::from_str(&ran.stdout).unwrap();
    let evidence = &manifest["rehearsal"];
    let booted = &evidence["outcome"]["booted"];
    assert_eq!(
        (&evidence["grade"], &booted["judged_by"]),
        (&"booted".into(), &"report".into()),
        "{evidence:#}"
    );
    let run = &evidence["run"];
    assert!(run["hypervisor"].as_str().unwrap().starts_with("Xen 4."), "{run:#}");
    assert_eq!(run["hardware"]["machine"], "a PV domain");
    assert_facts(&booted["facts"]);
}

/// That both disks and both cards are Xen's, and the first card is what it was.
#[track_caller]
fn assert_facts(facts: &Value) {
    assert_eq!(facts["root"]["disks"][0]["drivers"][0], "vbd", "{facts:#}");
    let disks = facts["disks"].as_array().unwrap();
    assert_eq!(disks.len(), 2, "{facts:#}");
    let second = disks.iter().find(|disk| disk["name"] == "xvdb").unwrap_or_else(|| panic!("{facts:#}"));
    assert_eq!((&second["drivers"][0], &second["bytes"]), (&"vbd".into(), &(MORE_MIB << 20).into()));
    let cards = facts["nics"].as_array().unwrap();
    assert!(cards.len() == 2 && cards.iter().all(|card| card["drivers"][0] == "vif"), "{facts:#}");
    assert!(cards.iter().any(|card| card["name"] == "ens192"), "{facts:#}");
    assert!(cards.iter().any(|card| card["mac"] == "00:50:56:01:02:03"), "{facts:#}");
    assert!(facts["addresses"].to_string().contains("10.0.2.192"), "{facts:#}");
}
