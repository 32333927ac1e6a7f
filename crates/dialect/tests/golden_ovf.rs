//! Real OVF descriptors of VMware, VirtualBox, Cisco, ganeti and the DMTF's test bed.

#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

#[path = "round_trip/compare.rs"]
mod compare;
mod corpus;

use dialect::ovf::{self, Error};

/// Path, text and what came of it, of every descriptor.
type Read = (String, String, Result<ovf::ParsedOvf, Error>);

fn parse_all(suites: &[&str]) -> Option<Vec<Read>> {
    let mut all = Vec::new();
    for suite in suites {
        let members = corpus::suite(suite)?;
        for member in members.into_iter().filter(|member| member.path.ends_with(".ovf")) {
            let bytes = filled_in(member.bytes);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            all.push((format!("{suite}/{}", member.path), text, ovf::parse(&bytes)));
        }
    }
    Some(all)
}

/// Fills in the fields of templates, which are written `@@VMDK_FILE_SIZE@@`.
fn filled_in(bytes: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(bytes) {
        Ok(text) if text.contains("@@") => {
            let odd = |(index, piece): (usize, &str)| {
                if index % 2 == 1 { "1".to_owned() } else { piece.to_owned() }
            };
            text.split("@@").enumerate().map(odd).collect::<String>().into_bytes()
        }
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

#[test]
fn descriptors_that_should_parse_do() {
    let suites = [
        "govmomi-ovf-fixtures",
        "cot-ovf",
        "ganeti-ovfdata",
        "virtualbox-appliances",
        "virt-v2v-vmx-ova",
        "open-vmdk-templates",
    ];
    let Some(all) = parse_all(&suites) else { return };
    let (mut one, mut several, mut chosen, mut none, mut refused) = (0, 0, 0, 0, Vec::new());
    for (path, text, result) in &all {
        match result {
            Ok(_) => one += 1,
            Err(Error::SeveralSystems { names }) => {
                several += 1;
                for name in names {
                    match ovf::parse_machine(text.as_bytes(), Some(name)) {
                        Ok(parsed) => chosen += usize::from(parsed.others + 1 == names.len()),
                        Err(error) => refused.push(format!("{path}, {name}: {error}")),
                    }
                }
            }
            // Appliances whose collections hold nothing, of the tests of other sections.
            Err(Error::NoSystem) => none += 1,
            Err(error) => refused.push(format!("{path}: {error}")),
        }
    }
    println!(
        "{} descriptors: {one} of one machine, {several} of several, {chosen} in all, {none} of none, {} refused:",
        all.len(),
        refused.len()
    );
    for refused in &refused {
        println!("  {refused}");
    }
    for (path, text, result) in &all {
        if matches!(result, Err(Error::NoSystem)) {
            let has_system = text.contains("<VirtualSystem ") || text.contains("VirtualSystem_Type");
            assert!(!has_system, "{path} has a machine");
        }
    }
    // Three with a prefix that is bound to nothing, two pages of HTML, one of random bytes.
    assert!(refused.len() <= 6, "more descriptors are refused than should be");
    assert!(one >= 371 && several >= 45 && chosen >= 2 * several);
}

#[test]
fn descriptors_that_are_wrong_are_refused_with_a_reason() {
    let Some(all) = parse_all(&["govmomi-ovf-negative"]) else { return };
    let refused = all.iter().filter(|(_, _, result)| result.is_err()).count();
    let reported =
        all.iter().filter(|(_, _, result)| result.as_ref().is_ok_and(|ok| !ok.losses.is_empty())).count();
    println!(
        "{} wrong descriptors: {refused} refused, {reported} read with something reported, and:",
        all.len()
    );
    for (path, _, result) in &all {
        // What is wrong with these is in their files, not in the descriptor.
        if result.as_ref().is_ok_and(|ok| ok.losses.is_empty()) {
            println!("  nothing found wrong in {path}");
        }
    }
    assert!(refused >= 32);
    assert!(refused + reported >= 64);
}

#[test]
fn machines_that_virt_v2v_prints_are_read_alike() {
    let Some(members) = corpus::suite("virt-v2v-vmx-ova") else { return };
    let descriptor = members.iter().find(|member| member.path == "test-i-ova-two-disks.ovf").unwrap();
    let machine = ovf::parse(&descriptor.bytes).unwrap().machine;
    let expected = members.iter().find(|member| member.path == "test-i-ova-two-disks.expected").unwrap();
    let expected = String::from_utf8(expected.bytes.clone()).unwrap();
    let facts = [
        format!("source name: {}", machine.name),
        format!("memory: {} (bytes)", machine.memory),
        format!("nr vCPUs: {}", machine.cpu.count()),
        format!("Bridge \"{}\" [e1000]", machine.nics[0].network.clone().unwrap()),
    ];
    for fact in facts {
        assert!(expected.contains(&fact), "{fact:?} is not in:\n{expected}");
    }
    assert_eq!(machine.disks.len(), expected.matches("[scsi]").count());
}

/// Every machine of the corpus goes to VMware's products and VirtualBox and comes back less what was told.
#[test]
fn real_machines_come_back_less_the_losses() {
    let suites = [
        "govmomi-ovf-fixtures",
        "govmomi-ovf-negative",
        "cot-ovf",
        "ganeti-ovfdata",
        "virtualbox-appliances",
        "virt-v2v-vmx-ova",
        "virt-manager-virtconv",
        "open-vmdk-templates",
    ];
    let Some(all) = parse_all(&suites) else { return };
    let (mut there, mut refused) = (0, 0);
    for machine in all.into_iter().filter_map(|(_, _, result)| result.ok()).map(|parsed| parsed.machine) {
        for (target, dialect) in [
            ("esxi", &ovf::DIALECT),
            ("virtualbox", &ovf::DIALECT),
            ("esxi", &dialect::vmx::DIALECT),
            ("workstation", &dialect::vmx::DIALECT),
        ] {
            let profile = profile::find(target).unwrap();
            let adapted = dialect::adapt(&machine, profile);
            if adapted.objections.is_empty() {
                compare::assert_round_trip(dialect, profile, &adapted.machine);
                there += 1;
            } else {
                refused += 1;
            }
        }
    }
    println!(
        "{there} machines of descriptors went to VMware's products and VirtualBox and back, {refused} cannot go"
    );
    assert!(there >= FLOOR, "fewer machines than there were");
}

/// How many machines went there and back.
const FLOOR: usize = 1652;
