//! Sections beside disks and hardware, and what no section says.

use super::{Product, Writer, carried, config, info};
use crate::guest_os::{self, Family, Vocabulary};
use crate::vmx::boot;
use crate::vmx::numbering::Places;
use crate::xml::Element;
use machine::{Clock, Disk, GuestOs, Loss, Machine, Severity, Smbios};
use std::collections::BTreeSet;

/// What a ProductSection says, in the schema's order.
const PRODUCT: [&str; 6] = ["Product", "Vendor", "Version", "FullVersion", "ProductUrl", "VendorUrl"];

/// VMware's settings that are written back: what the guest sees, and how it is stopped.
const KEPT: [&str; 16] = [
    "cpuHotRemoveEnabled",
    "flags.vbsEnabled",
    "flags.vvtdEnabled",
    "nestedHVEnabled",
    "powerOpInfo.powerOffType",
    "powerOpInfo.resetType",
    "powerOpInfo.standbyAction",
    "powerOpInfo.suspendType",
    "tools.afterPowerOn",
    "tools.afterResume",
    "tools.beforeGuestShutdown",
    "tools.beforeGuestStandby",
    "tools.syncTimeWithHost",
    "tools.toolsUpgradePolicy",
    "vPMCEnabled",
    "virtualSMCPresent",
];

