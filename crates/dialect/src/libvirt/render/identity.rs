//! What a domain is called, and what the guest is told of itself.

use crate::guest_os::{self, Vocabulary};
use crate::text::excerpt;
use crate::xml::{Element, is_xml};
use machine::{Loss, Machine, Severity};

/// The title: the name, where libvirt refuses that as a domain's.
pub(super) fn title(wanted: &str, name: &str, losses: &mut Vec<Loss>) -> Option<Element> {
    if name != wanted {
        let why = "libvirt makes a file of the name and refuses some characters and lengths";
        losses.push(Loss::changed("name", name, why));
    }
    // A title is one line; libvirt refuses others.
    let differs = name != wanted.trim() && !wanted.trim().is_empty();
    differs.then(|| Element::new("title").text(excerpt(&wanted.replace(['\n', '\r'], " "), 200)))
}

pub(super) fn notes(machine: &Machine, losses: &mut Vec<Loss>) -> Option<Element> {
    let notes = machine.notes.as_ref()?;
    if !notes.chars().all(is_xml) {
        let why = "some characters are none that XML can carry";
        losses.push(Loss::changed("notes", "U+FFFD for each of them", why));
    }
    Some(Element::new("description").text(notes))
}

/// The guest's system in libosinfo's words, where virt-manager and others look.
pub(super) fn metadata(machine: &Machine, losses: &mut Vec<Loss>) -> Option<Element> {
    let os = machine.guest_os.as_ref()?;
    let own = os.vocabulary == Vocabulary::Libosinfo.name();
    let translated = || guest_os::translate(os, Vocabulary::Libosinfo).map(|translation| translation.os.id);
    let is_url = own && os.id.starts_with("http://") && os.id.chars().all(|c| c.is_ascii_graphic());
    let url = match is_url {
        true => Some(os.id.clone()),
        false => own
            .then(|| guest_os::libosinfo_url(&os.id))
            .flatten()
            .or_else(|| guest_os::libosinfo_url(&translated()?)),
    };
    let said = format!("{} ({})", excerpt(&os.id, 60), excerpt(&os.vocabulary, 20));
    let Some(url) = url else {
        let why = format!("libosinfo has no name for {said}, and libvirt does not need one");
        losses.push(Loss::dropped(Severity::Note, "guest_os", why));
        return None;
    };
    let same = own && super::super::short_name(&url).as_deref().unwrap_or(&url) == os.id;
    if !same {
        let why = format!("libosinfo's name for {said}, or the nearest that it has");
        losses.push(Loss { severity: Severity::Note, ..Loss::changed("guest_os", &url, why) });
    }
    let info = Element::new("libosinfo:libosinfo")
        .with("xmlns:libosinfo", super::super::LIBOSINFO)
        .child(Element::new("libosinfo:os").with("id", url));
    Some(Element::new("metadata").child(info))
}

/// Tells the firmware to use the strings of [`sysinfo`].
pub(super) fn smbios_mode(machine: &Machine) -> Option<Element> {
    let strings = entries(machine, &mut Vec::new());
    strings.iter().any(|section| !section.is_empty()).then(|| Element::new("smbios").with("mode", "sysinfo"))
}

/// The strings of the SMBIOS.
pub(super) fn sysinfo(machine: &Machine, losses: &mut Vec<Loss>) -> Option<Element> {
    let [system, chassis] = entries(machine, losses);
    let section =
        |name, entries: Vec<Element>| (!entries.is_empty()).then(|| Element::new(name).children(entries));
    let (system, chassis) = (section("system", system), section("chassis", chassis));
    (system.is_some() || chassis.is_some())
        .then(|| Element::new("sysinfo").with("type", "smbios").maybe(system).maybe(chassis))
}

fn entries(machine: &Machine, losses: &mut Vec<Loss>) -> [Vec<Element>; 2] {
    let smbios = &machine.smbios;
    let mut entry = |name: &str, field: &str, value: &Option<String>| {
        let value = value.as_deref()?;
        let plain: String = value.chars().filter(|c| is_xml(*c) && !c.is_control()).take(255).collect();
        if plain != value || plain.is_empty() {
            let why = "a string of the SMBIOS is one line of at least one character";
            losses.push(Loss::changed(format!("smbios.{field}"), &plain, why));
        }
        (!plain.is_empty()).then(|| Element::new("entry").with("name", name).text(plain))
    };
    let system = [
        entry("manufacturer", "manufacturer", &smbios.manufacturer),
        entry("product", "product", &smbios.product),
        entry("version", "version", &smbios.version),
        entry("serial", "serial", &smbios.serial),
        entry("sku", "sku", &smbios.sku),
        entry("family", "family", &smbios.family),
    ];
    let chassis = entry("asset", "asset_tag", &smbios.asset_tag);
    [system.into_iter().flatten().collect(), chassis.into_iter().collect()]
}
