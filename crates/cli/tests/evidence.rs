//! Evidence that is no evidence, and rehearsals without a boot.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod support;

use std::fs;
use support::{anyvisor, small_ova, text};
use tempfile::TempDir;

#[test]
fn what_is_not_signed_evidence_is_refused() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("evidence.json");
    let deep = "[".repeat(1 << 20);
    for (document, says) in [
        ("", "not JSON"),
        (deep.as_str(), "not JSON"),
        (r#"{"grade":"booted","grade":"failed"}"#, "twice"),
        (r#"{"grade":1.5}"#, "not JSON"),
        (r#"{"grade":"booted"}"#, "no signature"),
        (r#"{"signature":{"algorithm":"none","public_key":"","value":""}}"#, "no signature"),
        ("[]", "no signature"),
    ] {
        fs::write(&file, document).unwrap();
        let ran = anyvisor(&["evidence", "verify", text(&file)]);
        assert_eq!(ran.code, Some(3), "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(says), "{}", ran.stdout);
    }
    assert_eq!(anyvisor(&["evidence", "verify", "/nowhere/evidence.json"]).code, Some(1));
    assert_eq!(anyvisor(&["evidence", "verify", text(&file), "--key", "/nowhere/key.pem"]).code, Some(1));
}

#[test]
fn what_is_for_evidence_wants_some() {
    let directory = TempDir::new().unwrap();
    let source = small_ova(directory.path(), 3);
    let output = directory.path().join("out");
    let convert = ["convert", text(&source), "--to", "kvm", "--output", text(&output), "--dry-run"];
    for arguments in [
        [convert.as_slice(), &["--checksum"]].concat(),
        [convert.as_slice(), &["--evidence-key", "/nowhere/key.pem"]].concat(),
        vec!["rehearse", text(&source), "--static", "--evidence-key", "/nowhere/key.pem"],
    ] {
        let ran = anyvisor(&arguments);
        assert!(ran.code == Some(2) && ran.stderr.contains("evidence"), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn a_disk_without_a_system_has_no_drivers_to_look_for() {
    let directory = TempDir::new().unwrap();
    let source = small_ova(directory.path(), 3);
    let ran = anyvisor(&["rehearse", text(&source), "--on", "xen", "--static"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stderr.contains("holds no Linux system"), "{}", ran.stderr);
    let ran = anyvisor(&["rehearse", text(&source), "--static", "--evidence", text(&source)]);
    assert!(ran.code == Some(2) && ran.stderr.contains("there already"), "{}", ran.stderr);
}