impl Writer<'_> {
    /// The operating system: CIM's number, and the product's own name for it.
    pub(super) fn operating_system(&mut self) -> Element {
        let section = Element::new("OperatingSystemSection");
        let info = info("The guest operating system");
        let Some(os) = &self.machine.guest_os else {
            let loss = Loss::changed("guest_os", "other", "the importer wants one, and none is known");
            self.losses.push(Loss { severity: Severity::Note, ..loss });
            self.clock(None);
            return section.with("ovf:id", 1).child(info);
        };
        let into = |vocabulary| guest_os::translate(os, vocabulary).map(|found| found.os.id);
        let cim = into(Vocabulary::Cim).unwrap_or_else(|| "1".to_owned());
        // The name by which it will be read again.
        let (vocabulary, section) = match self.product {
            Product::Vmware { .. } => {
                let id = into(Vocabulary::Vsphere).unwrap_or_else(|| "otherGuest64".to_owned());
                (Vocabulary::Vmware, section.with("ovf:id", cim).with("vmw:osType", id).child(info))
            }
            Product::Virtualbox => {
                let id = into(Vocabulary::Virtualbox).unwrap_or_else(|| "Other_64".to_owned());
                let own = Element::new("vbox:OSType").with("ovf:required", false).text(&id);
                let description = Element::new("Description").text(&id);
                (
                    Vocabulary::Virtualbox,
                    section.with("ovf:id", cim).child(info).child(description).child(own),
                )
            }
        };
        let found = guest_os::translate(os, vocabulary);
        let other = if self.is_vmware() { "other-64" } else { "Other_64" };
        let id = found.as_ref().map_or(other, |found| found.os.id.as_str());
        let written = GuestOs { vocabulary: vocabulary.name().to_owned(), id: id.to_owned() };
        if written != *os {
            let exact = found.is_some_and(|found| found.exact);
            let severity = if exact { Severity::Note } else { Severity::Change };
            let why = if exact { "another name for the same" } else { "the nearest that the importer knows" };
            self.losses.push(Loss { severity, ..Loss::changed("guest_os", &written.id, why) });
        }
        self.clock(Some(&written));
        section
    }

    /// The importer sets the clock as the guest's system expects it.
    fn clock(&mut self, guest: Option<&GuestOs>) {
        let is_windows = guest.and_then(guest_os::family) == Some(Family::Windows);
        let (expected, name) =
            if is_windows { (Clock::LocalTime, "local time") } else { (Clock::Utc, "utc") };
        if self.machine.clock != expected {
            let why = "OVF does not say what the clock holds; it will be what this system expects";
            self.changed("clock", name, why);
        }
    }

    pub(super) fn annotation(&mut self) -> Option<Element> {
        let notes = self.machine.notes.as_deref()?;
        let kept = carried(notes);
        if kept != notes || kept.is_empty() {
            let why = "XML does not carry every character, and notes neither begin nor end with spaces";
            self.losses.push(Loss { severity: Severity::Note, ..Loss::changed("notes", "the rest", why) });
        }
        (!kept.is_empty()).then(|| {
            Element::new("AnnotationSection")
                .child(info("Notes"))
                .child(Element::new("Annotation").text(kept))
        })
    }

    /// What the source's descriptor said of a product.
    pub(super) fn product_section(&mut self) -> Option<Element> {
        let said = |name: &&'static str| {
            let key = format!("ProductSection.{name}");
            let property =
                self.machine.properties.iter().find(|one| one.dialect == "ovf" && one.key == key)?;
            is_whole(&property.value).then(|| Element::new(name).text(&property.value))
        };
        let elements: Vec<Element> = PRODUCT.iter().filter_map(said).collect();
        (!elements.is_empty())
            .then(|| Element::new("ProductSection").child(info("The product")).children(elements))
    }

    /// Settings of the source's that are written back.
    pub(super) fn kept_settings(&self) -> Vec<Element> {
        let mut seen = BTreeSet::new();
        let properties = self.machine.properties.iter();
        let kept = properties.filter(|one| one.dialect == "ovf" && KEPT.contains(&one.key.as_str()));
        kept.filter(|one| is_whole(&one.value) && seen.insert(&one.key))
            .map(|one| config(&one.key, &one.value))
            .collect()
    }

    /// What no section says.
    pub(super) fn lacks(&mut self, places: &Places) {
        let machine = self.machine;
        if machine.smbios != Smbios::default() {
            let why = "OVF does not carry the maker, model and serial number that the guest saw; licences that hang on \
                       them must be activated again";
            self.dropped(Severity::Warning, "smbios", why);
        }
        if !machine.numa.is_empty() {
            self.dropped(
                Severity::Change,
                "numa",
                "the importer lays cells of processors and memory out itself",
            );
        }
        if !self.is_vmware() {
            let lacking = [
                ("bios_uuid", machine.bios_uuid.is_some(), Severity::Warning),
                ("max_cpus", machine.max_cpus.is_some(), Severity::Change),
                ("max_memory", machine.max_memory.is_some(), Severity::Change),
            ];
            for (field, _, severity) in lacking.into_iter().filter(|(_, is_some, _)| *is_some) {
                self.dropped(severity, field, "an OVF for VirtualBox does not say it");
            }
        }
        self.boot_order(places);
        self.properties();
    }

    /// The disks boot in their order, and nothing else.
    fn boot_order(&mut self, places: &Places) {
        let disk = |index: &usize| Some(Disk { boot_order: None, ..self.machine.disks.get(*index)?.clone() });
        let mut read =
            Machine { disks: places.order.iter().filter_map(disk).collect(), ..Machine::default() };
        boot::number(&mut read, None, None);
        let disks = self.machine.disks.iter().zip(&read.disks);
        let disks = disks.filter(|(was, is)| was.boot_order != is.boot_order).map(|(was, _)| was.id.clone());
        let drives = self.machine.removables.iter().enumerate();
        let drives = drives.filter(|(_, drive)| drive.boot_order.is_some());
        let nics = self.machine.nics.iter().filter(|nic| nic.boot_order.is_some()).map(|nic| nic.id.clone());
        let all: Vec<String> =
            disks.chain(drives.map(|(index, _)| format!("removables.{index}"))).chain(nics).collect();
        for id in all {
            let why = "OVF has no boot order: the disks boot in their order";
            self.dropped(Severity::Note, format!("{id}.boot_order"), why);
        }
    }

    fn properties(&mut self) {
        let vmware = self.is_vmware();
        let mut seen = BTreeSet::new();
        let left = self.machine.properties.iter().filter(|one| {
            let product = one.key.strip_prefix("ProductSection.").is_some_and(|name| PRODUCT.contains(&name));
            let kept = product || (vmware && KEPT.contains(&one.key.as_str()));
            !(one.dialect == "ovf" && kept && is_whole(&one.value) && seen.insert(&one.key))
        });
        let left = left.count();
        if left > 0 {
            let why = format!(
                "{left} settings mean something to the source alone, or are not known to be harmless; the manifest keeps \
                 them"
            );
            self.dropped(Severity::Note, "properties", why);
        }
    }
}

/// Whether a value comes back as it is.
fn is_whole(value: &str) -> bool {
    !value.is_empty() && carried(value) == value
}
