//! The devices of a domain.

use super::{BootOrder, drives, kept};
use crate::render::{Network, RenderError, RenderOptions};
use crate::xml::Element;
use machine::{Loss, Machine, Nic, NicModel, SerialTarget, Severity, Tpm, UsbController, Video};
use profile::Profile;

pub(super) fn devices(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
    losses: &mut Vec<Loss>,
) -> Result<Element, RenderError> {
    let mut boot = BootOrder::default();
    let drives = drives::drives(machine, profile, options, &mut boot, losses)?;
    let mut nics = Vec::new();
    for nic in &machine.nics {
        nics.push(interface(nic, profile, options, &mut boot, losses)?);
    }
    let kept = kept::under(machine, "devices").map(|(name, text)| Element::verbatim(name, text));
    Ok(Element::new("devices")
        .children(drives)
        .children(drives::controllers(machine))
        .children(usb(machine, losses))
        .child(Element::new("controller").with("type", "virtio-serial").with("index", 0))
        .children(nics)
        .children(serials(machine, losses))
        .child(guest_agent())
        .children(display(machine.video.as_ref(), losses))
        .maybe(machine.tpm.map(tpm))
        .children(kept)
        .child(Element::new("memballoon").with("model", "virtio"))
        .child(
            Element::new("rng")
                .with("model", "virtio")
                .child(Element::new("backend").with("model", "random").text("/dev/urandom")),
        ))
}

fn interface(
    nic: &Nic,
    profile: &Profile,
    options: &RenderOptions,
    boot: &mut BootOrder,
    losses: &mut Vec<Loss>,
) -> Result<Element, RenderError> {
    let unknown = || RenderError::card(nic);
    profile.nic_hardware(&nic.model).ok_or_else(unknown)?;
    let model = match &nic.model {
        NicModel::Virtio => "virtio",
        NicModel::E1000 => "e1000",
        NicModel::E1000e => "e1000e",
        NicModel::Rtl8139 => "rtl8139",
        _ => return Err(unknown()),
    };
    let default = Network::Managed("default".to_owned());
    let network = options.network(nic.network.as_deref()).unwrap_or(&default);
    let (kind, source) = match network {
        Network::Managed(name) => ("network", Some(Element::new("source").with("network", name))),
        Network::Bridge(name) => ("bridge", Some(Element::new("source").with("bridge", name))),
        Network::User => ("user", None),
    };
    network_loss(nic, options, network, losses);
    let link = (!nic.connected).then(|| Element::new("link").with("state", "down"));
    Ok(Element::new("interface")
        .with("type", kind)
        .maybe(nic.mac.map(|mac| Element::new("mac").with("address", mac)))
        .maybe(source)
        .child(Element::new("model").with("type", model))
        .maybe(link)
        .maybe(vlan(nic, network, losses))
        .maybe(boot.element(&nic.id, nic.boot_order, losses)))
}

/// The VLAN's tag.
fn vlan(nic: &Nic, network: &Network, losses: &mut Vec<Loss>) -> Option<Element> {
    let tag = nic.vlan?;
    let what = format!("{}.vlan", nic.id);
    if !(1..=4094).contains(&tag) || *network == Network::User {
        losses.push(Loss::dropped(
            Severity::Warning,
            what,
            "there is no such VLAN where the card is connected",
        ));
        return None;
    }
    let why = "libvirt before 11 takes a tag on Open vSwitch alone: connect the card to a bridge of that VLAN otherwise";
    losses.push(Loss::changed(what, tag.to_string(), why));
    Some(Element::new("vlan").child(Element::new("tag").with("id", tag)))
}

/// Says so when nobody decided what a network of the source's is on the target.
pub(crate) fn network_loss(nic: &Nic, options: &RenderOptions, network: &Network, losses: &mut Vec<Loss>) {
    if nic.network.as_ref().is_some_and(|name| options.networks.contains_key(name))
        || (nic.network.is_none() && network.name().is_none())
    {
        return;
    }
    let kept_as = match network {
        Network::Managed(name) => format!("libvirt's network {name:?}"),
        Network::Bridge(name) => format!("the bridge {name:?}"),
        Network::User => "QEMU's user network".to_owned(),
    };
    let why = match &nic.network {
        Some(name) => {
            format!("nothing says which network of the target's {:?} is", crate::text::excerpt(name, 60))
        }
        None => "the source does not say which network it is on".to_owned(),
    };
    losses.push(Loss::changed(format!("{}.network", nic.id), kept_as, why));
}

/// QEMU's serial ports, at most.
const MAX_SERIAL_PORTS: usize = 4;

