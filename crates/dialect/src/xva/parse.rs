//! `ova.xml` to a machine.

use super::DIALECT;
use super::value::Read;
use crate::Parsed;
use crate::boot_order::{self, Kind};
use crate::dialects::ParseError;
use crate::text::excerpt;
use crate::xl::place;
use machine::{
    Attachment, Bus, Cpu, Disk, Firmware, Loss, Machine, Nic, NicModel, Property, Removable, RemovableKind,
    SerialPort, SerialTarget, Severity, Smbios, Tpm, Uefi, UsbController, Video,
};
use roxmltree::ParsingOptions;
use std::collections::{BTreeMap, BTreeSet};

/// The longest file that is read, in bytes. With many snapshots real ones have some hundred kilobytes.
pub const MAX_SIZE: usize = 16 << 20;

/// The most elements and texts that it may have.
const MAX_NODES: u32 = 1 << 20;

/// The most memory that is believed, in bytes: 1 PiB.
const MAX_MEMORY: u64 = 1 << 50;

/// Why a description could not be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is larger than any description.
    #[error("{size} bytes are too many for an ova.xml: at most {limit} are read")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The bytes are not UTF-8, which is all that xapi writes.
    #[error("the byte at {offset} is not of UTF-8")]
    NotText {
        /// Where, in bytes.
        offset: usize,
    },
    /// The XML is not well-formed, or declares a document type.
    #[error("the XML cannot be read: {0}")]
    Xml(roxmltree::Error),
    /// No record is of a virtual machine.
    #[error("none of the {records} records is of a virtual machine")]
    NoMachine {
        /// How many records there are.
        records: usize,
    },
    /// A value that the machine depends on is wrong.
    #[error("the VM's {field} is {value:?}, not {expected}")]
    Value {
        /// The field.
        field: &'static str,
        /// The value's beginning.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl From<Error> for ParseError {
    fn from(error: Error) -> Self {
        Self::new(error, "check that this is what `xe vm-export` wrote, whole and as it is")
    }
}

/// The records, by class and reference.
struct Records<'a> {
    by_reference: BTreeMap<&'a str, (&'a str, Read<'a>)>,
    in_order: Vec<(&'a str, &'a str, Read<'a>)>,
}

impl<'a> Records<'a> {
    fn new(root: Read<'a>) -> Self {
        let mut records = Self { by_reference: BTreeMap::new(), in_order: Vec::new() };
        let objects = root.member("objects").into_iter().flat_map(Read::values);
        for object in objects {
            let (class, id) = (object.text_of("class"), object.text_of("id"));
            if let Some(record) = object.member("snapshot") {
                records.by_reference.insert(id, (class, record));
                records.in_order.push((class, id, record));
            }
        }
        records
    }

    fn of(&self, class: &str) -> impl Iterator<Item = (&'a str, Read<'a>)> {
        self.in_order.iter().filter(move |record| record.0 == class).map(|(_, id, record)| (*id, *record))
    }

    fn find(&self, class: &str, reference: &str) -> Option<Read<'a>> {
        self.by_reference.get(reference).filter(|found| found.0 == class).map(|found| found.1)
    }
}

/// Reads an `ova.xml`. A disk's source is the reference of its VDI, which is the directory of its blocks in the archive.
///
/// # Errors
/// When the bytes are no such value, there is no VM in it, or its memory or processors are not numbers.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_SIZE });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| Error::NotText { offset: error.valid_up_to() })?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let tree = roxmltree::Document::parse_with_options(text, options).map_err(Error::Xml)?;
    let records = Records::new(Read(tree.root_element()));
    let mut losses = Vec::new();
    // The snapshots of the machine are VMs too.
    let mut machines = records.of("VM").filter(|(_, vm)| !vm.is_true("is_a_snapshot"));
    let (id, vm) = machines.next().ok_or(Error::NoMachine { records: records.in_order.len() })?;
    if records.of("VM").count() > 1 {
        let why = "the archive holds more than one machine or snapshot; the first machine is taken";
        losses.push(Loss::dropped(Severity::Warning, "VM", why));
    }
    let mut machine = Machine::default();
    system(vm, &mut machine, &mut losses)?;
    drives(&records, id, &mut machine, &mut losses);
    nics(&records, id, vm, &mut machine, &mut losses);
    if records.of("VTPM").any(|(_, tpm)| tpm.text_of("VM") == id) {
        machine.tpm = Some(Tpm { version: 2 });
        let why = "the target's TPM is a new one: keys sealed in the old (BitLocker, LUKS with TPM) need their recovery key";
        losses.push(Loss::changed("VTPM", "a new TPM 2.0", why));
    }
    report(&records, id, &mut losses);
    boot(vm, &mut machine);
    machine.properties = properties(vm);
    Ok(Parsed { machine, losses })
}

