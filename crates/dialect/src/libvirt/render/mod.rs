//! A machine to a domain of KVM's.
//!
//! The machine must be on the profile's hardware already ([`crate::adapt()`]). Addresses of disks are written out, so
//! that a guest numbers them in the machine's order.

mod board;
mod devices;
mod drives;
mod identity;

pub(crate) use devices::network_loss;
pub(crate) use drives::plain_serial;

use super::kept;
use crate::render::{RenderError, RenderOptions, Rendered, path_text};
use crate::xml::Element;
use crate::{guest_os, naming};
use machine::{Clock, Firmware, Loss, Machine, Severity};
use profile::Profile;
use std::collections::BTreeSet;

/// QEMU's machine type when the profile names none.
const DEFAULT_MACHINE: &str = "q35";

/// Writes the domain.
///
/// # Errors
/// When a disk has no file, a path cannot be written, or the machine is not on the profile's hardware.
pub fn render(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Rendered, RenderError> {
    let mut losses = Vec::new();
    let wanted = options.name.as_deref().unwrap_or(&machine.name);
    let name = naming::domain_name(wanted);
    let domain = Element::new("domain")
        .with("type", "kvm")
        .child(Element::new("name").text(&name))
        .maybe(machine.bios_uuid.map(|uuid| Element::new("uuid").text(uuid)))
        .maybe(identity::title(wanted, &name, &mut losses))
        .maybe(identity::notes(machine, &mut losses))
        .maybe(identity::metadata(machine, &mut losses))
        .children(board::memory(machine, &mut losses))
        .child(board::processors(machine, &mut losses))
        .maybe(identity::sysinfo(machine, &mut losses))
        .child(operating_system(machine, profile, options)?)
        .child(features(machine))
        .child(board::cpu(machine, &mut losses))
        .child(clock(machine))
        .children(events(machine))
        .child(devices::devices(machine, profile, options, &mut losses)?);
    report(machine, &mut losses);
    Ok(Rendered { text: domain.document(), losses })
}

fn report(machine: &Machine, losses: &mut Vec<Loss>) {
    let lost = machine.properties.iter().filter(|property| !kept::is_kept(property)).count();
    if lost > 0 {
        let why = format!(
            "{lost} settings mean something to the source's hypervisor alone; the manifest keeps them"
        );
        losses.push(Loss::dropped(Severity::Note, "properties", why));
    }
}

/// What happens when the guest stops, and what it may do with its power: as it was, else what libvirt's tools take.
fn events(machine: &Machine) -> Vec<Element> {
    let kept: Vec<(&str, &str)> = kept::under(machine, "").collect();
    let of = |name: &'static str| {
        kept.iter().find(|(kept, _)| *kept == name).map(|(_, text)| Element::verbatim(name, text))
    };
    let usual = [("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")];
    let events = usual.map(|(name, usual)| of(name).unwrap_or_else(|| Element::new(name).text(usual)));
    events.into_iter().chain(of("pm")).collect()
}

/// The places in the boot order that are given away: libvirt refuses one twice, and 0.
#[derive(Default)]
struct BootOrder(BTreeSet<u32>);

impl BootOrder {
    fn element(&mut self, what: &str, order: Option<u32>, losses: &mut Vec<Loss>) -> Option<Element> {
        let order = order?;
        if order == 0 || !self.0.insert(order) {
            let why = "another device has the same place in the boot order";
            losses.push(Loss::dropped(Severity::Change, format!("{what}.boot_order"), why));
            return None;
        }
        Some(Element::new("boot").with("order", order))
    }
}

fn operating_system(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Element, RenderError> {
    let kind = profile.qemu_machine((&machine.firmware).into()).unwrap_or(DEFAULT_MACHINE);
    let kind = Element::new("type").with("arch", "x86_64").with("machine", kind).text("hvm");
    let Firmware::Uefi(uefi) = &machine.firmware else {
        return Ok(Element::new("os").child(kind).maybe(identity::smbios_mode(machine)));
    };
    let feature = |name: &str, enabled: bool| {
        Element::new("feature").with("enabled", if enabled { "yes" } else { "no" }).with("name", name)
    };
    let nvram =
        options.nvram.as_deref().map(path_text).transpose()?.map(|path| Element::new("nvram").text(path));
    // libvirt finds firmware with these features itself: no path of this host's ends up in the description.
    Ok(Element::new("os")
        .with("firmware", "efi")
        .child(kind)
        .child(
            Element::new("firmware")
                .child(feature("secure-boot", uefi.secure_boot))
                .child(feature("enrolled-keys", uefi.secure_boot)),
        )
        .maybe(nvram)
        .maybe(identity::smbios_mode(machine)))
}

fn features(machine: &Machine) -> Element {
    let secure_boot = matches!(&machine.firmware, Firmware::Uefi(uefi) if uefi.secure_boot);
    let on = |name| Element::new(name).with("state", "on");
    let hyperv = guest_os::is_windows(machine).then(|| {
        Element::new("hyperv")
            .with("mode", "custom")
            .child(on("relaxed"))
            .child(on("vapic"))
            .child(Element::new("spinlocks").with("state", "on").with("retries", 8191))
    });
    Element::new("features")
        .child(Element::new("acpi"))
        .child(Element::new("apic"))
        .maybe(hyperv)
        // Only code in system management mode may write the variables that secure boot rests on.
        .maybe(secure_boot.then(|| on("smm")))
        .children(kept::under(machine, "features").map(|(name, text)| Element::verbatim(name, text)))
}

fn clock(machine: &Machine) -> Element {
    let offset = match machine.clock {
        Clock::Utc => "utc",
        Clock::LocalTime => "localtime",
    };
    let timer = |name: &str| Element::new("timer").with("name", name);
    Element::new("clock")
        .with("offset", offset)
        .child(timer("rtc").with("tickpolicy", "catchup"))
        .child(timer("pit").with("tickpolicy", "delay"))
        .child(timer("hpet").with("present", "no"))
        .maybe(guest_os::is_windows(machine).then(|| timer("hypervclock").with("present", "yes")))
}