/// The serial ports, the first of which is the console too. There is always one: it is how a guest without a
/// network is reached.
fn serials(machine: &Machine, losses: &mut Vec<Loss>) -> Vec<Element> {
    if machine.serials.is_empty() {
        let why = "a guest without a network is reached by its console";
        losses.push(Loss { severity: Severity::Note, ..Loss::changed("serials", "one serial port", why) });
    }
    for (index, port) in machine.serials.iter().enumerate() {
        if index >= MAX_SERIAL_PORTS || port.target != SerialTarget::Console {
            let why = "it led to something of the source's, or is more than QEMU has";
            losses.push(Loss::changed(format!("serials.{index}"), "a console", why));
        }
    }
    let ports = machine.serials.len().clamp(1, MAX_SERIAL_PORTS);
    let port = |index: usize| {
        Element::new("serial").with("type", "pty").child(Element::new("target").with("port", index))
    };
    let console = Element::new("console")
        .with("type", "pty")
        .child(Element::new("target").with("type", "serial").with("port", 0));
    (0..ports).map(port).chain([console]).collect()
}

/// The USB controllers. There is always one: the pointer of a display hangs on it.
fn usb(machine: &Machine, losses: &mut Vec<Loss>) -> Vec<Element> {
    let controller = |index: usize, model: &str| {
        Element::new("controller").with("type", "usb").with("index", index).with("model", model)
    };
    if machine.usb.is_empty() {
        let why = "the pointer of the display needs a controller";
        losses.push(Loss { severity: Severity::Note, ..Loss::changed("usb", "a USB 3 controller", why) });
        return vec![controller(0, "qemu-xhci")];
    }
    let mut controllers = Vec::new();
    for (index, usb) in machine.usb.iter().enumerate() {
        match usb {
            UsbController::Usb1 => controllers.push(controller(index, "piix3-uhci")),
            UsbController::Usb3 => controllers.push(controller(index, "qemu-xhci")),
            // USB 2 alone does not do the slower devices: its companions do.
            UsbController::Usb2 => {
                controllers.push(controller(index, "ich9-ehci1"));
                let companions = [("ich9-uhci1", 0), ("ich9-uhci2", 2), ("ich9-uhci3", 4)];
                controllers.extend(companions.map(|(model, port)| {
                    controller(index, model).child(Element::new("master").with("startport", port))
                }));
            }
        }
    }
    controllers
}

fn guest_agent() -> Element {
    Element::new("channel")
        .with("type", "unix")
        .child(Element::new("target").with("type", "virtio").with("name", "org.qemu.guest_agent.0"))
}

/// Graphics cards that QEMU has under libvirt's names, and whether their memory is set.
const VIDEO_MODELS: [(&str, bool); 6] =
    [("vga", true), ("cirrus", true), ("qxl", true), ("bochs", true), ("vmvga", true), ("virtio", false)];

/// The most video memory that QEMU gives, in bytes.
const MAX_VIDEO_MEMORY: u64 = 256 << 20;

fn display(video: Option<&Video>, losses: &mut Vec<Loss>) -> Vec<Element> {
    let Some(video) = video else {
        return vec![Element::new("video").child(Element::new("model").with("type", "none"))];
    };
    vec![
        // An absolute pointer, so that the mouse of a viewer and of the guest agree.
        Element::new("input").with("type", "tablet").with("bus", "usb"),
        Element::new("graphics").with("type", "vnc").with("port", "-1").with("autoport", "yes"),
        Element::new("video").child(graphics_card(video, losses)),
    ]
}

/// The card that it was where QEMU has it; else plain VGA, for which every guest has a driver.
fn graphics_card(video: &Video, losses: &mut Vec<Loss>) -> Element {
    let known = video.model.as_deref().and_then(|model| VIDEO_MODELS.iter().find(|(name, _)| *name == model));
    if known.is_none() {
        let why = "every guest has a driver for it";
        losses.push(Loss { severity: Severity::Note, ..Loss::changed("video.model", "vga", why) });
    }
    let (name, has_memory) = known.copied().unwrap_or(("vga", true));
    let card = Element::new("model").with("type", name);
    let fits = |bytes: &u64| {
        has_memory && (1 << 20..=MAX_VIDEO_MEMORY).contains(bytes) && bytes.is_multiple_of(1024)
    };
    let card = match video.memory.filter(fits) {
        Some(bytes) => card.with("vram", bytes / 1024),
        None => {
            if video.memory.is_some() {
                let why = "the card has memory of its own choice";
                losses.push(Loss::dropped(Severity::Note, "video.memory", why));
            }
            card
        }
    };
    card.with("heads", 1)
}

fn tpm(tpm: Tpm) -> Element {
    let version = if tpm.version == 1 { "1.2" } else { "2.0" };
    let model = if tpm.version == 1 { "tpm-tis" } else { "tpm-crb" };
    Element::new("tpm")
        .with("model", model)
        .child(Element::new("backend").with("type", "emulator").with("version", version))
}
