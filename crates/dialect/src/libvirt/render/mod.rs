//! A machine to a domain of KVM's.
//!
//! The machine must be on the profile's hardware already ([`crate::adapt()`]). Addresses of disks are written out, so
//! that a guest numbers them in the machine's order.

mod devices;
mod drives;

pub(crate) use devices::network_loss;
pub(crate) use drives::plain_serial;

use crate::render::{RenderError, RenderOptions, Rendered, path_text};
use crate::xml::Element;
use crate::{naming, text::excerpt};
use machine::{Clock, Firmware, Loss, Machine, Severity};
use profile::Profile;

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
    // A title is one line; libvirt refuses others.
    let title = (name != wanted.trim() && !wanted.trim().is_empty())
        .then(|| Element::new("title").text(excerpt(&wanted.replace(['\n', '\r'], " "), 200)));
    if title.is_some() {
        let why = "libvirt makes a file of the name and refuses some characters and lengths";
        losses.push(Loss::changed("name", &name, why));
    }
    let domain = Element::new("domain")
        .with("type", "kvm")
        .child(Element::new("name").text(&name))
        .maybe(machine.bios_uuid.map(|uuid| Element::new("uuid").text(uuid)))
        .maybe(title)
        .maybe(machine.notes.as_ref().map(|notes| Element::new("description").text(notes)))
        .child(Element::new("memory").with("unit", "KiB").text(machine.memory.div_ceil(1024)))
        .child(Element::new("vcpu").text(machine.cpu.count()))
        .child(operating_system(machine, profile, options)?)
        .child(features(machine))
        .child(cpu(machine))
        .child(clock(machine))
        .child(Element::new("on_poweroff").text("destroy"))
        .child(Element::new("on_reboot").text("restart"))
        .child(Element::new("on_crash").text("destroy"))
        .child(devices::devices(machine, profile, options, &mut losses)?);
    report(machine, &mut losses);
    Ok(Rendered { text: domain.document(), losses })
}

fn report(machine: &Machine, losses: &mut Vec<Loss>) {
    if !machine.properties.is_empty() {
        let why = format!(
            "{} settings mean something to the source's hypervisor alone; the manifest keeps them",
            machine.properties.len()
        );
        losses.push(Loss::dropped(Severity::Note, "properties", why));
    }
    if let Some(os) = &machine.guest_os {
        let why =
            format!("libvirt does not need to know that it is {} ({})", excerpt(&os.id, 60), os.vocabulary);
        losses.push(Loss::dropped(Severity::Note, "guest_os", why));
    }
}

fn operating_system(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Element, RenderError> {
    let kind = profile.rehearsal.as_ref().map_or(DEFAULT_MACHINE, |rehearsal| rehearsal.machine.as_str());
    let kind = Element::new("type").with("arch", "x86_64").with("machine", kind).text("hvm");
    let Firmware::Uefi(uefi) = &machine.firmware else {
        return Ok(Element::new("os").child(kind));
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
        .maybe(nvram))
}

fn is_windows(machine: &Machine) -> bool {
    machine
        .guest_os
        .as_ref()
        .is_some_and(|os| os.vocabulary == "vmware" && os.id.to_ascii_lowercase().starts_with("win"))
}

fn features(machine: &Machine) -> Element {
    let secure_boot = matches!(&machine.firmware, Firmware::Uefi(uefi) if uefi.secure_boot);
    let on = |name| Element::new(name).with("state", "on");
    let hyperv = is_windows(machine).then(|| {
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
}

fn cpu(machine: &Machine) -> Element {
    let cpu = machine.cpu;
    Element::new("cpu").with("mode", "host-passthrough").with("check", "none").with("migratable", "on").child(
        Element::new("topology")
            .with("sockets", cpu.sockets)
            .with("cores", cpu.cores_per_socket)
            .with("threads", cpu.threads_per_core),
    )
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
        .maybe(is_windows(machine).then(|| timer("hypervclock").with("present", "yes")))
}
