//! Writing the settings of a machine.
//!
//! VirtualBox compares the identifier by which a disk is attached with the one inside its image, and refuses a disk whose
//! image has another. So whoever writes the images gives them the identifiers of [`medium_id`], and says so in
//! [`DiskFile::identifier`](crate::DiskFile::identifier).
//!
//! What the settings leave unsaid is found by reading them back.

mod devices;
mod disks;

use super::{boot, extra, settings};
use crate::guest_os::{Vocabulary, translate};
use crate::naming;
use crate::render::{RenderError, RenderOptions, Rendered};
use crate::unsaid::{self, Reason, reason};
use crate::xml::Element;
use machine::{Firmware, Loss, Machine, Severity};
use profile::Profile;
use sha2::{Digest, Sha256};
use std::path::Path;
use uuid::Uuid;

/// The settings that are written: VirtualBox 7.0's.
const VERSION: &str = "1.19-linux";
/// The guest system of which nothing is known.
const ANY_SYSTEM: &str = "Other_64";
const MIB: u64 = 1 << 20;
/// The least memory that the schema allows, in MiB.
const MIN_MEMORY_MIB: u64 = 4;

/// The identifier that belongs into the image of a disk: derived from the machine and where the image will be, so that
/// the description and the image's writer come to the same.
pub fn medium_id(machine: &Machine, path: &Path) -> Uuid {
    derived(machine, "medium", &path.to_string_lossy())
}

fn derived(machine: &Machine, what: &str, which: &str) -> Uuid {
    let identity = machine.bios_uuid.map_or_else(|| machine.name.clone(), |uuid| uuid.to_string());
    let mut hash = Sha256::new();
    for part in ["anyvisor", what, &identity, which] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = <[u8; 32]>::from(hash.finalize());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, hashed)| *byte = hashed);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Writes the settings. Relative paths lie beside the file.
