//! The disks and drives of a domain.

use super::{Element, Error, Reading, changed};
use crate::boot_order::{self, Kind};
use crate::naming::letters_number;
use crate::text::excerpt;
use machine::{Attachment, Bus, Cache, Disk, Loss, Removable, RemovableKind, ScsiModel, Severity};
use std::collections::{BTreeMap, BTreeSet};

/// What placing drives needs to know.
struct Places {
    /// The models of the SCSI controllers, by number.
    scsi: BTreeMap<u32, Option<ScsiModel>>,
    /// The model of a controller of which nothing is said.
    default: ScsiModel,
    taken: BTreeSet<Attachment>,
}

pub(super) fn read(reading: &mut Reading<'_>, devices: Element<'_>) -> Result<(), Error> {
    let mut places = Places { scsi: BTreeMap::new(), default: default_scsi(reading), taken: BTreeSet::new() };
    scsi_controllers(reading, devices, &mut places)?;
    let raw = is_raw_by_default(reading.domain);
    for node in devices.devices("disk")? {
        let device = node.attribute("device").unwrap_or("disk");
        let attachment = attachment(node, device, &mut places, &mut reading.losses);
        match device {
            "cdrom" => reading.machine.removables.push(removable(node, RemovableKind::Cdrom, attachment)),
            "floppy" => reading.machine.removables.push(removable(node, RemovableKind::Floppy, attachment)),
            _ => {
                let number = reading.machine.disks.len() + 1;
                let mut disk = disk(node, device, number, attachment, &mut reading.losses);
                disk.format = disk.format.or_else(|| raw.then(|| "raw".to_owned()));
                reading.machine.disks.push(disk);
            }
        }
    }
    Ok(())
}

/// Whether a disk whose format is not said is raw. libvirt never probes one for QEMU or Xen: what a guest wrote to its
/// disk's beginning is not to be believed. On the hosts of others, which libvirt only asks, the image itself says it.
fn is_raw_by_default(domain: Element<'_>) -> bool {
    matches!(domain.peek("type"), None | Some("qemu" | "kvm" | "hvf" | "xen"))
}

/// What libvirt takes when a controller's model is not said: LSI Logic on a PC.
fn default_scsi(reading: &Reading<'_>) -> ScsiModel {
    let os = reading.domain.child("os").and_then(|os| os.child("type"));
    match os.and_then(|kind| kind.peek("arch")) {
        None | Some("x86_64" | "i686") => ScsiModel::LsiLogic,
        Some(_) => ScsiModel::VirtioScsi,
    }
}

/// libvirt's models of SCSI controllers.
const SCSI_MODELS: [(&str, ScsiModel); 7] = [
    ("virtio-scsi", ScsiModel::VirtioScsi),
    ("virtio-transitional", ScsiModel::VirtioScsi),
    ("virtio-non-transitional", ScsiModel::VirtioScsi),
    ("lsilogic", ScsiModel::LsiLogic),
    ("lsisas1068", ScsiModel::LsiSas),
    ("vmpvscsi", ScsiModel::Pvscsi),
    ("buslogic", ScsiModel::BusLogic),
];

/// Controllers that only carry drives are read; the others stay properties.
fn scsi_controllers(
    reading: &mut Reading<'_>,
    devices: Element<'_>,
    places: &mut Places,
) -> Result<(), Error> {
    for controller in devices.devices("controller")? {
        match controller.peek("type") {
            Some("scsi") => {}
            Some("ide" | "sata" | "fdc" | "xenbus" | "virtio-serial") => {
                for name in ["type", "index"] {
                    controller.attribute(name);
                }
                continue;
            }
            // Those of USB are read elsewhere.
            Some("usb") => continue,
            _ => {
                controller.keep();
                continue;
            }
        }
        controller.attribute("type");
        let index = controller.number("index").unwrap_or(0);
        let Some(name) = controller.attribute("model").filter(|name| *name != "auto") else {
            places.scsi.insert(index, None);
            continue;
        };
        let model = SCSI_MODELS.iter().find(|(known, _)| *known == name).map(|(_, model)| *model);
        if model.is_none() {
            let why = format!("{:?} is a controller that no target has", excerpt(name, 40));
            reading.losses.push(changed(controller, "lsilogic", why));
        }
        places.scsi.insert(index, Some(model.unwrap_or(ScsiModel::LsiLogic)));
    }
    Ok(())
}

/// The buses that libvirt derives from a target's name when none is said.
const BUSES: [(&str, &str); 5] =
    [("fd", "fdc"), ("hd", "ide"), ("sd", "scsi"), ("vd", "virtio"), ("xvd", "xen")];