fn number(vm: Read<'_>, field: &'static str, most: u64, expected: &'static str) -> Result<u64, Error> {
    let text = vm.text_of(field);
    let number = text.trim().parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| Error::Value { field, value: excerpt(text, 60), expected })
}

fn system(vm: Read<'_>, machine: &mut Machine, losses: &mut Vec<Loss>) -> Result<(), Error> {
    machine.name = vm.text_of("name_label").to_owned();
    machine.notes = Some(vm.text_of("name_description")).filter(|text| !text.is_empty()).map(str::to_owned);
    machine.bios_uuid = vm.text_of("uuid").parse().ok();
    let expected = "a size in bytes of at most 1 PiB";
    let most = number(vm, "memory_static_max", MAX_MEMORY, expected)?;
    // Before ballooning there was but one size.
    let now = number(vm, "memory_dynamic_max", MAX_MEMORY, expected).unwrap_or(most).min(most);
    machine.memory = now;
    machine.max_memory = (most > now).then_some(most);
    processors(vm, machine, losses)?;
    let platform = vm.member("platform");
    let setting = |name: &str| platform.map_or("", |platform| platform.text_of(name));
    let params = vm.member("HVM_boot_params");
    if params.is_some_and(|params| params.text_of("firmware") == "uefi") {
        let secure_boot = matches!(setting("secureboot"), "true" | "auto");
        machine.firmware = Firmware::Uefi(Uefi { secure_boot, nvram: None });
    }
    if vm.text_of("domain_type") == "pv"
        || (vm.text_of("HVM_boot_policy").is_empty() && vm.text_of("domain_type") != "hvm")
    {
        let why = "the guest is paravirtualised: it starts without firmware, with a kernel that Xen loads; it must be able \
                   to start from BIOS or UEFI elsewhere";
        losses.push(Loss::dropped(Severity::Warning, "VM.PV_bootloader", why));
    }
    let offset = setting("timeoffset");
    if !matches!(offset, "" | "0") {
        let why = format!("the clock ran {} seconds beside UTC; the guest corrects it", excerpt(offset, 20));
        losses.push(Loss::dropped(Severity::Change, "VM.platform.timeoffset", why));
    }
    let memory = setting("videoram").parse::<u64>().ok().filter(|mib| (1..=1024).contains(mib));
    let model = match setting("vga") {
        "" => None,
        "std" => Some("vga".to_owned()),
        other => Some(other.to_owned()),
    };
    machine.video = Some(Video { model, memory: memory.map(|mib| mib << 20) });
    if setting("usb") == "true" {
        machine.usb = vec![UsbController::Usb1];
    }
    if !matches!(setting("hvm_serial"), "" | "none") {
        machine.serials = vec![SerialPort { target: SerialTarget::Console }];
    }
    machine.smbios = vm.member("bios_strings").map(smbios).unwrap_or_default();
    Ok(())
}

fn processors(vm: Read<'_>, machine: &mut Machine, losses: &mut Vec<Loss>) -> Result<(), Error> {
    let expected = "a number of processors from 1 to 65535";
    let most = number(vm, "VCPUs_max", 65_535, expected)?;
    let now = number(vm, "VCPUs_at_startup", 65_535, expected)?.min(most);
    let (now, most) = (u32::try_from(now).unwrap_or(1), u32::try_from(most).unwrap_or(1));
    machine.max_cpus = (most > now).then_some(most);
    let cores = vm.member("platform").map_or("", |platform| platform.text_of("cores-per-socket"));
    let cores: u32 = cores.parse().ok().filter(|cores| *cores > 0).unwrap_or(1);
    let fits = now.is_multiple_of(cores);
    if !fits {
        let why = format!("{cores} cores a socket do not divide {now} processors");
        losses.push(Loss::changed("VM.platform.cores-per-socket", "1", why));
    }
    let cores_per_socket = if fits { cores } else { 1 };
    machine.cpu = Cpu { sockets: now / cores_per_socket, cores_per_socket, threads_per_core: 1 };
    Ok(())
}

