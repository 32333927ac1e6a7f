//! The devices of a domain.

use super::drives;
use crate::adapt::model_name;
use crate::render::{Network, RenderError, RenderOptions};
use crate::xml::Element;
use machine::{Loss, Machine, Nic, NicModel, Tpm, Video};
use profile::Profile;

pub(super) fn devices(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
    losses: &mut Vec<Loss>,
) -> Result<Element, RenderError> {
    let drives = drives::drives(machine, profile, options, losses)?;
    let mut nics = Vec::new();
    for nic in &machine.nics {
        nics.push(interface(nic, profile, options, losses)?);
    }
    Ok(Element::new("devices")
        .children(drives)
        .children(drives::controllers(machine))
        .child(Element::new("controller").with("type", "usb").with("index", 0).with("model", "qemu-xhci"))
        .child(Element::new("controller").with("type", "virtio-serial").with("index", 0))
        .children(nics)
        .children(serials(machine))
        .child(guest_agent())
        .children(display(machine.video.as_ref()))
        .maybe(machine.tpm.map(tpm))
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
    losses: &mut Vec<Loss>,
) -> Result<Element, RenderError> {
    let unknown = || RenderError::NicModel { nic: nic.id.clone(), model: model_name(&nic.model) };
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
        .maybe(nic.boot_order.map(|order| Element::new("boot").with("order", order))))
}

/// Says so when nobody decided what a network of the source's is on the target.
pub(crate) fn network_loss(nic: &Nic, options: &RenderOptions, network: &Network, losses: &mut Vec<Loss>) {
    let Some(name) = nic.network.as_deref().filter(|name| !options.networks.contains_key(*name)) else {
        return;
    };
    let kept_as = match network {
        Network::Managed(name) => format!("libvirt's network {name:?}"),
        Network::Bridge(name) => format!("the bridge {name:?}"),
        Network::User => "QEMU's user network".to_owned(),
    };
    let why = format!("nothing says which network of the target's {:?} is", crate::text::excerpt(name, 60));
    losses.push(Loss::changed(format!("{}.network", nic.id), kept_as, why));
}

/// The serial ports, the first of which is the console too. There is always one: it is how a guest without a
/// network is reached.
fn serials(machine: &Machine) -> Vec<Element> {
    let ports = machine.serials.len().clamp(1, 4);
    let port = |index: usize| {
        Element::new("serial").with("type", "pty").child(Element::new("target").with("port", index))
    };
    let console = Element::new("console")
        .with("type", "pty")
        .child(Element::new("target").with("type", "serial").with("port", 0));
    (0..ports).map(port).chain([console]).collect()
}

fn guest_agent() -> Element {
    Element::new("channel")
        .with("type", "unix")
        .child(Element::new("target").with("type", "virtio").with("name", "org.qemu.guest_agent.0"))
}

fn display(video: Option<&Video>) -> Vec<Element> {
    if video.is_none() {
        return vec![Element::new("video").child(Element::new("model").with("type", "none"))];
    }
    vec![
        // An absolute pointer, so that the mouse of a viewer and of the guest agree.
        Element::new("input").with("type", "tablet").with("bus", "usb"),
        Element::new("graphics").with("type", "vnc").with("port", "-1").with("autoport", "yes"),
        // Every guest has a driver for plain VGA.
        Element::new("video")
            .child(Element::new("model").with("type", "vga").with("vram", 16384).with("heads", 1)),
    ]
}

fn tpm(tpm: Tpm) -> Element {
    let version = if tpm.version == 1 { "1.2" } else { "2.0" };
    let model = if tpm.version == 1 { "tpm-tis" } else { "tpm-crb" };
    Element::new("tpm")
        .with("model", model)
        .child(Element::new("backend").with("type", "emulator").with("version", version))
}
