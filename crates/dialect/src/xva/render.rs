//! A machine to an `ova.xml` that `xe vm-import` takes.

use super::records::{self, NULL, object, reference, references};
use super::value::Value;
use crate::boot_order::{self, Kind};
use crate::naming::letters;
use crate::render::{Network, RenderError, RenderOptions, Rendered};
use crate::unsaid::{self, Reason, reason};
use machine::{Bus, Disk, Firmware, Loss, Machine, Nic, NicModel, Removable, Severity};
use profile::Profile;

/// The number of the first VDI. Importers expect the disks in the order of their references as text: all have as many
/// digits.
const FIRST_VDI: usize = 1_000_000;
/// The number of the first network card's record.
const FIRST_VIF: usize = 2_000_000;
/// The number of the first drive's record.
const FIRST_VBD: usize = 3_000_000;
/// The number of the first network.
const FIRST_NETWORK: usize = 4_000_000;

const VM: &str = "Ref:0";
const SR: &str = "Ref:1";

/// The reference of the disk of that number, from 0: the directory of its blocks in the archive.
pub fn vdi_reference(number: usize) -> String {
    reference(FIRST_VDI.saturating_add(number))
}

/// Writes the description. The sizes of disks are those of `options`.
///
/// # Errors
/// When the machine is not on the profile's hardware, or a disk has no file among `options`.
pub fn render(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Rendered, RenderError> {
    let mut objects = vec![virtual_machine(machine, options)];
    let mut devices = Vec::new();
    let mut images = Vec::new();
    for (index, disk) in machine.disks.iter().enumerate() {
        check_disk(disk, profile)?;
        devices.push(disk_device(disk, index));
        images.push(image(machine, disk, index, options)?);
    }
    for (index, drive) in machine.removables.iter().enumerate() {
        devices.push(drive_device(drive, machine.disks.len() + index));
    }
    for nic in &machine.nics {
        let unknown = || RenderError::card(nic);
        profile.nic_hardware(&nic.model).ok_or_else(unknown)?;
    }
    let networks = networks(machine, options);
    let cards = machine.nics.iter().enumerate().map(|(index, nic)| card(nic, index, &networks, options));
    objects.extend(cards);
    objects.extend(devices);
    objects.extend(images);
    objects.push(storage(machine.disks.len()));
    objects.extend(networks.iter().enumerate().map(|(index, name)| {
        let mut fields = vec![("name_label", Value::text(name)), ("bridge", Value::text(""))];
        fields.push(("VIFs", references([])));
        fields.extend(records::network_rest());
        object("network", reference(FIRST_NETWORK + index), fields)
    }));
    let whole = Value::map([("version", version()), ("objects", Value::List(objects))]);
    let mut text = "<?xml version=\"1.0\"?>\n".to_owned();
    whole.write(&mut text);
    let losses = losses(machine, options, &text);
    Ok(Rendered { text, losses })
}

/// The exporter that an importer must be no older than: XenServer 7.1, and the archive's own version.
fn version() -> Value {
    Value::texts(&[
        ("hostname", "localhost"),
        ("date", "1970-01-01"),
        ("product_version", "7.1.0"),
        ("product_brand", "XenServer"),
        ("build_number", "0"),
        ("xapi_major", "1"),
        ("xapi_minor", "9"),
        ("export_vsn", "2"),
    ])
}

/// Why a field is not said.
const REASONS: [Reason; 25] = [
    reason("bios_uuid", Severity::Warning, "an importer gives a new one where this is none"),
    reason("clock", Severity::Change, "XenServer's clock holds universal time; the guest corrects it"),
    reason("cpu", Severity::Note, "XenServer has sockets and cores; threads become cores"),
    reason("disk*.serial", Severity::Note, "a disk has no serial number of its own on XenServer"),
    reason("disk*.cache", Severity::Note, "XenServer caches disks as it sees fit"),
    reason("disk*.ssd", Severity::Note, "XenServer does not say whether a disk rotates"),
    reason(
        "disk*.boot_order",
        Severity::Change,
        "XenServer orders kinds of devices, each in the devices' own order",
    ),
    reason(
        "removables.*.boot_order",
        Severity::Change,
        "XenServer orders kinds of devices, each in their own order",
    ),
    reason("removables.*.medium", Severity::Change, "the image is not carried over: the drive is empty"),
    reason("removables.*.connected", Severity::Note, "the drive is there, and empty"),
    reason(
        "nic*.boot_order",
        Severity::Change,
        "XenServer orders kinds of devices, each in the devices' own order",
    ),
    reason(
        "nic*.vlan",
        Severity::Warning,
        "a network has the tag on XenServer: attach the card to one that has it",
    ),
    reason(
        "nic*.network",
        Severity::Change,
        "the source does not say which network; this is where an importer looks",
    ),
    reason("nic*.model", Severity::Change, "all cards of a machine are of one model on XenServer"),
    reason("nic*.connected", Severity::Change, "XenServer connects every card"),
    reason(
        "tpm",
        Severity::Warning,
        "a TPM is not imported: add one to the machine afterwards (xe vtpm-create)",
    ),
    reason("numa", Severity::Note, "XenServer places a guest's memory itself"),
    reason("usb", Severity::Note, "XenServer gives one USB controller"),
    reason("serials", Severity::Note, "XenServer gives one serial port"),
    reason("video", Severity::Note, "XenServer gives a standard or a Cirrus card, and 8 to 32 MiB of memory"),
    reason("smbios", Severity::Warning, "XenServer has no place for this string"),
    reason("guest_os", Severity::Note, "XenServer does not need to know which system it is"),
    reason(
        "properties",
        Severity::Note,
        "they mean something to the source's hypervisor alone; the manifest keeps them",
    ),
    reason("name", Severity::Change, "XML has no way to write some of its characters"),
    reason("notes", Severity::Change, "XML has no way to write some of their characters"),
];

/// What the description does not say, by reading it. What the user decided is no loss.
fn losses(machine: &Machine, options: &RenderOptions, text: &str) -> Vec<Loss> {
    let mut said = match super::parse(text.as_bytes()) {
        Ok(parsed) => parsed.machine,
        Err(error) => {
            let why = format!("the description cannot be read again: {error}");
            return vec![Loss::dropped(Severity::Warning, "", why)];
        }
    };
    if options.name.is_some() {
        said.name.clone_from(&machine.name);
    }
    for (said, nic) in said.nics.iter_mut().zip(&machine.nics) {
        if nic.network.as_ref().is_some_and(|name| options.networks.contains_key(name)) {
            said.network.clone_from(&nic.network);
        }
    }
    let mut losses = unsaid::losses(machine, &said, &REASONS, &[]);
    if machine.bios_uuid.is_some() {
        let why = "xe vm-import gives the machine a new one unless it is told to keep it: what hangs on it (Windows' \
                   activation, cloud-init) begins anew";
        losses.push(Loss::changed("bios_uuid", "the same with preserve=true", why));
    }
    losses
}

fn check_disk(disk: &Disk, profile: &Profile) -> Result<(), RenderError> {
    let bus = disk.attachment.bus;
    match profile.disk_hardware(bus).filter(|_| bus == Bus::Xen) {
        Some(_) => Ok(()),
        None => Err(RenderError::Bus { disk: disk.id.clone(), bus }),
    }
}

fn virtual_machine(machine: &Machine, options: &RenderOptions) -> Value {
    let name = options.name.as_deref().unwrap_or(&machine.name);
    let drives = machine.disks.len() + machine.removables.len();
    let most_memory = machine.max_memory.unwrap_or(0).max(machine.memory);
    let count = machine.cpu.count();
    let mut fields = vec![
        ("name_label", Value::text(name)),
        ("name_description", Value::text(machine.notes.as_deref().unwrap_or_default())),
        ("memory_static_max", Value::text(most_memory)),
        ("memory_dynamic_max", Value::text(machine.memory)),
        ("memory_dynamic_min", Value::text(machine.memory)),
        ("memory_static_min", Value::text(machine.memory)),
        ("VCPUs_max", Value::text(machine.max_cpus.unwrap_or(0).max(count))),
        ("VCPUs_at_startup", Value::text(count)),
        ("VIFs", references((0..machine.nics.len()).map(|index| reference(FIRST_VIF + index)))),
        ("VBDs", references((0..drives).map(|index| reference(FIRST_VBD + index)))),
        ("HVM_boot_params", boot_params(machine)),
        ("platform", platform(machine)),
        ("bios_strings", bios_strings(machine)),
    ];
    if let Some(uuid) = machine.bios_uuid {
        fields.push(("uuid", Value::text(uuid)));
    }
    fields.extend(records::vm_rest());
    object("VM", VM.to_owned(), fields)
}

fn boot_params(machine: &Machine) -> Value {
    let letter = |kind| match kind {
        Kind::Disk => 'c',
        Kind::Cdrom => 'd',
        Kind::Floppy => 'a',
        Kind::Network => 'n',
    };
    let order: String = boot_order::kinds(machine).into_iter().map(letter).collect();
    let firmware = if machine.firmware == Firmware::Bios { "bios" } else { "uefi" };
    Value::texts(&[("order", &order), ("firmware", firmware)])
}

fn platform(machine: &Machine) -> Value {
    let flag = |flag: bool| if flag { "true" } else { "false" };
    let usb = !machine.usb.is_empty();
    let mut settings = vec![
        ("timeoffset", "0"),
        ("nx", "true"),
        ("acpi", "1"),
        ("apic", "true"),
        ("pae", "true"),
        ("hpet", "true"),
        ("viridian", flag(crate::guest_os::is_windows(machine))),
        ("usb", flag(usb)),
        ("usb_tablet", flag(usb)),
        ("hvm_serial", if machine.serials.is_empty() { "none" } else { "pty" }),
    ];
    if let Firmware::Uefi(uefi) = &machine.firmware {
        settings.push(("secureboot", flag(uefi.secure_boot)));
        settings.push(("device-model", "qemu-upstream-uefi"));
    }
    let cores = machine.cpu.cores_per_socket.saturating_mul(machine.cpu.threads_per_core).to_string();
    settings.push(("cores-per-socket", &cores));
    let emulated = match machine.nics.first().map(|nic| &nic.model) {
        Some(NicModel::E1000) => Some("e1000"),
        Some(NicModel::Rtl8139) => Some("rtl8139"),
        _ => None,
    };
    settings.extend(emulated.map(|model| ("nic_type", model)));
    let video = machine.video.as_ref();
    match video.and_then(|video| video.model.as_deref()) {
        Some("cirrus") => settings.push(("vga", "cirrus")),
        _ => settings.push(("vga", "std")),
    }
    let memory =
        video.and_then(|video| video.memory).unwrap_or(8 << 20).div_ceil(1 << 20).clamp(8, 32).to_string();
    settings.push(("videoram", &memory));
    Value::texts(&settings)
}

fn bios_strings(machine: &Machine) -> Value {
    let smbios = &machine.smbios;
    let or = |text: &'static str, own: &Option<String>| own.as_deref().unwrap_or(text).to_owned();
    let strings = [
        ("bios-vendor", "Xen".to_owned()),
        ("bios-version", String::new()),
        ("system-manufacturer", or("Xen", &smbios.manufacturer)),
        ("system-product-name", or("HVM domU", &smbios.product)),
        ("system-version", or("", &smbios.version)),
        ("system-serial-number", or("", &smbios.serial)),
        ("enclosure-asset-tag", or("", &smbios.asset_tag)),
        ("hp-rombios", String::new()),
        ("oem-1", "Xen".to_owned()),
        ("oem-2", "MS_VM_CERT/SHA1/bdbeb6e0a816d43fa6d3fe8aaef04c2bad9d3e3d".to_owned()),
    ];
    Value::map(strings.map(|(name, text)| (name, Value::Text(text))))
}

fn disk_device(disk: &Disk, index: usize) -> Value {
    let unit = usize::try_from(disk.attachment.unit).unwrap_or_default();
    let mut fields = vec![
        ("VM", Value::text(VM)),
        ("VDI", Value::Text(vdi_reference(index))),
        ("device", Value::Text(format!("xvd{}", letters(unit)))),
        ("userdevice", Value::text(unit)),
        ("bootable", Value::Flag(index == 0)),
        ("mode", Value::text(if disk.read_only { "RO" } else { "RW" })),
        ("type", Value::text("Disk")),
        ("empty", Value::Flag(false)),
    ];
    fields.extend(records::vbd_rest());
    object("VBD", reference(FIRST_VBD + index), fields)
}

fn drive_device(drive: &Removable, index: usize) -> Value {
    let unit = usize::try_from(drive.attachment.unit).unwrap_or_default();
    let mut fields = vec![
        ("VM", Value::text(VM)),
        ("VDI", Value::text(NULL)),
        ("device", Value::Text(format!("xvd{}", letters(unit)))),
        ("userdevice", Value::text(unit)),
        ("bootable", Value::Flag(false)),
        ("mode", Value::text("RO")),
        ("type", Value::text("CD")),
        ("empty", Value::Flag(true)),
    ];
    fields.extend(records::vbd_rest());
    object("VBD", reference(FIRST_VBD + index), fields)
}

fn image(
    machine: &Machine,
    disk: &Disk,
    index: usize,
    options: &RenderOptions,
) -> Result<Value, RenderError> {
    let size = options.disk(&disk.id)?.capacity;
    let name = options.name.as_deref().unwrap_or(&machine.name);
    let mut fields = vec![
        ("name_label", Value::Text(format!("{name} {}", disk.id))),
        ("name_description", Value::text("")),
        ("SR", Value::text(SR)),
        ("VBDs", references([reference(FIRST_VBD + index)])),
        ("virtual_size", Value::text(size)),
        ("sharable", Value::Flag(disk.shared)),
        ("read_only", Value::Flag(false)),
    ];
    fields.extend(records::vdi_rest());
    Ok(object("VDI", vdi_reference(index), fields))
}

fn storage(disks: usize) -> Value {
    let mut fields = vec![
        ("name_label", Value::text("Local storage")),
        ("VDIs", references((0..disks).map(vdi_reference))),
    ];
    fields.extend(records::sr_rest());
    object("SR", SR.to_owned(), fields)
}

/// The target's name for a card's network: an importer looks for a network of that name.
fn network_name(nic: &Nic, options: &RenderOptions) -> String {
    let given = options.network(nic.network.as_deref()).and_then(Network::name);
    given.or(nic.network.as_deref()).unwrap_or("Pool-wide network associated with eth0").to_owned()
}

fn networks(machine: &Machine, options: &RenderOptions) -> Vec<String> {
    let mut names: Vec<String> = machine.nics.iter().map(|nic| network_name(nic, options)).collect();
    names.sort();
    names.dedup();
    names
}

fn card(nic: &Nic, index: usize, networks: &[String], options: &RenderOptions) -> Value {
    let place = networks.binary_search(&network_name(nic, options)).unwrap_or_default();
    let mut fields = vec![
        ("device", Value::text(index)),
        ("network", Value::Text(reference(FIRST_NETWORK + place))),
        ("VM", Value::text(VM)),
        ("MAC", Value::text(nic.mac.map(|mac| mac.to_string()).unwrap_or_default())),
        ("MTU", Value::text("1500")),
        ("MAC_autogenerated", Value::Flag(false)),
        ("locking_mode", Value::text("network_default")),
        ("ipv4_allowed", references([])),
        ("ipv6_allowed", references([])),
    ];
    fields.extend(records::device_rest());
    object("VIF", reference(FIRST_VIF + index), fields)
}