fn attachment(node: Element<'_>, device: &str, places: &mut Places, losses: &mut Vec<Loss>) -> Attachment {
    let target = node.child("target");
    let name = target.and_then(|target| target.attribute("dev")).unwrap_or_default();
    let derived = BUSES.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, bus)| *bus);
    let default = if device == "floppy" { "fdc" } else { derived.unwrap_or("ide") };
    let bus = target.and_then(|target| target.attribute("bus")).unwrap_or(default);
    let wanted = place(node, name, bus, places);
    let wanted = wanted.unwrap_or_else(|| {
        let why = format!("{:?} is a bus that no target has", excerpt(bus, 40));
        losses.push(changed(node, "sata", why));
        Attachment { bus: Bus::Sata, controller: 0, unit: 0 }
    });
    let mut found = wanted;
    while !places.taken.insert(found) {
        found.unit = found.unit.saturating_add(1);
        if found.unit == u32::MAX {
            found = Attachment { controller: found.controller.saturating_add(1), unit: 0, ..found };
        }
    }
    if found != wanted {
        let why = "another drive has that place on its bus";
        losses.push(changed(node, &format!("unit {}", found.unit), why));
    }
    found
}

/// Where the domain puts a drive: by its address, else by its name. None for a bus that is none of ours.
fn place(node: Element<'_>, name: &str, bus: &str, places: &Places) -> Option<Attachment> {
    let letters = name.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let prefix = BUSES.iter().map(|(prefix, _)| *prefix).find(|prefix| letters.starts_with(prefix));
    let letters = letters.get(prefix.map_or(0, str::len)..).unwrap_or_default();
    let number = letters_number(letters.trim_end_matches(|c: char| c.is_ascii_digit())).unwrap_or(0);
    let address = node.child("address").filter(|address| {
        let is_drive = address.peek("type") == Some("drive");
        if is_drive {
            address.done();
        } else {
            address.keep();
        }
        is_drive
    });
    let of = |name| address.map(|address| address.number::<u32>(name).unwrap_or(0));
    let (controller, line, target, unit) = (of("controller"), of("bus"), of("target"), of("unit"));
    let at = |bus, controller, unit| Some(Attachment { bus, controller, unit });
    match bus {
        // Two channels a controller, two drives a channel.
        "ide" => match (controller, line, unit) {
            (Some(controller), Some(line), Some(unit)) => {
                at(Bus::Ide, controller.saturating_mul(2).saturating_add(line), unit)
            }
            _ => at(Bus::Ide, number / 2, number % 2),
        },
        "sata" => at(Bus::Sata, controller.unwrap_or(number / 6), unit.unwrap_or(number % 6)),
        "scsi" => {
            let controller = controller.unwrap_or(number / 7);
            // Either has targets with one logical unit, or one target with many.
            let unit = match (target, unit) {
                (Some(0), Some(unit)) => unit,
                (Some(target), Some(_)) => target,
                _ => number % 7,
            };
            let model = places.scsi.get(&controller).copied().flatten().unwrap_or(places.default);
            at(Bus::Scsi(model), controller, unit)
        }
        "fdc" => at(Bus::Floppy, 0, unit.unwrap_or(number)),
        "virtio" => at(Bus::VirtioBlk, 0, number),
        "xen" => at(Bus::Xen, 0, number),
        "usb" => at(Bus::Usb, 0, number),
        _ => None,
    }
}

fn removable(node: Element<'_>, kind: RemovableKind, attachment: Attachment) -> Removable {
    // A drive of the host's has no image that could be moved.
    let medium = node.child("source").and_then(|source| {
        source
            .attribute("file")
            .or_else(|| source.peek("dev"))
            .or_else(|| source.peek("name"))
            .map(str::to_owned)
    });
    node.attribute("type");
    driver(node);
    let _ = node.child("readonly").map(Element::done);
    let tray = node.attribute_of("target", "tray");
    Removable {
        kind,
        attachment,
        medium: medium.filter(|medium| !medium.is_empty()),
        connected: tray != Some("open"),
        boot_order: boot_order(node),
    }
}

fn disk(
    node: Element<'_>,
    device: &str,
    number: usize,
    attachment: Attachment,
    losses: &mut Vec<Loss>,
) -> Disk {
    let (format, cache) = driver(node);
    let serial = node.child("serial").map(Element::raw_text).filter(|serial| !serial.is_empty());
    let is_nvme = node.peek("type") == Some("nvme");
    let has = |name| node.child(name).map(Element::done).is_some();
    Disk {
        id: format!("disk{number}"),
        attachment,
        source: source(node, losses),
        format,
        serial,
        boot_order: boot_order(node),
        read_only: has("readonly"),
        shared: has("shareable"),
        independent: node.peek("snapshot") == Some("no") && node.attribute("snapshot").is_some(),
        cache,
        ssd: is_ssd(node),
        raw_device: device == "lun" || is_nvme,
        ..Disk::default()
    }
}

