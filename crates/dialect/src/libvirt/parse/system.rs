//! What a domain says of the machine as a whole: its name, firmware, identity, clock.

use super::{Element, Error, Reading, changed};
use crate::naming;
use crate::text::excerpt;
use machine::{Clock, Firmware, GuestOs, Loss, Severity, Uefi};

pub(super) fn read(reading: &mut Reading<'_>) -> Result<(), Error> {
    let domain = reading.domain;
    // What runs it is the profile's business; Xen is another kind of machine.
    if matches!(domain.peek("type"), Some("kvm" | "qemu")) {
        domain.attribute("type");
    }
    // The number of a running domain.
    domain.attribute("id");
    name(reading);
    reading.machine.notes = domain.child("description").map(Element::raw_text);
    uuid(reading);
    let os = domain.child("os").ok_or(Error::Missing { element: "os" })?;
    kind(reading, os)?;
    reading.machine.firmware = firmware(os);
    direct_boot(reading, os);
    smbios(reading);
    guest_os(reading);
    clock(reading);
    if domain.child("features").is_some_and(|features| features.child("acpi").is_none()) && is_full(os) {
        reading.losses.push(Loss::changed("features/acpi", "ACPI", "every target has it"));
    }
    if let Some(features) = domain.child("features") {
        for name in ["acpi", "apic", "smm"] {
            let _ = features.child(name).map(Element::done);
        }
    }
    Ok(())
}

/// Whether the guest is fully virtualised.
fn is_full(os: Element<'_>) -> bool {
    os.text_of("type") == Some("hvm")
}

/// The name; the title where it is the name without what libvirt refuses in one.
fn name(reading: &mut Reading<'_>) {
    let name = reading.domain.text_of("name").unwrap_or_default();
    reading.machine.name = name.to_owned();
    let Some(title) = reading.domain.child("title") else { return };
    let plain = |text: &str| -> String {
        text.chars().take(100).map(|c| if c.is_alphanumeric() { c } else { '-' }).collect()
    };
    if plain(&naming::domain_name(&title.raw_text())) == plain(name) {
        reading.machine.name = title.raw_text();
    } else {
        title.keep();
    }
}

fn uuid(reading: &mut Reading<'_>) {
    let Some(text) = reading.domain.text_of("uuid") else { return };
    reading.machine.bios_uuid = text.parse().ok();
    if reading.machine.bios_uuid.is_none() {
        let why = format!("{:?} is no UUID", excerpt(text, 60));
        reading.losses.push(Loss::dropped(Severity::Warning, "uuid", why));
    }
}

/// The kind of guest, and the processor that it is for.
fn kind(reading: &mut Reading<'_>, os: Element<'_>) -> Result<(), Error> {
    let kind = os.child("type").ok_or(Error::Missing { element: "os/type" })?;
    match kind.text() {
        "exe" => return Err(Error::Container { kind: "exe".to_owned() }),
        "hvm" => {}
        other => {
            kind.keep();
            let why = format!(
                "the guest is of the kind {:?}: it starts without firmware, with a kernel that the hypervisor loads; \
                 it must be able to start from BIOS or UEFI elsewhere",
                excerpt(other, 20)
            );
            reading.losses.push(Loss::dropped(Severity::Warning, "os/type", why));
        }
    }
    // The machine type is of the hypervisor's own; the profile names another.
    if let Some(arch) = kind.peek("arch").filter(|arch| !matches!(*arch, "x86_64" | "i686")) {
        let why = format!("the machine is {}; every target is x86-64", excerpt(arch, 20));
        reading.losses.push(Loss::dropped(Severity::Warning, "os/type@arch", why));
    } else {
        kind.attribute("arch");
    }
    Ok(())
}

/// UEFI where libvirt chooses it, or where the loader is a flash image or is called so.
fn firmware(os: Element<'_>) -> Firmware {
    let chosen = os.attribute("firmware") == Some("efi");
    let loader = os.child("loader");
    let is_efi = |loader: &Element<'_>| {
        let path = loader.text().to_ascii_lowercase();
        loader.peek("type") == Some("pflash")
            || ["ovmf", "edk2", "uefi"].iter().any(|name| path.contains(name))
    };
    if !chosen && !loader.as_ref().is_some_and(is_efi) {
        return Firmware::Bios;
    }
    let mut secure_boot = loader.is_some_and(|loader| loader.peek("secure") == Some("yes"));
    if let Some(firmware) = os.child("firmware") {
        for feature in firmware.children("feature") {
            let enabled = feature.is_on("enabled");
            if feature.attribute("name") == Some("secure-boot") {
                secure_boot = enabled;
            }
        }
    }
    let nvram = os.child("nvram").map(Element::text).filter(|path| !path.is_empty()).map(str::to_owned);
    if let Some(loader) = loader {
        loader.keep();
    }
    Firmware::Uefi(Uefi { secure_boot, nvram })
}

/// A kernel that the hypervisor loads stays a property, and is told.
fn direct_boot<'a>(reading: &mut Reading<'a>, os: Element<'a>) {
    let direct = os.unread().find(|child| child.name() == "kernel");
    let loader = reading.domain.unread().find(|child| child.name() == "bootloader");
    for element in direct.into_iter().chain(loader) {
        let why = "the hypervisor loads the kernel; the target's firmware starts the guest from its disk";
        reading.losses.push(Loss::dropped(Severity::Warning, element.path(), why));
    }
}

