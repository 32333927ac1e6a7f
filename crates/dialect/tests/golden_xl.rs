//! Real configurations of Xen's, against what libvirt makes of them and what Xen's own examples say.

#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

mod corpus;

use machine::{Machine, differences};
use std::collections::BTreeMap;

/// A machine without what only one of the two descriptions can say.
fn facts(mut machine: Machine) -> Machine {
    machine.properties.clear();
    // libvirt writes out the devices that its Xen driver deems there.
    machine.video = None;
    machine.usb.clear();
    for disk in &mut machine.disks {
        // The format is not said, or is the driver's.
        disk.format = None;
    }
    machine
}

/// A fact in which the two differ: the disk of a network, of which each has its own form.
const TOLERATED: [(&str, &str); 1] = [("test-rbd-multihost-noauth", "disk2.source")];

#[test]
fn facts_are_those_that_libvirt_reads() {
    let (mut pairs, mut right, mut wrong) = (0, 0, Vec::new());
    for suite in ["libvirt-xlconfigdata", "libvirt-xmconfigdata"] {
        let Some(members) = corpus::suite(suite) else { return };
        let files: BTreeMap<&str, &[u8]> =
            members.iter().map(|member| (member.path.as_str(), member.bytes.as_slice())).collect();
        for (path, bytes) in &files {
            let Some(stem) = path.strip_suffix(".cfg") else { continue };
            let Some(xml) = files.get(format!("{stem}.xml").as_str()) else { continue };
            pairs += 1;
            let stem = stem.rsplit('/').next().unwrap();
            let ours = dialect::xl::parse(bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
            let theirs = dialect::libvirt::parse(xml).unwrap_or_else(|error| panic!("{path}: {error}"));
            let (ours, theirs) = (facts(ours.machine), facts(theirs.machine));
            // Every fact that either says.
            right += differences(&ours, &Machine::default()).len();
            for difference in differences(&ours, &theirs) {
                let known = TOLERATED.contains(&(stem, difference.field.as_str()));
                if !known {
                    wrong.push(format!("{stem}: {difference:?}"));
                }
            }
        }
    }
    println!(
        "{pairs} pairs of configurations and libvirt XML: {right} facts, of which {} differ",
        wrong.len()
    );
    for wrong in &wrong {
        println!("  {wrong}");
    }
    assert!(
        wrong.is_empty() && pairs == 35 && right >= 250,
        "{} differ, {pairs} pairs, {right} facts",
        wrong.len()
    );
}

#[test]
fn the_examples_of_xen_are_read() {
    let Some(members) = corpus::suite("xen-examples") else { return };
    let mut read = 0;
    for member in members.iter().filter(|member| member.path.contains("/xlexample.")) {
        let parsed =
            dialect::xl::parse(&member.bytes).unwrap_or_else(|error| panic!("{}: {error}", member.path));
        let machine = parsed.machine;
        let kind = member.path.rsplit('.').next().unwrap();
        assert_eq!(machine.name, format!("example.{kind}"));
        assert_eq!((machine.disks.len(), machine.nics.len()), (1, 1), "{}", member.path);
        assert_eq!(parsed.losses.iter().any(|loss| loss.what == "type"), kind != "hvm", "{}", member.path);
        let head = String::from_utf8_lossy(&member.bytes).into_owned();
        let head = dialect::Head { bytes: &member.bytes, text: &head };
        assert_eq!(dialect::recognise(&head).map(|dialect| dialect.name), Some("xl"));
        read += 1;
    }
    assert_eq!(read, 3);
}
