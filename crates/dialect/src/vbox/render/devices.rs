//! Processors, network cards, ports and the graphics card.

use super::super::names::{GRAPHICS, SERIAL_PORTS, TPMS, USB, card};
use super::super::{network::type_key, settings};
use super::MIB;
use crate::render::{Network, RenderError, RenderOptions};
use crate::text::excerpt;
use crate::xml::Element;
use machine::{Clock, Loss, Machine, Nic, NicModel, UsbController};
use profile::Profile;

/// Video memory where nothing is said of it, in MiB: enough for a screen of 2560 by 1600.
const VIDEO_MEMORY_MIB: u64 = 16;
/// The most video memory that the schema allows, in MiB.
const MAX_VIDEO_MEMORY_MIB: u64 = 256;

pub(super) fn processors(machine: &Machine, profile: &Profile) -> Element {
    let now = machine.cpu.count().max(1);
    let cpu = Element::new("CPU");
    let most = machine.max_cpus.map(|most| most.min(profile.limits.cpus));
    let Some(most) = most.filter(|most| *most > now) else {
        return cpu.with("count", now).children(settings::elements(machine, "Hardware/CPU"));
    };
    let plugged = (0..now).map(|id| Element::new("Cpu").with("id", id));
    cpu.with("count", most)
        .with("hotplug", "true")
        .children(settings::elements(machine, "Hardware/CPU"))
        .child(Element::new("CpuTree").children(plugged))
}

pub(super) fn display(machine: &Machine) -> Element {
    let display = Element::new("Display");
    let Some(video) = &machine.video else { return display.with("controller", "None") };
    let wanted = video.model.as_deref().unwrap_or_default();
    let known = GRAPHICS.iter().find(|name| name.eq_ignore_ascii_case(wanted));
    let usual = GRAPHICS.first().copied().unwrap_or_default();
    let memory =
        video.memory.map_or(VIDEO_MEMORY_MIB, |memory| memory.div_ceil(MIB)).min(MAX_VIDEO_MEMORY_MIB);
    display.with("controller", known.copied().unwrap_or(usual)).with("VRAMSize", memory)
}

pub(super) fn clock(machine: &Machine) -> &'static str {
    match machine.clock {
        Clock::Utc => "UTC",
        Clock::LocalTime => "local",
    }
}

pub(super) fn tpm(machine: &Machine) -> Option<Element> {
    let version = machine.tpm?.version;
    let kind = TPMS.iter().find(|(_, known)| *known == version).or(TPMS.first())?.0;
    Some(Element::new("TrustedPlatformModule").with("type", kind).with("location", ""))
}

pub(super) fn usb(machine: &Machine) -> Option<Element> {
    let mut written: Vec<UsbController> = Vec::new();
    for controller in &machine.usb {
        if !written.contains(controller) {
            written.push(*controller);
        }
    }
    let element = |controller: &UsbController| {
        let kind = USB.iter().find(|(_, known)| known == controller)?.0;
        Some(Element::new("Controller").with("name", kind).with("type", kind))
    };
    let controllers = Element::new("Controllers").children(written.iter().filter_map(element));
    (!written.is_empty()).then(|| Element::new("USB").child(controllers))
}

/// The serial ports, none of which leads anywhere on the target yet.
pub(super) fn serials(machine: &Machine) -> Option<Element> {
    let port = |(slot, (port, interrupt)): (usize, &(&str, u8))| {
        Element::new("Port")
            .with("slot", slot)
            .with("enabled", "true")
            .with("IOBase", port)
            .with("IRQ", interrupt)
            .with("hostMode", "Disconnected")
    };
    let ports = SERIAL_PORTS.iter().enumerate().take(machine.serials.len()).map(port);
    (!machine.serials.is_empty()).then(|| Element::new("UART").children(ports))
}

pub(super) fn network(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
    losses: &mut Vec<Loss>,
) -> Result<Element, RenderError> {
    let mut network = Element::new("Network");
    for (slot, nic) in machine.nics.iter().enumerate() {
        network = network.child(adapter(machine, profile, slot, nic, options, losses)?);
    }
    Ok(network)
}

fn adapter(
    machine: &Machine,
    profile: &Profile,
    slot: usize,
    nic: &Nic,
    options: &RenderOptions,
    losses: &mut Vec<Loss>,
) -> Result<Element, RenderError> {
    let unknown = || RenderError::card(nic);
    profile.nic_hardware(&nic.model).ok_or_else(unknown)?;
    let kind = own_type(machine, slot, &nic.model).or_else(|| card(&nic.model)).ok_or_else(unknown)?;
    let adapter = Element::new("Adapter").with("slot", slot).with("enabled", "true");
    let adapter = match nic.mac {
        Some(mac) => adapter.with("MACAddress", mac.to_string().replace(':', "").to_ascii_uppercase()),
        None => adapter,
    };
    let connection = connection(nic, options, losses);
    Ok(adapter.with("cable", nic.connected).with("type", kind).child(connection))
}

/// The type that the card had in VirtualBox, where it is one of the same model.
fn own_type(machine: &Machine, slot: usize, model: &NicModel) -> Option<&'static str> {
    let key = type_key(slot);
    let own = machine.properties.iter().find(|own| own.dialect == "vbox" && own.key == key)?;
    let known =
        super::super::names::CARDS.iter().find(|(name, known)| *name == own.value && known == model)?;
    Some(known.0)
}

fn connection(nic: &Nic, options: &RenderOptions, losses: &mut Vec<Loss>) -> Element {
    let network = options.network(nic.network.as_deref()).unwrap_or(&Network::User);
    let element = match network {
        Network::User => Element::new("NAT"),
        Network::Bridge(name) => Element::new("BridgedInterface").with("name", name),
        Network::Managed(name) if is_host_only(name) => Element::new("HostOnlyInterface").with("name", name),
        Network::Managed(name) => Element::new("InternalNetwork").with("name", name),
    };
    if nic.network.as_deref() != network.name() {
        let kept_as = match network {
            Network::User => "NAT".to_owned(),
            Network::Bridge(name) => format!("the host's interface {name:?}"),
            Network::Managed(name) => format!("VirtualBox's network {name:?}"),
        };
        let source = excerpt(nic.network.as_deref().unwrap_or("NAT"), 60);
        let is_sent = nic.network.as_ref().is_some_and(|name| options.networks.contains_key(name));
        let why = match is_sent {
            true => format!("{source:?} is this network on the target"),
            false => format!("nothing says which network of the target's {source:?} is"),
        };
        losses.push(Loss::changed(format!("{}.network", nic.id), kept_as, why));
    }
    element
}

/// Whether VirtualBox calls a host-only interface so: on Linux and macOS, and on Windows.
fn is_host_only(name: &str) -> bool {
    name.starts_with("vboxnet") || name.starts_with("VirtualBox Host-Only")
}
