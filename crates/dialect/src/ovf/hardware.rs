//! A virtual system's hardware (DSP0243 2.1.1, clause 8): its items become a machine's devices.
//!
//! The numbers of the resource types are those of CIM_ResourceAllocationSettingData.ResourceType.

use super::capacity::{Unit, number};
use super::document::{Document, attribute, child_text, kind, sections};
use super::item::{Item, items};
use super::references::{FileReference, VirtualDisk};
use super::sections::Properties;
use super::systems::system_name;
use super::{Error, Result, config, storage};
use crate::text::excerpt;
use machine::{
    Cpu, Loss, Machine, Nic, NicModel, SerialPort, SerialTarget, Severity, Tpm, UsbController, Video,
};
use roxmltree::Node;

/// What the items of a machine refer to.
pub(super) struct Context<'a> {
    pub(super) document: &'a Document<'a>,
    pub(super) files: &'a [FileReference],
    pub(super) disks: &'a [VirtualDisk],
    pub(super) properties: &'a Properties,
    pub(super) configuration: Option<&'a str>,
}

pub(super) fn read(
    context: &Context,
    system: Node<'_, '_>,
    machine: &mut Machine,
    losses: &mut Vec<Loss>,
) -> Result<()> {
    machine.name = system_name(system);
    if machine.name.is_empty() {
        losses.push(Loss::dropped(
            Severity::Note,
            "VirtualSystem",
            "it has neither a name nor an identifier",
        ));
    }
    let section = choose_section(context, system, losses)?;
    let items = items(context.document, section, context.configuration)?;
    config::read(context, section, machine, losses)?;
    machine.cpu = cpu(context, &items, losses)?;
    machine.memory = memory(context, &items, losses)?;
    storage::read(context, &items, machine, losses)?;
    for item in &items {
        device(context, item, machine, losses)?;
    }
    Ok(())
}

/// The hardware for VMware where there are several sections, else the first.
fn choose_section<'a>(
    context: &Context,
    system: Node<'a, 'a>,
    losses: &mut Vec<Loss>,
) -> Result<Node<'a, 'a>> {
    let all: Vec<Node> = sections(system, "VirtualHardwareSection").collect();
    let family = |section: &Node| {
        section
            .children()
            .find(|child| child.tag_name().name() == "System")
            .and_then(|system| child_text(system, "VirtualSystemType"))
            .unwrap_or_default()
    };
    let known =
        |section: &&Node| ["vmx-", "virtualbox-", "kvm"].iter().any(|name| family(section).contains(name));
    let chosen = all
        .iter()
        .find(known)
        .or(all.first())
        .copied()
        .ok_or_else(|| Error::NoHardware { system: excerpt(&system_name(system), 60) })?;
    if all.len() > 1 {
        let why = format!(
            "{} hardware sections are offered: the one for {:?} is taken, on line {}",
            all.len(),
            excerpt(&family(&chosen), 40),
            context.document.line(chosen)
        );
        losses.push(Loss::dropped(Severity::Note, kind(chosen).to_owned(), why));
    }
    Ok(chosen)
}

fn quantity(context: &Context, item: &Item) -> Result<u64> {
    let text = context.properties.resolve(item.quantity.as_deref().unwrap_or_default());
    let wrong = || Error::Value {
        what: format!("the quantity of {:?}", item.describe()),
        value: excerpt(&text, 60),
        expected: "a whole number",
        line: item.line,
    };
    match number(text.trim()) {
        Some(quantity) if !text.trim().is_empty() => Ok(quantity),
        _ => Err(wrong()),
    }
}

