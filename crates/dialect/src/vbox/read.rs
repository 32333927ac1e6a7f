//! The machine as a whole: its name, identity, processors, memory, firmware and ports.

use super::document::{Settings, child, children, descend, flag, uuid};
use super::media::Media;
use super::names::{TPMS, USB};
use super::{Result, boot, extra, network, settings as keep, storage};
use crate::Parsed;
use crate::boot_order;
use crate::text::excerpt;
use machine::{
    Clock, Cpu, Firmware, GuestOs, Loss, Machine, SerialPort, SerialTarget, Severity, Tpm, Uefi,
    UsbController, Video,
};
use roxmltree::Node;
use uuid::Uuid;

const MIB: u64 = 1 << 20;
/// The most memory that the schema allows, in MiB.
const MAX_MEMORY_MIB: u64 = 2_097_152;
/// The most processors that are believed.
const MAX_CPUS: u64 = 65_535;

/// Reads the machine.
pub(super) fn read(settings: &Settings<'_>) -> Result<Parsed> {
    let mut losses = Vec::new();
    let mut machine = Machine::default();
    let hardware = settings.hardware()?;
    let media = Media::read(settings, &mut losses)?;
    system(settings, hardware, &mut machine, &mut losses)?;
    storage::read(settings, hardware, &media, &mut machine, &mut losses);
    if let Some(network) = child(hardware, "Network") {
        network::read(settings, network, &mut machine, &mut losses);
    }
    machine.serials = serials(hardware, &mut losses);
    boot_order::number(&mut machine, boot::declared(hardware));
    let understood = extra::read(settings.machine, &mut machine);
    state(settings.machine, &mut losses);
    keep::read(settings, &understood, &mut machine, &mut losses);
    Ok(Parsed { machine, losses })
}

fn system(
    settings: &Settings<'_>,
    hardware: Node,
    machine: &mut Machine,
    losses: &mut Vec<Loss>,
) -> Result<()> {
    machine.name = settings.machine.attribute("name").unwrap_or_default().to_owned();
    machine.notes = child(settings.machine, "Description").map(text).filter(|notes| !notes.is_empty());
    machine.guest_os = settings
        .machine
        .attribute("OSType")
        .map(|id| GuestOs { vocabulary: "virtualbox".to_owned(), id: id.to_owned() });
    machine.bios_uuid = bios_uuid(settings.machine, hardware);
    processors(settings, hardware, machine)?;
    machine.memory = memory(settings, hardware)?;
    machine.firmware = firmware(hardware, losses);
    machine.tpm = tpm(hardware, losses);
    machine.video = video(hardware);
    machine.usb = usb(hardware, losses);
    let rtc = child(hardware, "RTC").and_then(|rtc| rtc.attribute("localOrUTC"));
    machine.clock = if rtc == Some("UTC") { Clock::Utc } else { Clock::LocalTime };
    Ok(())
}

/// All text of an element itself.
fn text(node: Node) -> String {
    node.children().filter(Node::is_text).filter_map(|child| child.text()).collect()
}

/// The identifier that the guest's `dmidecode` prints: the hardware's own, else the machine's. VirtualBox's tables are
/// of SMBIOS 2.5, whose identifiers are read as they are stored, and `SmbiosUuidLittleEndian` stores the first three
/// fields the other way round.
fn bios_uuid(machine: Node, hardware: Node) -> Option<Uuid> {
    let id = uuid(hardware, "uuid").or_else(|| uuid(machine, "uuid"))?;
    let swapped = descend(hardware, &["BIOS", "SmbiosUuidLittleEndian"]);
    let is_swapped = swapped.and_then(|node| flag(node, "enabled")) == Some(true);
    Some(if is_swapped { Uuid::from_bytes(id.to_bytes_le()) } else { id })
}

/// VirtualBox puts all processors on one socket. With hot-plugging, `count` is how many there can be, and a list says
/// which are there.
fn processors(settings: &Settings<'_>, hardware: Node, machine: &mut Machine) -> Result<()> {
    let Some(cpu) = child(hardware, "CPU") else { return Ok(()) };
    let expected = "a number of processors from 1 to 65535";
    let count = settings.number(cpu, "count", expected)?.unwrap_or(1);
    let count = match u32::try_from(count) {
        Ok(number) if (1..=MAX_CPUS).contains(&count) => number,
        _ => return Err(settings.wrong(cpu, "count", expected)),
    };
    let plugged = child(cpu, "CpuTree").map_or(0, |tree| children(tree, "Cpu").count());
    let plugged = u32::try_from(plugged).unwrap_or(count).clamp(1, count);
    let can_grow = flag(cpu, "hotplug") == Some(true);
    let cores = if can_grow { plugged } else { count };
    machine.cpu = Cpu { sockets: 1, cores_per_socket: cores, threads_per_core: 1 };
    machine.max_cpus = can_grow.then_some(count);
    Ok(())
}

fn memory(settings: &Settings<'_>, hardware: Node) -> Result<u64> {
    let expected = "a number of MiB from 4 to 2097152";
    let line = settings.line(hardware);
    let missing = super::Error::Missing { parent: "Hardware".to_owned(), element: "Memory", line };
    let memory = child(hardware, "Memory").ok_or(missing)?;
    match settings.number(memory, "RAMSize", expected)? {
        Some(size @ 4..=MAX_MEMORY_MIB) => Ok(size * MIB),
        _ => Err(settings.wrong(memory, "RAMSize", expected)),
    }
}