fn smbios(reading: &mut Reading<'_>) {
    let os = reading.domain.child("os");
    if os.and_then(|os| os.attribute_of("smbios", "mode")).is_some_and(|mode| mode == "host") {
        let why = "the guest saw the strings of the source's host";
        reading.losses.push(Loss::dropped(Severity::Warning, "os/smbios", why));
    }
    let is_smbios = |info: &Element<'_>| info.peek("type") == Some("smbios");
    let infos: Vec<_> = reading.domain.children("sysinfo").collect();
    for info in &infos {
        if !is_smbios(info) {
            info.keep();
        }
    }
    let Some(info) = infos.into_iter().find(is_smbios) else { return };
    info.attribute("type");
    let smbios = &mut reading.machine.smbios;
    for section in info.child("system").into_iter().chain(info.child("chassis")) {
        for entry in section.children("entry") {
            let place = match (section.name(), entry.peek("name")) {
                ("system", Some("manufacturer")) => &mut smbios.manufacturer,
                ("system", Some("product")) => &mut smbios.product,
                ("system", Some("version")) => &mut smbios.version,
                ("system", Some("serial")) => &mut smbios.serial,
                ("system", Some("sku")) => &mut smbios.sku,
                ("system", Some("family")) => &mut smbios.family,
                ("chassis", Some("asset")) => &mut smbios.asset_tag,
                // It is the domain's own: libvirt refuses another.
                ("system", Some("uuid")) => {
                    reading.machine.bios_uuid = reading.machine.bios_uuid.or(entry.text().parse().ok());
                    entry.done();
                    continue;
                }
                _ => {
                    entry.keep();
                    continue;
                }
            };
            *place = Some(entry.raw_text());
            entry.done();
        }
    }
}

fn guest_os(reading: &mut Reading<'_>) {
    let Some(metadata) = reading.domain.child("metadata") else { return };
    let Some(os) = metadata.child("libosinfo").and_then(|info| info.child("os")) else { return };
    if let Some(id) = os.attribute("id") {
        let id = super::super::short_name(id).unwrap_or_else(|| id.to_owned());
        reading.machine.guest_os = Some(GuestOs { vocabulary: "libosinfo".to_owned(), id });
    }
}

/// libvirt's offsets: `utc`, `localtime`, `timezone`, `variable` (so many seconds beside one of them), `absolute`.
fn clock(reading: &mut Reading<'_>) {
    let Some(clock) = reading.domain.child("clock") else { return };
    // Which timers there are, the profile decides.
    let offset = clock.attribute("offset").unwrap_or("utc");
    let basis = clock.attribute("basis");
    reading.machine.clock = match (offset, basis) {
        ("localtime", _) | ("variable", Some("localtime")) => Clock::LocalTime,
        _ => Clock::Utc,
    };
    let adjustment = clock.attribute("adjustment").filter(|seconds| !matches!(*seconds, "0" | "reset"));
    match offset {
        "absolute" => {
            let why = "the clock began at a fixed time with every start; it follows the host's now";
            reading.losses.push(Loss::dropped(Severity::Warning, "clock@start", why));
        }
        "timezone" => {
            let why = "the clock held the time of a time zone of its own";
            reading.losses.push(changed(clock, "UTC", why));
        }
        _ => {}
    }
    if let Some(seconds) = adjustment {
        let why = format!("the clock ran {} seconds beside it; the guest corrects it", excerpt(seconds, 20));
        reading.losses.push(Loss::dropped(Severity::Change, "clock@adjustment", why));
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use machine::{Clock, Firmware};

    fn domain(inside: &str) -> machine::Machine {
        let os = if inside.contains("<os") { "" } else { "<os><type>hvm</type></os>" };
        let text = format!("<domain><name>web</name><memory>1024</memory>{os}{inside}</domain>");
        parse(text.as_bytes()).unwrap().machine
    }

    #[test]
    fn firmware_is_told_from_what_libvirt_chooses_or_loads() {
        let uefi = |inside: &str| match domain(&format!("<os{inside}</os>")).firmware {
            Firmware::Bios => None,
            Firmware::Uefi(uefi) => Some(uefi.secure_boot),
        };
        assert_eq!(uefi("><type>hvm</type>"), None);
        assert_eq!(uefi("><type>hvm</type><loader type='rom'>/x/hvmloader</loader>"), None);
        assert_eq!(uefi("><type>hvm</type><loader type='rom'>/x/OVMF.fd</loader>"), Some(false));
        assert_eq!(uefi("><type>hvm</type><loader type='pflash' secure='yes'>/x/f</loader>"), Some(true));
        let feature = "<firmware><feature enabled='yes' name='secure-boot'/></firmware>";
        assert_eq!(uefi(&format!(" firmware='efi'><type>hvm</type>{feature}")), Some(true));
    }

    #[test]
    fn the_machine_keeps_its_identity() {
        let machine = domain(
            "<uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid><title>Web</title><clock offset='localtime'/>\
             <sysinfo type='smbios'><system><entry name='serial'>1 2</entry><entry name='x'>y</entry></system>\
             <chassis><entry name='asset'>A</entry></chassis></sysinfo>\
             <metadata><l:libosinfo xmlns:l='http://libosinfo.org/xmlns/libvirt/domain/1.0'>\
             <l:os id='http://debian.org/debian/12'/></l:libosinfo></metadata>",
        );
        assert_eq!(machine.bios_uuid.unwrap().to_string(), "4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
        assert_eq!(
            (machine.smbios.serial.as_deref(), machine.smbios.asset_tag.as_deref()),
            (Some("1 2"), Some("A"))
        );
        assert_eq!((machine.name.as_str(), machine.clock), ("web", Clock::LocalTime));
        assert_eq!(machine.guest_os.unwrap().id, "debian12");
        let keys: Vec<_> = machine.properties.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(keys, ["title", "sysinfo/system/entry[2]"]);
    }
}