fn cpu(context: &Context, items: &[Item], losses: &mut Vec<Loss>) -> Result<Cpu> {
    let Some(item) = items.iter().find(|item| item.resource_type == 3) else {
        losses.push(Loss::changed("processors", "1", "the descriptor does not say how many there are"));
        return Ok(Cpu::default());
    };
    let wrong = |value: u64| Error::Value {
        what: "the number of processors".to_owned(),
        value: value.to_string(),
        expected: "a number from 1 to 65535",
        line: item.line,
    };
    let count = quantity(context, item)?;
    let count =
        u32::try_from(count).ok().filter(|count| (1..=65535).contains(count)).ok_or_else(|| wrong(count))?;
    let cores = item.cores_per_socket.as_deref().and_then(number).and_then(|cores| u32::try_from(cores).ok());
    // 0 means that VMware chooses.
    let cores = cores.filter(|&cores| cores > 0).unwrap_or(1);
    if cores > count || !count.is_multiple_of(cores) {
        let why = format!("{cores} cores a socket do not divide {count} processors");
        losses.push(Loss::changed("vmw:CoresPerSocket", "1", why));
        return Ok(Cpu { sockets: count, cores_per_socket: 1, threads_per_core: 1 });
    }
    Ok(Cpu { sockets: count / cores, cores_per_socket: cores, threads_per_core: 1 })
}

/// What is taken when a descriptor says nothing of memory, in bytes.
const DEFAULT_MEMORY: u64 = 512 << 20;

fn memory(context: &Context, items: &[Item], losses: &mut Vec<Loss>) -> Result<u64> {
    let Some(item) = items.iter().find(|item| item.resource_type == 4) else {
        losses.push(Loss::changed("memory", "512 MiB", "the descriptor does not say how much there is"));
        return Ok(DEFAULT_MEMORY);
    };
    let unit = match item.units.as_deref() {
        // CIM's default is bytes, but nobody who leaves the unit out means bytes.
        None => Unit::MIB,
        Some(text) => Unit::parse(text).ok_or_else(|| Error::Value {
            what: "the unit of memory".to_owned(),
            value: excerpt(text, 60),
            expected: "a unit of bytes such as byte * 2^20",
            line: item.line,
        })?,
    };
    let bytes = unit.bytes(quantity(context, item)?);
    u64::try_from(bytes).ok().filter(|bytes| (1 << 20..=1 << 50).contains(bytes)).ok_or_else(|| {
        Error::Value {
            what: "the memory".to_owned(),
            value: format!("{bytes} bytes"),
            expected: "a size from 1 MiB to 1 PiB",
            line: item.line,
        }
    })
}

fn device(context: &Context, item: &Item, machine: &mut Machine, losses: &mut Vec<Loss>) -> Result<()> {
    if item.subtypes.iter().any(|subtype| subtype.eq_ignore_ascii_case("vmware.vtpm")) {
        let why = "the target's TPM is a new one: keys sealed in the old need their recovery key";
        losses.push(Loss::changed(item.describe(), "a new TPM 2.0", why));
        machine.tpm = Some(Tpm { version: 2 });
        return Ok(());
    }
    match item.resource_type {
        // Processors, memory, controllers and drives are read already.
        3..=6 | 14..=17 | 19 | 31 => {}
        10 | 11 => {
            let nic = nic(context, item, machine, losses);
            machine.nics.push(nic);
        }
        20 if storage::is_drive_controller(item) => {}
        21 => machine.serials.push(SerialPort { target: serial(item) }),
        24 => machine.video = Some(Video { memory: video_memory(item), ..Video::default() }),
        23 => usb(item, machine),
        1 if item.subtypes.iter().any(|subtype| subtype.eq_ignore_ascii_case("vmware.vmci")) => {
            dropped(item, losses, Severity::Note, "VMCI is VMware's own way between guests");
        }
        35 => dropped(item, losses, Severity::Change, "sound cards are not carried over"),
        22 => dropped(item, losses, Severity::Warning, "parallel ports are not carried over"),
        _ => unknown(item, losses)?,
    }
    Ok(())
}

fn dropped(item: &Item, losses: &mut Vec<Loss>, severity: Severity, why: &str) {
    losses.push(Loss::dropped(severity, item.describe(), why));
}

fn unknown(item: &Item, losses: &mut Vec<Loss>) -> Result<()> {
    let subtypes = item.subtypes.join(" ");
    if item.required == Some(true) {
        let kind = item.resource_type;
        let what = format!("{:?} (resource type {kind} {})", item.describe(), excerpt(&subtypes, 60));
        return Err(Error::Required { what, line: item.line });
    }
    let severity = if subtypes.contains("passthrough") || subtypes.contains("nvdimm") {
        Severity::Warning
    } else {
        Severity::Change
    };
    let why = format!("no counterpart for resource type {} {}", item.resource_type, excerpt(&subtypes, 60));
    losses.push(Loss::dropped(severity, item.describe(), why.trim_end()));
    Ok(())
}