/// Whether the firmware refuses unsigned boot loaders is in the file of its variables, not here.
fn firmware(hardware: Node, losses: &mut Vec<Loss>) -> Firmware {
    let kind = child(hardware, "Firmware").and_then(|firmware| firmware.attribute("type"));
    match kind.unwrap_or("BIOS") {
        "BIOS" => return Firmware::Bios,
        "EFI" | "EFI64" => {}
        "EFI32" => {
            let why =
                "UEFI of 32 bits: the guest's boot loader is of the same, and other hypervisors have only 64";
            losses.push(Loss::changed("Hardware/Firmware/@type", "EFI", why));
        }
        other => {
            let why = format!("{:?} is no firmware that is known", excerpt(other, 40));
            losses.push(Loss::changed("Hardware/Firmware/@type", "EFI", why));
        }
    }
    let nvram = descend(hardware, &["BIOS", "NVRAM"]).and_then(|nvram| nvram.attribute("path"));
    let nvram = nvram.filter(|path| !path.is_empty()).map(str::to_owned);
    if nvram.is_some() {
        let why = "whether secure boot is on is in the file of the firmware's variables, which is not read";
        losses.push(Loss::dropped(Severity::Note, "Hardware/BIOS/NVRAM", why));
    }
    Firmware::Uefi(Uefi { secure_boot: false, nvram })
}

fn tpm(hardware: Node, losses: &mut Vec<Loss>) -> Option<Tpm> {
    let kind = child(hardware, "TrustedPlatformModule")?.attribute("type").unwrap_or("None");
    if let Some((_, version)) = TPMS.iter().find(|(name, _)| *name == kind) {
        return Some(Tpm { version: *version });
    }
    if kind == "None" {
        return None;
    }
    let why = format!(
        "the TPM {:?} is the source's host's: the target gives one of its own, which is empty",
        excerpt(kind, 40)
    );
    losses.push(Loss::changed("Hardware/TrustedPlatformModule", "a TPM 2.0", why));
    Some(Tpm { version: 2 })
}

/// Without an element it is VirtualBox's first graphics card.
fn video(hardware: Node) -> Option<Video> {
    let display = child(hardware, "Display");
    let model = display.and_then(|display| display.attribute("controller")).unwrap_or("VBoxVGA");
    let memory =
        display.and_then(|display| display.attribute("VRAMSize")).and_then(|size| size.parse::<u64>().ok());
    let memory = memory.and_then(|size| size.checked_mul(MIB));
    (model != "None").then(|| Video { model: Some(model.to_ascii_lowercase()), memory })
}

fn usb(hardware: Node, losses: &mut Vec<Loss>) -> Vec<UsbController> {
    if let Some(old) = child(hardware, "USBController") {
        let is_on = flag(old, "enabled") == Some(true);
        let is_fast = is_on && flag(old, "enabledEhci") == Some(true);
        let controllers = [(is_on, UsbController::Usb1), (is_fast, UsbController::Usb2)];
        return controllers.into_iter().filter(|(is_there, _)| *is_there).map(|(_, usb)| usb).collect();
    }
    let list = descend(hardware, &["USB", "Controllers"]);
    let mut controllers = Vec::new();
    for controller in list.into_iter().flat_map(|list| children(list, "Controller")) {
        let kind = controller.attribute("type").unwrap_or_default();
        match USB.iter().find(|(name, _)| *name == kind) {
            Some((_, usb)) => controllers.push(*usb),
            None => {
                let why = format!("{:?} is no USB controller that is known", excerpt(kind, 40));
                losses.push(Loss::dropped(Severity::Change, "Hardware/USB/Controllers", why));
            }
        }
    }
    controllers
}

fn serials(hardware: Node, losses: &mut Vec<Loss>) -> Vec<SerialPort> {
    let ports = child(hardware, "UART").into_iter().flat_map(|uart| children(uart, "Port"));
    let mut ports: Vec<Node> = ports.filter(|port| flag(*port, "enabled") == Some(true)).collect();
    ports.sort_by_key(|port| port.attribute("slot").and_then(|slot| slot.parse::<u32>().ok()));
    let mut serials = Vec::new();
    for port in ports {
        let path = port.attribute("path").unwrap_or_default().to_owned();
        let target = match port.attribute("hostMode").unwrap_or_default() {
            "HostPipe" => SerialTarget::Pipe(path),
            "HostDevice" => SerialTarget::Device(path),
            "RawFile" => SerialTarget::File(path),
            "TCP" => SerialTarget::Network(path),
            _ => SerialTarget::Console,
        };
        if flag(port, "server") == Some(true) {
            let why = "which end of a pipe or connection waits for the other is not carried over";
            losses.push(Loss::dropped(
                Severity::Note,
                format!("Hardware/UART/Port[{}]/@server", serials.len()),
                why,
            ));
        }
        serials.push(SerialPort { target });
    }
    serials
}

/// What there is beside the machine as it is now.
fn state(machine: Node, losses: &mut Vec<Loss>) {
    if machine.attribute("stateFile").is_some() {
        let why = "the machine's state was saved while it ran: without it, the disks are as after a power failure; start \
                   the machine and shut it down first";
        losses.push(Loss::dropped(Severity::Warning, "Machine/@stateFile", why));
    }
    let snapshots = machine.descendants().filter(|node| node.tag_name().name() == "Snapshot").count();
    if snapshots > 0 {
        let why = format!("{snapshots} snapshots stay behind: the machine is taken as it is now");
        losses.push(Loss::dropped(Severity::Note, "Machine/Snapshot", why));
    }
}