fn boot_order(node: Element<'_>) -> Option<u32> {
    node.child("boot").and_then(|boot| boot.number("order"))
}

/// A rotation rate of 1 means that nothing rotates (SCSI block device characteristics); another rate is kept as it is.
fn is_ssd(node: Element<'_>) -> bool {
    let Some(target) = node.child("target") else { return false };
    let is_ssd = target.peek("rotation_rate") == Some("1");
    if is_ssd {
        target.attribute("rotation_rate");
    }
    is_ssd
}

/// The image's format, and how it is cached.
fn driver(node: Element<'_>) -> (Option<String>, Option<Cache>) {
    let Some(driver) = node.child("driver") else { return (None, None) };
    // Whose driver it is, the hypervisor knows.
    if matches!(driver.peek("name"), Some("qemu" | "file" | "phy" | "tap" | "tap2")) {
        driver.attribute("name");
    }
    let cache = match driver.attribute("cache") {
        Some("none") => Some(Cache::None),
        Some("writeback") => Some(Cache::WriteBack),
        Some("writethrough") => Some(Cache::WriteThrough),
        Some("directsync") => Some(Cache::DirectSync),
        Some("unsafe") => Some(Cache::Unsafe),
        _ => None,
    };
    let format = driver.attribute("type").map(|format| match format {
        "aio" => "raw",
        other => other,
    });
    (format.map(str::to_owned), cache)
}

/// The image. What is not a file or a block device of the host's is told, with its name.
fn source(node: Element<'_>, losses: &mut Vec<Loss>) -> Option<String> {
    let kind = node.attribute("type").unwrap_or("file");
    let source = node.child("source")?;
    if source.child("encryption").is_some_and(|encryption| {
        encryption.keep();
        true
    }) {
        let why = "the image is encrypted with a key that libvirt keeps: decrypt it on the source first";
        losses.push(Loss::dropped(Severity::Warning, source.path(), why));
    }
    let mut elsewhere = |what: String| {
        let why = format!(
            "the disk is {}, not an image that lies in a directory: copy it into one",
            excerpt(&what, 120)
        );
        losses.push(Loss::dropped(Severity::Warning, source.path(), why));
    };
    let of = |name| source.peek(name).unwrap_or_default();
    match kind {
        "file" => source.attribute("file").map(str::to_owned),
        "block" => source.attribute("dev").map(str::to_owned),
        "volume" => {
            let name = format!("{}/{}", of("pool"), of("volume"));
            let why = "the domain names a volume of a storage pool: a file of that name is looked for";
            losses.push(changed(source, &excerpt(&name, 120), why));
            Some(name)
        }
        "network" => {
            let host = source.child("host").and_then(|host| {
                let name = host.peek("name").or(host.peek("socket"));
                host.keep();
                name
            });
            let name = format!("{}://{}/{}", of("protocol"), host.unwrap_or_default(), of("name"));
            elsewhere(format!("on the network at {name}"));
            Some(name)
        }
        "dir" => {
            elsewhere(format!("made of the directory {}", of("dir")));
            None
        }
        "nvme" => {
            elsewhere("an NVMe device of the host's".to_owned());
            None
        }
        other => {
            elsewhere(format!("of the kind {other:?}"));
            None
        }
    }
}

/// `<boot dev=…>` of the domain, which orders kinds of devices, where no device has an order of its own.
pub(super) fn number_by_kind(reading: &mut Reading<'_>) {
    let Some(os) = reading.domain.child("os") else { return };
    let kinds: Vec<_> =
        os.children("boot").take(16).filter_map(|boot| kind(boot.attribute("dev")?)).collect();
    let machine = &mut reading.machine;
    let mut orders = machine.disks.iter().map(|disk| disk.boot_order);
    let ordered = orders.any(|order| order.is_some())
        || machine.removables.iter().any(|drive| drive.boot_order.is_some())
        || machine.nics.iter().any(|nic| nic.boot_order.is_some());
    if !ordered {
        boot_order::number(machine, kinds);
    }
}

fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "hd" => Kind::Disk,
        "cdrom" => Kind::Cdrom,
        "fd" => Kind::Floppy,
        "network" => Kind::Network,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use machine::Machine;

    fn machine(devices: &str) -> (Machine, Vec<String>) {
        let text = format!(
            "<domain><memory>1</memory><os><type arch='x86_64'>hvm</type><boot dev='cdrom'/><boot dev='hd'/></os>\
             <devices>{devices}</devices></domain>"
        );
        let parsed = parse(text.as_bytes()).unwrap();
        (parsed.machine, parsed.losses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn drives_hang_where_their_address_or_name_says() {
        let disk = |target: &str, address: &str| {
            let source = "<source file='/a'/>";
            let (machine, _) =
                machine(&format!("<disk type='file'>{source}<target {target}/>{address}</disk>"));
            let at = machine.disks[0].attachment;
            (at.bus, at.controller, at.unit)
        };
        assert_eq!(disk("dev='vdc' bus='virtio'", ""), (Bus::VirtioBlk, 0, 2));
        assert_eq!(disk("dev='hdd'", ""), (Bus::Ide, 1, 1));
        assert_eq!(disk("dev='sdaa' bus='sata'", ""), (Bus::Sata, 4, 2));
        assert_eq!(disk("dev='xvdb'", ""), (Bus::Xen, 0, 1));
        let address = "<address type='drive' controller='1' bus='1' target='3' unit='0'/>";
        assert_eq!(disk("dev='sda' bus='scsi'", address), (Bus::Scsi(ScsiModel::LsiLogic), 1, 3));
        assert_eq!(disk("dev='hda' bus='ide'", address), (Bus::Ide, 3, 0));
        let two = "<disk><target dev='vda'/></disk><disk><target dev='vda'/></disk>";
        assert_eq!(machine(two).0.disks[1].attachment.unit, 1);
        let virtio =
            "<controller type='scsi' index='0' model='virtio-scsi'/><disk><target dev='sdb'/></disk>";
        assert_eq!(machine(virtio).0.disks[0].attachment.bus, Bus::Scsi(ScsiModel::VirtioScsi));
    }

    #[test]
    fn a_disk_of_which_nothing_is_said_is_raw_where_libvirt_runs_it() {
        let format = |domain: &str, driver: &str| {
            let text = format!(
                "<domain {domain}><memory>1</memory><os><type>hvm</type></os><devices><disk type='file'>{driver}\
                 <source file='/a'/><target dev='vda'/></disk></devices></domain>"
            );
            parse(text.as_bytes()).unwrap().machine.disks[0].format.clone()
        };
        for domain in ["", "type='kvm'", "type='qemu'", "type='xen'"] {
            assert_eq!(format(domain, "").as_deref(), Some("raw"), "{domain}");
            assert_eq!(format(domain, "<driver name='qemu' cache='none'/>").as_deref(), Some("raw"));
            assert_eq!(format(domain, "<driver name='qemu' type='qcow2'/>").as_deref(), Some("qcow2"));
        }
        assert_eq!(format("type='vmware'", ""), None);
    }

    #[test]
    fn disks_that_are_no_files_are_named() {
        for (disk, source, said) in [
            (
                "<disk type='network'><source protocol='rbd' name='pool/a'><host name='m'/></source>",
                Some("rbd://m/pool/a"),
                "rbd://m/pool/a",
            ),
            ("<disk type='volume'><source pool='p' volume='v'/>", Some("p/v"), "volume"),
            ("<disk type='dir'><source dir='/x'/>", None, "/x"),
            ("<disk type='vhostuser'><source type='unix' path='/x'/>", None, "vhostuser"),
            ("<disk><source file='/a'><encryption format='luks'/></source>", Some("/a"), "encrypted"),
        ] {
            let (machine, losses) = machine(&format!("{disk}<target dev='vda'/></disk>"));
            assert_eq!(machine.disks[0].source.as_deref(), source);
            assert!(losses.iter().any(|loss| loss.contains(said)), "{losses:?}");
        }
    }

    #[test]
    fn drives_have_their_traits_and_order() {
        let (machine, _) = machine(
            "<disk type='block' device='lun' snapshot='no'><driver name='qemu' type='raw' cache='none' io='native'/>\
             <source dev='/dev/sdb'/><target dev='sda' rotation_rate='1'/><shareable/><serial>A 1</serial></disk>\
             <disk device='cdrom'><source file='/a.iso'/><target dev='sdb' bus='sata' tray='open'/><readonly/></disk>",
        );
        let disk = &machine.disks[0];
        assert!(disk.raw_device && disk.shared && disk.ssd && disk.independent && !disk.read_only);
        assert_eq!(
            (disk.cache, disk.serial.as_deref(), disk.boot_order),
            (Some(Cache::None), Some("A 1"), Some(2))
        );
        let drive = &machine.removables[0];
        assert_eq!(
            (drive.medium.as_deref(), drive.connected, drive.boot_order),
            (Some("/a.iso"), false, Some(1))
        );
        assert_eq!(machine.properties[0].key, "devices/disk/driver@io");
        assert_eq!(machine.properties.len(), 1);
    }
}