/// The strings of the SMBIOS, but for Xen's own.
fn smbios(strings: Read<'_>) -> Smbios {
    let of = |name: &str| {
        let text = strings.text_of(name);
        (!matches!(text, "" | "Xen" | "HVM domU")).then(|| text.to_owned())
    };
    Smbios {
        manufacturer: of("system-manufacturer"),
        product: of("system-product-name"),
        version: of("system-version"),
        serial: of("system-serial-number"),
        asset_tag: of("enclosure-asset-tag"),
        ..Smbios::default()
    }
}

fn drives(records: &Records<'_>, vm: &str, machine: &mut Machine, losses: &mut Vec<Loss>) {
    let mut taken = BTreeSet::new();
    let mut found: Vec<(Attachment, Read<'_>)> = Vec::new();
    for (id, vbd) in records.of("VBD").filter(|(_, vbd)| vbd.text_of("VM") == vm) {
        let device = vbd.text_of("userdevice");
        let unit = device.parse().ok().map(|unit| Attachment { bus: Bus::Xen, controller: 0, unit });
        let wanted =
            unit.or_else(|| place(device)).unwrap_or(Attachment { bus: Bus::Xen, ..Attachment::default() });
        let mut at = wanted;
        while !taken.insert(at) {
            at.unit = at.unit.saturating_add(1);
        }
        if at != wanted {
            let why = format!("another drive has the place {:?}", excerpt(device, 20));
            losses.push(Loss::changed(format!("VBD {}", excerpt(id, 20)), format!("place {}", at.unit), why));
        }
        found.push((at, vbd));
    }
    found.sort_by_key(|(at, _)| *at);
    for (attachment, vbd) in found {
        let reference = vbd.text_of("VDI");
        let vdi = records.find("VDI", reference);
        match vbd.text_of("type") {
            "CD" | "Floppy" => machine.removables.push(Removable {
                kind: if vbd.text_of("type") == "CD" { RemovableKind::Cdrom } else { RemovableKind::Floppy },
                attachment,
                medium: vdi.map(|vdi| vdi.text_of("name_label").to_owned()).filter(|name| !name.is_empty()),
                connected: true,
                boot_order: None,
            }),
            _ => machine.disks.push(Disk {
                id: format!("disk{}", machine.disks.len() + 1),
                attachment,
                source: Some(reference.to_owned()),
                format: Some("raw".to_owned()),
                capacity: vdi.and_then(|vdi| vdi.text_of("virtual_size").parse().ok()),
                read_only: vbd.text_of("mode") == "RO",
                shared: vdi.is_some_and(|vdi| vdi.is_true("sharable")),
                ..Disk::default()
            }),
        }
    }
}

fn nics(records: &Records<'_>, id: &str, vm: Read<'_>, machine: &mut Machine, losses: &mut Vec<Loss>) {
    let emulated = vm.member("platform").map_or("", |platform| platform.text_of("nic_type"));
    let model = match emulated {
        "e1000" => NicModel::E1000,
        "rtl8139" => NicModel::Rtl8139,
        _ => NicModel::Xen,
    };
    let mut found: Vec<(u32, Read<'_>)> = records
        .of("VIF")
        .filter(|(_, vif)| vif.text_of("VM") == id)
        .map(|(_, vif)| (vif.text_of("device").parse().unwrap_or(u32::MAX), vif))
        .collect();
    found.sort_by_key(|(device, _)| *device);
    for (_, vif) in found {
        let id = format!("nic{}", machine.nics.len() + 1);
        let text = vif.text_of("MAC");
        let mac = text.parse().ok();
        if mac.is_none() && !text.is_empty() {
            let why = format!("{:?} is no hardware address", excerpt(text, 40));
            losses.push(Loss::dropped(Severity::Warning, format!("VIF {}.MAC", machine.nics.len()), why));
        }
        let network = records.find("network", vif.text_of("network"));
        let network = network.map(|network| {
            let (name, bridge) = (network.text_of("name_label"), network.text_of("bridge"));
            if name.is_empty() { bridge } else { name }
        });
        let network = network.filter(|name| !name.is_empty()).map(str::to_owned);
        machine.nics.push(Nic { id, model: model.clone(), mac, network, connected: true, ..Nic::default() });
    }
}

fn boot(vm: Read<'_>, machine: &mut Machine) {
    let order = vm.member("HVM_boot_params").map_or("", |params| params.text_of("order"));
    let kinds = order.chars().take(8).filter_map(|letter| match letter {
        'c' => Some(Kind::Disk),
        'd' => Some(Kind::Cdrom),
        'n' => Some(Kind::Network),
        'a' => Some(Kind::Floppy),
        _ => None,
    });
    boot_order::number(machine, kinds);
}

/// Records of devices that have no place in a [`Machine`].
const UNSUPPORTED: [(&str, &str); 3] = [
    ("VGPU", "a graphics processor of the source's host does not move with the machine"),
    ("VUSB", "a USB device of the source's host does not move with the machine"),
    ("PVS_proxy", "the proxy for provisioned disks is XenServer's own"),
];

fn report(records: &Records<'_>, vm: &str, losses: &mut Vec<Loss>) {
    for (class, why) in UNSUPPORTED {
        if records.of(class).any(|(_, record)| record.text_of("VM") == vm || class == "PVS_proxy") {
            losses.push(Loss::dropped(Severity::Warning, class, why));
        }
    }
}

/// Fields of the VM that are read above, or say nothing of it elsewhere: of its past, of the pool, of its places there.
const KNOWN: [&str; 26] = [
    "uuid",
    "name_label",
    "name_description",
    "memory_static_max",
    "memory_static_min",
    "memory_dynamic_max",
    "memory_dynamic_min",
    "memory_target",
    "memory_overhead",
    "VCPUs_max",
    "VCPUs_at_startup",
    "HVM_boot_policy",
    "domain_type",
    "power_state",
    "user_version",
    "domid",
    "last_booted_record",
    "last_boot_CPU_flags",
    "bios_strings",
    "HVM_shadow_multiplier",
    "snapshot_time",
    "order",
    "version",
    "hardware_platform_version",
    "is_a_snapshot",
    "HVM_boot_params",
];

/// What of `platform` is read above, or is what every machine has.
const KNOWN_PLATFORM: [&str; 16] = [
    "timeoffset",
    "cores-per-socket",
    "vga",
    "videoram",
    "usb",
    "usb_tablet",
    "hvm_serial",
    "nic_type",
    "secureboot",
    "device-model",
    "apic",
    "acpi",
    "pae",
    "nx",
    "hpet",
    "viridian",
];

/// The VM's other fields that are set, and do not merely refer to other records.
fn properties(vm: Read<'_>) -> Vec<Property> {
    let mut properties = Vec::new();
    let mut add = |key: String, value: &str| {
        let says_nothing = matches!(value, "" | "0" | "false")
            || value.starts_with("OpaqueRef:")
            || value.starts_with("Ref:");
        let usual = matches!(
            (key.as_str(), value),
            ("actions_after_shutdown", "destroy")
                | ("actions_after_reboot" | "actions_after_crash", "restart")
        );
        if !says_nothing && !usual {
            properties.push(Property { dialect: DIALECT.name.to_owned(), key, value: value.to_owned() });
        }
    };
    for (name, value) in vm.members().filter(|(name, _)| !KNOWN.contains(name)) {
        match value.text() {
            Some(text) => add(name.to_owned(), text),
            None => {
                for (key, value) in
                    value.members().filter(|(key, _)| name != "platform" || !KNOWN_PLATFORM.contains(key))
                {
                    add(format!("{name}.{key}"), value.text().unwrap_or_default());
                }
            }
        }
    }
    properties
}