fn nic(context: &Context, item: &Item, machine: &Machine, losses: &mut Vec<Loss>) -> Nic {
    if let Some(network) = &item.connection
        && !networks(context.document).any(|name| name == network)
    {
        let why =
            format!("its network {:?} is not among those that the descriptor lists", excerpt(network, 60));
        losses.push(Loss::dropped(Severity::Note, item.describe(), why));
    }
    let model = item.pick(nic_model).unwrap_or_else(|| match item.subtypes.first() {
        Some(other) => NicModel::Other(other.clone()),
        None => {
            losses.push(Loss::changed(
                item.describe(),
                "E1000",
                "the descriptor does not say which card it is",
            ));
            NicModel::E1000
        }
    });
    let mac = item.address.as_deref().and_then(|text| {
        let mac = text.parse().ok().or_else(|| bare_mac(text));
        if mac.is_none() {
            let why = format!("its address {:?} is no hardware address", excerpt(text, 40));
            losses.push(Loss::dropped(Severity::Warning, item.describe(), why));
        }
        mac
    });
    Nic {
        id: format!("nic{}", machine.nics.len() + 1),
        model,
        mac,
        network: item.connection.clone(),
        connected: item.automatic,
        ..Nic::default()
    }
}

/// The names of the networks that the descriptor lists (NetworkSection, clause 9.2).
fn networks<'a>(document: &Document<'a>) -> impl Iterator<Item = &'a str> {
    document
        .envelope_sections("NetworkSection")
        .flat_map(|section| section.children())
        .filter(|node| node.tag_name().name() == "Network")
        .filter_map(|node| attribute(node, "name"))
}

/// Twelve hexadecimal digits, as VirtualBox writes an address.
fn bare_mac(text: &str) -> Option<machine::MacAddress> {
    if text.len() != 12 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let [_, _, bytes @ ..] = u64::from_str_radix(text, 16).ok()?.to_be_bytes();
    Some(machine::MacAddress(bytes))
}

fn nic_model(subtype: &str) -> Option<NicModel> {
    Some(match subtype {
        "pcnet32" | "flexible" | "vlance" => NicModel::Pcnet,
        "e1000" => NicModel::E1000,
        "e1000e" => NicModel::E1000e,
        "vmxnet" | "vmxnet2" => NicModel::Vmxnet2,
        "vmxnet3" => NicModel::Vmxnet3,
        "virtio" | "virtio-net" => NicModel::Virtio,
        "rtl8139" => NicModel::Rtl8139,
        _ => return None,
    })
}

fn serial(item: &Item) -> SerialTarget {
    let subtype = item.subtypes.first().map(|subtype| subtype.to_ascii_lowercase()).unwrap_or_default();
    let resource = item.host_resource.clone().or_else(|| item.address.clone());
    match (subtype.rsplit('.').next().unwrap_or_default(), resource) {
        ("file", Some(file)) => SerialTarget::File(file),
        ("pipe", Some(pipe)) => SerialTarget::Pipe(pipe),
        ("uri", Some(uri)) => SerialTarget::Network(uri),
        ("device", Some(device)) => SerialTarget::Device(device),
        _ => SerialTarget::Console,
    }
}

/// A USB controller, by the fastest that it does.
fn usb(item: &Item, machine: &mut Machine) {
    let is = |word: &str| item.subtypes.iter().any(|subtype| subtype.to_ascii_lowercase().contains(word));
    let slowed = item.config("ehciEnabled").is_some_and(|enabled| enabled.eq_ignore_ascii_case("false"));
    let controller = match () {
        () if is("xhci") => UsbController::Usb3,
        () if is("ehci") && !slowed => UsbController::Usb2,
        () => UsbController::Usb1,
    };
    if !machine.usb.contains(&controller) {
        machine.usb.push(controller);
    }
}

fn video_memory(item: &Item) -> Option<u64> {
    item.config("videoRamSizeInKB")
        .and_then(|size| number(size.trim()))
        .and_then(|size| size.checked_mul(1024))
}
