//! Real domains of libvirt's own tests: all of them parse, or fail for a reason that is listed here.

#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

mod corpus;

use roxmltree::{Document, Node};

/// Domains that are refused, and the words that say why.
const REFUSED: &[(&str, &str)] = &[
    // A cell of almost as much memory as 64 bits can count.
    ("memory-align-fail", "not a size of memory"),
    ("no-memory", "the domain has no <memory>"),
];

/// The suites, and how many domains of each are read at least.
const SUITES: [(&str, usize); 5] = [
    ("libvirt-genericxml2xmlindata", 35),
    ("libvirt-qemuxmlconfdata-xml", 700),
    ("libvirt-xlconfigdata", 23),
    ("libvirt-xmconfigdata", 12),
    ("libvirt-libxlxml2domconfigdata", 5),
];

fn count(domain: Node, parent: &str, name: &str) -> usize {
    let parents = domain.children().filter(|node| node.has_tag_name(parent));
    parents.flat_map(|node| node.children()).filter(|node| node.has_tag_name(name)).count()
}

#[test]
fn every_domain_is_read() {
    for (suite, floor) in SUITES {
        let Some(members) = corpus::suite(suite) else { continue };
        let (mut read, mut properties, mut losses, mut wrong) = (0, 0, 0, Vec::new());
        for member in members.iter().filter(|member| member.path.ends_with(".xml")) {
            let name = member.path.trim_end_matches(".xml").rsplit('/').next().unwrap();
            let refusal = REFUSED.iter().find(|(refused, _)| *refused == name);
            match (dialect::libvirt::parse(&member.bytes), refusal) {
                (Ok(parsed), None) => {
                    read += 1;
                    properties += parsed.machine.properties.len();
                    losses += parsed.losses.len();
                    let text = std::str::from_utf8(&member.bytes).unwrap();
                    let tree = Document::parse(text).unwrap();
                    let domain = tree.root_element();
                    let machine = &parsed.machine;
                    let drives = machine.disks.len() + machine.removables.len();
                    assert_eq!(drives, count(domain, "devices", "disk"), "{name}");
                    assert_eq!(machine.nics.len(), count(domain, "devices", "interface"), "{name}");
                    assert!(machine.memory > 0 && machine.cpu.count() > 0, "{name}");
                }
                (Err(error), Some((_, why))) => assert!(error.to_string().contains(why), "{name}: {error}"),
                (Ok(_), Some(_)) => wrong.push(format!("{name} should be refused")),
                (Err(error), None) => wrong.push(format!("{name}: {error}")),
            }
        }
        println!("{suite}: {read} domains read, {properties} properties kept, {losses} losses");
        assert!(wrong.is_empty(), "{suite}: {wrong:#?}");
        assert!(read >= floor, "{suite}: {read} domains were read");
    }
}
