//! The media registry, and the controllers to which its media are attached.

use super::super::names::{Controller, FORMATS};
use super::super::storage::position;
use super::{braced, derived, medium_id};
use crate::render::{RenderError, RenderOptions, path_text};
use crate::xml::Element;
use machine::{Attachment, Bus, Cache, Loss, Machine, RemovableKind, Severity};
use profile::Profile;

/// Both lists of disks.
pub(super) struct Disks {
    /// Which files there are.
    pub(super) registry: Element,
    /// Where they hang.
    pub(super) controllers: Element,
}

/// Something attached.
struct Device {
    at: Attachment,
    element: Element,
    /// How the host is to cache it.
    cache: Option<Cache>,
}

pub(super) fn disks(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
    losses: &mut Vec<Loss>,
) -> Result<Disks, RenderError> {
    let mut devices = Vec::new();
    let mut hard_disks = Vec::new();
    for disk in &machine.disks {
        let file = options.disk(&disk.id)?;
        place(profile, &disk.id, disk.attachment)?;
        let id = file.identifier.unwrap_or_else(|| {
            let id = medium_id(machine, &file.path);
            let why =
                "VirtualBox wants this identifier inside the image: VBoxManage internalcommands sethduuid";
            let loss = Loss::changed(format!("{}.source", disk.id), id.to_string(), why);
            losses.push(Loss { severity: Severity::Warning, ..loss });
            id
        });
        let format = FORMATS.iter().find(|(ours, _)| *ours == file.format);
        let (_, format) = format
            .ok_or_else(|| RenderError::Format { disk: disk.id.clone(), format: file.format.clone() })?;
        let kind = if disk.independent { "Writethrough" } else { "Normal" };
        let medium = Element::new("HardDisk")
            .with("uuid", braced(id))
            .with("location", path_text(&file.path)?)
            .with("format", format)
            .with("type", kind);
        hard_disks.push(medium);
        let element = Element::new("AttachedDevice");
        let element = if disk.ssd { element.with("nonrotational", "true") } else { element };
        let element = attached(element.with("type", "HardDisk"), disk.attachment).child(image(id));
        devices.push(Device { at: disk.attachment, element, cache: disk.cache });
    }
    let lists = drives(machine, profile, options, &mut devices)?;
    let registry =
        Element::new("MediaRegistry").child(Element::new("HardDisks").children(hard_disks)).children(lists);
    Ok(Disks { registry, controllers: controllers(devices)? })
}

/// The removable drives; gives back the lists of the images in them.
fn drives(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
    devices: &mut Vec<Device>,
) -> Result<Vec<Element>, RenderError> {
    let mut lists = [("DVDImages", Vec::new()), ("FloppyImages", Vec::new())];
    for (index, drive) in machine.removables.iter().enumerate() {
        place(profile, &format!("removables.{index}"), drive.attachment)?;
        let (kind, list) = match drive.kind {
            RemovableKind::Cdrom => ("DVD", 0),
            RemovableKind::Floppy => ("Floppy", 1),
        };
        let mut element = attached(Element::new("AttachedDevice").with("type", kind), drive.attachment);
        // A drive that was disconnected at the start is one without its medium.
        if let Some(path) = options.media.get(&index).filter(|_| drive.connected) {
            // An image of nothing but its content has no identifier of its own.
            let id = derived(machine, "image", &format!("{index}\0{}", path.to_string_lossy()));
            let medium = Element::new("Image").with("uuid", braced(id)).with("location", path_text(path)?);
            lists.get_mut(list).into_iter().for_each(|(_, list)| list.push(medium.clone()));
            element = element.child(image(id));
        }
        devices.push(Device { at: drive.attachment, element, cache: None });
    }
    let lists = lists.into_iter().filter(|(_, media)| !media.is_empty());
    Ok(lists.map(|(name, media)| Element::new(name).children(media)).collect())
}

/// That the target has such a place.
fn place(profile: &Profile, what: &str, at: Attachment) -> Result<(), RenderError> {
    let disk = profile.disk_hardware(at.bus).map(|hardware| hardware.place);
    let cdrom = profile.cdrom.iter().find(|hardware| hardware.bus == at.bus).map(|hardware| hardware.place);
    let is_floppy = at.bus == Bus::Floppy && at.controller == 0 && at.unit < profile.limits.floppies;
    if is_floppy || disk.into_iter().chain(cdrom).any(|place| place.holds(at)) {
        return Ok(());
    }
    Err(RenderError::Bus { disk: what.to_owned(), bus: at.bus })
}

fn attached(element: Element, at: Attachment) -> Element {
    let (_, port, device) = position(at);
    element.with("hotpluggable", "false").with("port", port).with("device", device)
}

fn image(id: uuid::Uuid) -> Element {
    Element::new("Image").with("uuid", braced(id))
}

/// The controllers, in the order in which something is first attached to one.
fn controllers(devices: Vec<Device>) -> Result<Element, RenderError> {
    let mut groups: Vec<((Bus, u32), Vec<Device>)> = Vec::new();
    for device in devices {
        let key = (device.at.bus, position(device.at).0);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(device),
            None => groups.push((key, vec![device])),
        }
    }
    // Those of a kind are numbered by the file's order.
    let mut order: Vec<Bus> = Vec::new();
    for ((bus, _), _) in &groups {
        if !order.contains(bus) {
            order.push(*bus);
        }
    }
    groups.sort_by_key(|((bus, number), _)| (order.iter().position(|known| known == bus), *number));
    let mut list = Element::new("StorageControllers");
    for ((bus, number), group) in groups {
        list = list.child(controller(bus, number, group)?);
    }
    Ok(list)
}

fn controller(bus: Bus, number: u32, group: Vec<Device>) -> Result<Element, RenderError> {
    let kind = Controller::of(bus).ok_or(RenderError::Bus { disk: "a drive".to_owned(), bus })?;
    let name = if number == 0 { kind.name.to_owned() } else { format!("{} {}", kind.name, number + 1) };
    let ports = group.iter().map(|device| position(device.at).1 + 1).max().unwrap_or(1).max(kind.ports);
    let wanted = group.iter().find_map(|device| device.cache);
    let host_cache = match wanted {
        None => kind.host_cache,
        Some(Cache::WriteBack | Cache::Unsafe) => true,
        Some(Cache::None | Cache::DirectSync | Cache::WriteThrough) => false,
    };
    let controller = Element::new("StorageController")
        .with("name", name)
        .with("type", kind.kind)
        .with("PortCount", ports)
        .with("useHostIOCache", host_cache)
        .with("Bootable", "true");
    Ok(controller.children(group.into_iter().map(|device| device.element)))
}
