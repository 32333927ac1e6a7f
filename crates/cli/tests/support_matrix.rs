//! `anyvisor support`, and its verdict in a plan.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod support;

use serde_json::Value;
use support::{anyvisor, small_vmx, text, write_raw, write_vmdk};
use tempfile::TempDir;

#[test]
fn a_pair_of_2009_with_its_source() {
    let ran = anyvisor(&["support", "windows-2003", "--on", "rhel-kvm:5.4"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for part in [
        "windows-server-2003 on rhel-kvm:5.4: supported",
        "Red Hat and Microsoft",
        "ZDNet UK, 2009-10",
        "https://",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is missing in: {}", ran.stdout);
    }
    let json: Value =
        serde_json::from_str(&anyvisor(&["support", "rhel-9", "--on", "hyperv:2022", "--json"]).stdout)
            .unwrap();
    assert_eq!(json[0]["verdict"], "supported");
    assert_eq!(json[0]["statements"][0]["source"]["date"], "2025-06-19");
}

#[test]
fn what_is_unknown_is_said_and_no_name_is_guessed() {
    let everywhere = anyvisor(&["support", "fedora-43"]);
    assert_eq!(everywhere.code, Some(0), "{}", everywhere.stderr);
    assert!(everywhere.stdout.contains("unknown, which is no judgement"), "{}", everywhere.stdout);
    let list = anyvisor(&["support"]).stdout;
    assert!(list.contains("rhel") && list.contains("sles-kvm"), "{list}");
    let nonsense = anyvisor(&["support", "plan9"]);
    assert_eq!(nonsense.code, Some(2));
    assert!(nonsense.stderr.contains("windows-server"), "{}", nonsense.stderr);
    assert_eq!(anyvisor(&["support", "rhel-9", "--on", "bochs"]).code, Some(2));
}

#[test]
fn a_plan_has_the_verdict() {
    let directory = TempDir::new().unwrap();
    write_raw(&directory.path().join("d.raw"), 1);
    write_vmdk(&directory.path().join("d.raw"), &directory.path().join("d.vmdk"), "monolithicSparse");
    let source = small_vmx(directory.path(), "d.vmdk", "guestOS = \"rhel9-64\"\n");
    let output = directory.path().join("out");
    let plan = |to: &str, more: &[&str]| {
        let mut arguments =
            vec!["convert", text(&source), "--to", to, "--output", text(&output), "--dry-run"];
        arguments.extend(more);
        let ran = anyvisor(&arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stdout
    };
    let printed = plan("hyperv:2022", &[]);
    assert!(printed.contains("support   rhel-9 on hyperv:2022: supported, says Microsoft"), "{printed}");
    let json: Value = serde_json::from_str(&plan("hyperv:2022", &["--json"])).unwrap();
    assert_eq!(json["plan"]["support"]["verdict"], "supported");
    // Unknown stands in nobody's way.
    assert!(plan("virtualbox", &["--disks-only"]).contains("unknown: no statement"));
}
