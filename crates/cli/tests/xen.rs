//! A guest of VMware's moves to Xen, and is seen booting there: as a domain of a real one.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod support;

use lab::Package;
use serde_json::Value;
use support::{anyvisor, text};
use tempfile::TempDir;

#[test]
fn converted_it_is_a_domain_of_a_real_xen_and_keeps_its_name_and_address() {
    let guest = lab::guest(&lab::DEBIAN12_BIOS)
        .unwrap_or_else(|error| panic!("the lab cannot make its guest: {error:?}"));
    let directory = TempDir::new().unwrap();
    let (source, output) = (guest.path(Package::Vmx), text(directory.path()));
    let ran =
        anyvisor(&["convert", text(&source), "--to", "xen", "--output", output, "--rehearse", "--json"]);
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
    let facts = &booted["facts"];
    assert_eq!(facts["root"]["disks"][0]["drivers"][0], "vbd", "{facts:#}");
    assert_eq!(facts["disks"].as_array().unwrap().len(), 1, "{facts:#}");
    assert_eq!(
        (&facts["nics"][0]["name"], &facts["nics"][0]["drivers"][0]),
        (&"ens192".into(), &"vif".into())
    );
    assert!(facts["addresses"].to_string().contains("10.0.2.192"), "{facts:#}");
}
