//! The sections of a descriptor beside disks and hardware: operating system, product, notes, licence, boot order.

use super::document::{Document, attribute, child_text, children, kind, required, sections, text};
use super::{Error, Result};
use crate::guest_os::{self, Family, Translation, Vocabulary};
use crate::text::excerpt;
use machine::{Clock, GuestOs, Loss, Machine, Property, Severity};
use roxmltree::Node;
use std::collections::{BTreeMap, BTreeSet};

/// The values that a deployer can set (ProductSection, clause 9.5), with their defaults.
#[derive(Debug, Default)]
pub(super) struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Replaces a text that is `${key}` as a whole by the property's value; any other text stays.
    pub(super) fn resolve(&self, text: &str) -> String {
        text.trim()
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
            .and_then(|key| self.0.get(key))
            .map_or_else(|| text.to_owned(), Clone::clone)
    }
}

/// Collects the properties of the system and of the collections that it is in, then those of other systems, whose disks the
/// descriptor declares too.
pub(super) fn properties(document: &Document, system: Node<'_, '_>) -> Properties {
    let mut found = BTreeMap::new();
    for section in product_sections(document, system) {
        for property in children(section, "Property") {
            let Some(key) = attribute(property, "key") else { continue };
            let value = attribute(property, "value").unwrap_or_default();
            found.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    Properties(found)
}

fn product_sections<'a>(document: &Document<'a>, system: Node<'a, 'a>) -> Vec<Node<'a, 'a>> {
    let own = system.ancestors().flat_map(|above| sections(above, "ProductSection"));
    own.chain(document.root().descendants().filter(|node| kind(*node) == "ProductSection")).collect()
}

pub(super) fn read<'a>(
    document: &Document<'a>,
    system: Node<'a, 'a>,
    machine: &mut Machine,
    losses: &mut Vec<Loss>,
) -> Result<()> {
    operating_system(system, machine);
    product(document, system, machine, losses);
    let notes: Vec<String> = sections(system, "AnnotationSection")
        .filter_map(|section| child_text(section, "Annotation"))
        .collect();
    machine.notes = (!notes.is_empty()).then(|| notes.join("\n\n"));
    boot_order(document, system, machine, losses);
    transport(system, losses);
    for node in [document.root(), system] {
        report(document, node, losses)?;
    }
    Ok(())
}

fn operating_system(system: Node<'_, '_>, machine: &mut Machine) {
    let Some(section) = sections(system, "OperatingSystemSection").next() else { return };
    let description = child_text(section, "Description").unwrap_or_default();
    let os = |vocabulary: &str, id: &str| GuestOs { vocabulary: vocabulary.to_owned(), id: id.to_owned() };
    // VMware's and VirtualBox' own names say more than CIM's numbers.
    let vmware = attribute(section, "osType").map(|id| vmware_os(os("vsphere", id)));
    let virtualbox = child_text(section, "OSType").map(|id| os("virtualbox", &id));
    let cim = attribute(section, "id").map(|id| os("cim", id));
    machine.guest_os = vmware.or(virtualbox).or(cim);
    let is_windows = machine.guest_os.as_ref().and_then(guest_os::family) == Some(Family::Windows)
        || description.to_ascii_lowercase().contains("windows");
    if is_windows {
        machine.clock = Clock::LocalTime;
    }
}

/// VMware's system as its configuration files spell it, where that is known.
fn vmware_os(os: GuestOs) -> GuestOs {
    match guest_os::translate(&os, Vocabulary::Vmware) {
        Some(Translation { os, exact: true }) => os,
        _ => GuestOs { vocabulary: Vocabulary::Vmware.name().to_owned(), ..os },
    }
}

fn product(document: &Document, system: Node<'_, '_>, machine: &mut Machine, losses: &mut Vec<Loss>) {
    for section in sections(system, "ProductSection").chain(document.envelope_sections("ProductSection")) {
        for name in ["Product", "Vendor", "Version", "FullVersion", "ProductUrl", "VendorUrl"] {
            if let Some(value) = child_text(section, name) {
                let key = format!("ProductSection.{name}");
                machine.properties.push(Property { dialect: "ovf".to_owned(), key, value });
            }
        }
        let mut keys = BTreeSet::new();
        let count = children(section, "Property").count();
        for key in children(section, "Property").filter_map(|property| attribute(property, "key")) {
            if !keys.insert(key) {
                let what = format!("Property {:?}", excerpt(key, 60));
                losses.push(Loss::dropped(Severity::Note, what, "it stands there twice: the first counts"));
            }
        }
        if count > 0 {
            let why = format!(
                "{count} values that VMware hands to the guest at its first start: the target has no such hand, set \
                 them in the guest"
            );
            losses.push(Loss::dropped(Severity::Warning, "ProductSection.Property", why));
        }
    }
}