///
/// A network goes where it is sent: a [bridge](crate::Network::Bridge) is the name of the host's interface, a managed one
/// is host-only where VirtualBox calls it so (`vboxnet0`) and internal otherwise. A card whose network nobody sent
/// anywhere gets NAT.
///
/// # Errors
/// When a disk has no file or one of a format that VirtualBox does not know, a path cannot be written, or the machine is
/// not on the profile's hardware.
pub fn render(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Rendered, RenderError> {
    let mut losses = Vec::new();
    let wanted = options.name.as_deref().unwrap_or(&machine.name);
    let name = naming::domain_name(wanted);
    if options.name.is_none() && name != machine.name {
        let why = "VirtualBox makes a directory of the name and refuses some characters and lengths";
        losses.push(Loss::changed("name", &name, why));
    }
    let disks = disks::disks(machine, profile, options, &mut losses)?;
    let hardware = hardware(machine, profile, options)?
        .child(devices::network(machine, profile, options, &mut losses)?)
        .maybe(devices::serials(machine))
        .child(Element::new("AudioAdapter").with("driver", "Null").with("enabled", "false"))
        .child(Element::new("RTC").with("localOrUTC", devices::clock(machine)))
        .child(disks.controllers);
    let described = Element::new("Machine")
        .with("uuid", braced(derived(machine, "machine", &name)))
        .with("name", &name)
        .with("OSType", guest_os(machine))
        .with("snapshotFolder", "Snapshots")
        .maybe(machine.notes.as_ref().map(|notes| Element::new("Description").text(notes)))
        .child(disks.registry)
        .maybe(extra_data(machine))
        .child(hardware);
    let root = Element::new("VirtualBox")
        .with("xmlns", "http://www.virtualbox.org/")
        .with("version", VERSION)
        .child(described);
    let text = format!("<?xml version=\"1.0\"?>\n{}", root.document());
    if let Ok(said) = super::parse(text.as_bytes()) {
        let mut said = said.machine;
        if options.name.is_some() {
            said.name.clone_from(&machine.name);
        }
        losses.extend(unsaid::losses(machine, &said, &REASONS, &losses));
    }
    Ok(Rendered { text, losses })
}

/// Why the settings do not say everything.
const REASONS: [Reason; 26] = [
    reason(
        "bios_uuid",
        Severity::Note,
        "VirtualBox's machines always have one: this is derived from the machine's name",
    ),
    reason(
        "cpu",
        Severity::Change,
        "VirtualBox shows a guest one socket, whose cores are all of its processors",
    ),
    reason("max_cpus", Severity::Note, "processors are plugged in up to a number that is larger than theirs"),
    reason("memory", Severity::Note, "VirtualBox counts memory in MiB, of which a machine has four at least"),
    reason("max_memory", Severity::Change, "VirtualBox plugs in no memory"),
    reason("numa", Severity::Change, "VirtualBox's memory is one piece"),
    reason("smbios", Severity::Change, "the settings carry no control characters"),
    reason("notes", Severity::Note, "XML cannot carry some of the characters"),
    reason(
        "firmware.uefi.secure_boot",
        Severity::Warning,
        "VirtualBox keeps secure boot among the firmware's variables: start the machine once, then VBoxManage modifynvram \
         NAME inituefivarstore, enrollmssignatures, enrollorclpk and secureboot --enable",
    ),
    reason(
        "firmware.uefi.nvram",
        Severity::Change,
        "the firmware starts with variables of VirtualBox's own format",
    ),
    reason("tpm", Severity::Change, "VirtualBox has TPMs of version 1.2 and 2.0"),
    reason(
        "disk*.serial",
        Severity::Change,
        "VirtualBox has serial numbers for disks on IDE and SATA, of 20 ASCII characters",
    ),
    reason(
        "disk*.boot_order",
        Severity::Change,
        "VirtualBox orders kinds of devices, and starts from the first disk",
    ),
    reason("disk*.read_only", Severity::Warning, "VirtualBox has no hard disks that a guest cannot write"),
    reason("disk*.shared", Severity::Warning, "only images of fixed size are shared, and only by hand"),
    reason("disk*.cache", Severity::Note, "VirtualBox caches all disks of a controller, or none"),
    reason("disk*.raw_device", Severity::Change, "the disk is an image now"),
    reason("disk*", Severity::Note, "VirtualBox has its disks in the order of their controllers"),
    reason("removables.*.medium", Severity::Change, "the image is not carried over: the drive is empty"),
    reason("removables.*.boot_order", Severity::Change, "VirtualBox orders kinds of devices"),
    reason("removables.*.connected", Severity::Note, "a drive without its image is an empty drive"),
    reason("nic*.boot_order", Severity::Change, "VirtualBox orders kinds of devices"),
    reason(
        "nic*.vlan",
        Severity::Warning,
        "VirtualBox has no VLANs: give the host an interface for this one",
    ),
    reason("usb", Severity::Change, "VirtualBox has one USB controller of each kind"),
    reason(
        "guest_os",
        Severity::Note,
        "VirtualBox has its own names of guest systems: check it in the settings",
    ),
    reason(
        "properties",
        Severity::Note,
        "settings that mean something to the source's hypervisor alone; the manifest keeps them",
    ),
];

/// An identifier as VirtualBox writes it.
fn braced(uuid: Uuid) -> String {
    format!("{{{uuid}}}")
}

/// VirtualBox's name of the guest system. An unknown one would make the machine inaccessible.
fn guest_os(machine: &Machine) -> String {
    let os = machine.guest_os.as_ref().and_then(|os| translate(os, Vocabulary::Virtualbox));
    os.map_or_else(|| ANY_SYSTEM.to_owned(), |translation| translation.os.id)
}

/// Extra data of VirtualBox's own devices. That of the source could name libraries to load, and is not written back.
fn extra_data(machine: &Machine) -> Option<Element> {
    let items = extra::items(machine);
    let item = |(name, value): (String, String)| {
        Element::new("ExtraDataItem").with("name", name).with("value", value)
    };
    (!items.is_empty()).then(|| Element::new("ExtraData").children(items.into_iter().map(item)))
}

/// The hardware but for what is connected to something.
fn hardware(machine: &Machine, profile: &Profile, options: &RenderOptions) -> Result<Element, RenderError> {
    let order = boot::nearest(machine);
    let position = |index: usize| {
        let device = order.get(index).map_or("None", |kind| boot::name(*kind));
        Element::new("Order").with("position", index + 1).with("device", device)
    };
    let memory = machine.memory.div_ceil(MIB).max(MIN_MEMORY_MIB);
    let uefi = machine.firmware != Firmware::Bios;
    let bios = Element::new("BIOS").children(settings::elements(machine, "Hardware/BIOS"));
    let nvram = options.nvram.as_deref().map(crate::render::path_text).transpose()?;
    let hardware = Element::new("Hardware");
    // Its own identifier leaves the machine one that no other machine of the host's has.
    let hardware = match machine.bios_uuid.filter(|uuid| !uuid.is_nil()) {
        Some(uuid) => hardware.with("uuid", braced(uuid)),
        None => hardware,
    };
    Ok(hardware
        .child(devices::processors(machine, profile))
        .child(Element::new("Memory").with("RAMSize", memory))
        .maybe(uefi.then(|| Element::new("Firmware").with("type", "EFI")))
        .children(settings::elements(machine, "Hardware"))
        .child(Element::new("Boot").children((0..boot::POSITIONS).map(position)))
        .child(devices::display(machine))
        .child(bios.maybe(nvram.map(|path| Element::new("NVRAM").with("path", path))))
        .maybe(devices::tpm(machine))
        .maybe(devices::usb(machine)))
}