/// VMware's `vmw:BootOrderSection`: instances of items, most important first. Only the kind is told by it that is
/// not the disks, because their order is known.
fn boot_order(document: &Document, system: Node<'_, '_>, machine: &mut Machine, losses: &mut Vec<Loss>) {
    for section in sections(system, "BootOrderSection") {
        let kind = attribute(section, "type").unwrap_or_default();
        if kind == "disk" || machine.disks.is_empty() {
            continue;
        }
        let what = format!("BootOrderSection on line {}", document.line(section));
        let why =
            format!("booting from {:?} first is not carried over: the first disk boots", excerpt(kind, 40));
        losses.push(Loss::dropped(Severity::Change, what, why));
    }
}

fn transport(system: Node<'_, '_>, losses: &mut Vec<Loss>) {
    let transport =
        sections(system, "VirtualHardwareSection").find_map(|section| attribute(section, "transport"));
    if let Some(transport) = transport.filter(|transport| !transport.trim().is_empty()) {
        let why = format!(
            "the guest reads its settings through {:?}, which the target lacks",
            excerpt(transport, 60)
        );
        losses.push(Loss::dropped(Severity::Warning, "VirtualHardwareSection.transport", why));
    }
}

/// Sections that are read, or that say nothing about a single machine.
const READ: [&str; 17] = [
    "References",
    "DiskSection",
    "SharedDiskSection",
    "NetworkSection",
    "OperatingSystemSection",
    "VirtualHardwareSection",
    "ProductSection",
    "AnnotationSection",
    "DeploymentOptionSection",
    "BootOrderSection",
    "VirtualSystem",
    "VirtualSystemCollection",
    "Strings",
    "Info",
    "Name",
    "Description",
    "StartupSection",
];

/// Sections that are known and not carried over, each with why.
const KNOWN: [(&str, &str); 12] = [
    ("EulaSection", "the licence is for people: read it in the descriptor"),
    ("ResourceAllocationSection", "shares of the host's resources are set anew on the target"),
    ("InstallSection", "the first start is like every other on the target"),
    ("IpAssignmentSection", "addresses are not assigned by the target"),
    ("CpuCompatibilitySection", "the target chooses the processor's features"),
    ("vServiceDependencySection", "the target offers no vSphere extension services"),
    ("EnvironmentFilesSection", "files for the first start are not handed to the guest"),
    ("BootDeviceSection", "boot devices of several alternatives are not carried over: the first disk boots"),
    ("ScaleOutSection", "one machine is made"),
    ("PlacementGroupSection", "placement is the target's to decide"),
    ("PlacementSection", "placement is the target's to decide"),
    ("EncryptionSection", "encrypted packages are not supported"),
];

/// Reports every section that is not read. One that is marked as required and not known stops the machine: so
/// clause 7.4.1 has it. One that is not marked would be required too by its default, but no producer means that.
fn report<'a>(document: &Document<'a>, node: Node<'a, 'a>, losses: &mut Vec<Loss>) -> Result<()> {
    for section in node.children().filter(Node::is_element) {
        let name = kind(section);
        if READ.contains(&name) {
            continue;
        }
        let why = match KNOWN.iter().find(|(known, _)| *known == name) {
            Some((_, why)) if name != "EncryptionSection" => why,
            _ if required(section) == Some(true) || name == "EncryptionSection" => {
                let what = excerpt(name, 60);
                return Err(Error::Required { what, line: document.line(section) });
            }
            _ => "the section is not known here",
        };
        let severity = if required(section) == Some(false) || name == "EulaSection" {
            Severity::Note
        } else {
            Severity::Change
        };
        let info = children(section, "Info").find_map(text).unwrap_or_default();
        let what = if info.is_empty() {
            excerpt(name, 60)
        } else {
            format!("{} ({})", excerpt(name, 60), excerpt(&info, 60))
        };
        losses.push(Loss::dropped(severity, what, why));
    }
    Ok(())
}
