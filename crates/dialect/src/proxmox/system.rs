//! Processors, memory, firmware, identity and ports of a `.conf`.

use super::document::Document;
use super::error::Error;
use super::options::Options;
use crate::base64;
use crate::text::excerpt;
use machine::{
    Clock, Cpu, Firmware, GuestOs, Loss, Machine, NumaNode, SerialPort, SerialTarget, Severity, Smbios, Tpm,
    Uefi, Video,
};
use uuid::Uuid;

/// What Proxmox gives a machine that says nothing, in MiB.
const DEFAULT_MEMORY_MIB: u64 = 512;
/// The most memory that is believed, in MiB: 1 PiB.
const MOST_MEMORY_MIB: u64 = 1 << 30;

pub(super) fn read(keys: &mut Document, machine: &mut Machine, losses: &mut Vec<Loss>) -> Result<(), Error> {
    machine.name = keys.take("name").unwrap_or_default();
    machine.guest_os = keys.take("ostype").map(|id| GuestOs { vocabulary: "proxmox".to_owned(), id });
    (machine.cpu, machine.max_cpus) = cpu(keys)?;
    machine.memory = memory(keys)?;
    machine.numa = numa(keys, losses);
    machine.firmware = firmware(keys);
    machine.tpm = keys.take("tpmstate0").map(|value| tpm(&value, losses));
    identity(keys, machine, losses);
    machine.clock = clock(keys, machine.guest_os.as_ref());
    machine.video = video(keys);
    machine.serials = serials(keys);
    Ok(())
}

/// The processors at the start, and how many there can be when some of them wait to be plugged in (`vcpus`).
fn cpu(keys: &mut Document) -> Result<(Cpu, Option<u32>), Error> {
    let expected = "a number from 1 to 4096";
    let mut number =
        |key| Ok(keys.number(key, 1..=4096, expected)?.and_then(|number| u32::try_from(number).ok()));
    let (sockets, cores, now) =
        (number("sockets")?.unwrap_or(1), number("cores")?.unwrap_or(1), number("vcpus")?);
    let whole = Cpu { sockets, cores_per_socket: cores, threads_per_core: 1 };
    let Some(now) = now.filter(|&now| now < whole.count()) else { return Ok((whole, None)) };
    let sockets = if now.is_multiple_of(sockets) { sockets } else { 1 };
    Ok((Cpu { sockets, cores_per_socket: now / sockets, threads_per_core: 1 }, Some(whole.count())))
}

/// Memory in bytes. Newer configurations write `current=`.
fn memory(keys: &mut Document) -> Result<u64, Error> {
    if let Some(value) =
        keys.peek("memory").and_then(|value| value.strip_prefix("current=")).map(str::to_owned)
    {
        keys.put_back("memory".to_owned(), value);
    }
    let mib = keys.number("memory", 1..=MOST_MEMORY_MIB, "a size in MiB from 1 to 1073741824")?;
    Ok(mib.unwrap_or(DEFAULT_MEMORY_MIB) << 20)
}

/// Cells that are described one by one. With the flag `numa` alone, Proxmox makes one of each socket.
fn numa(keys: &mut Document, losses: &mut Vec<Loss>) -> Vec<NumaNode> {
    let mut nodes = Vec::new();
    for number in keys.numbers("numa", 7) {
        let key = format!("numa{number}");
        let Some(value) = keys.take(&key) else { continue };
        let mut options = Options::parse(&value, "cpus");
        let cpus = options.take("cpus").and_then(|text| ranges(&text));
        let mib = options.take("memory").and_then(|text| text.parse::<u64>().ok());
        match (cpus, mib.filter(|mib| *mib <= MOST_MEMORY_MIB)) {
            (Some(cpus), Some(mib)) => nodes.push(NumaNode { cpus, memory: mib << 20 }),
            _ => losses.push(Loss::dropped(
                Severity::Change,
                key.as_str(),
                "its processors and memory are not said",
            )),
        }
        if let Some(rest) = options.rest() {
            let why = format!("{} is the source's host's", excerpt(&rest, 60));
            losses.push(Loss::dropped(Severity::Note, key, why));
        }
    }
    if !nodes.is_empty() {
        keys.take("numa");
    }
    nodes
}

/// Numbers and ranges of them: `0-3;8`.
fn ranges(text: &str) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in text.split(';') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if last >= 4096 || numbers.len() >= 4096 {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

fn firmware(keys: &mut Document) -> Firmware {
    if keys.peek("bios") != Some("ovmf") {
        if keys.peek("bios") == Some("seabios") {
            keys.take("bios");
        }
        return Firmware::Bios;
    }
    keys.take("bios");
    let Some(value) = keys.take("efidisk0") else { return Firmware::Uefi(Uefi::default()) };
    let mut options = Options::parse(&value, "file");
    // The firmware enforces secure boot when its variables come with Microsoft's keys.
    let secure_boot = options.flag("pre-enrolled-keys");
    Firmware::Uefi(Uefi { secure_boot, nvram: options.take("file") })
}

fn tpm(value: &str, losses: &mut Vec<Loss>) -> Tpm {
    let why = "the target's TPM is a new one: keys sealed in the old (BitLocker, LUKS with TPM) need their recovery key";
    losses.push(Loss::changed("tpmstate0", "a new TPM", why));
    let version = Options::parse(value, "file").take("version");
    // Without a version it is of the first kind that Proxmox had.
    Tpm { version: if version.as_deref() == Some("v2.0") { 2 } else { 1 } }
}

fn identity(keys: &mut Document, machine: &mut Machine, losses: &mut Vec<Loss>) {
    let Some(value) = keys.take("smbios1") else { return };
    let mut options = Options::parse(&value, "uuid");
    if let Some(text) = options.take("uuid") {
        machine.bios_uuid = Uuid::parse_str(&text).ok();
        if machine.bios_uuid.is_none() {
            let why = format!("{:?} is no UUID", excerpt(&text, 60));
            losses.push(Loss::dropped(Severity::Warning, "smbios1.uuid", why));
        }
    }
    let is_encoded = options.flag("base64");
    let mut text = |name: &str| {
        let value = options.take(name)?;
        if !is_encoded {
            return Some(value);
        }
        let bytes = base64::decode(&value);
        if bytes.is_none() {
            losses.push(Loss::dropped(Severity::Change, format!("smbios1.{name}"), "it is no Base64"));
        }
        Some(String::from_utf8_lossy(&bytes?).into_owned())
    };
    machine.smbios = Smbios {
        manufacturer: text("manufacturer"),
        product: text("product"),
        version: text("version"),
        serial: text("serial"),
        sku: text("sku"),
        family: text("family"),
        asset_tag: None,
    };
}

/// The clock: as it is said, else local time for Windows.
fn clock(keys: &mut Document, guest_os: Option<&GuestOs>) -> Clock {
    let is_windows = guest_os.is_some_and(|os| os.id.starts_with('w'));
    if keys.flag("localtime").unwrap_or(is_windows) { Clock::LocalTime } else { Clock::Utc }
}

/// The graphics card; a terminal on a serial port instead of one stays a property.
fn video(keys: &mut Document) -> Option<Video> {
    let Some(value) = keys.take("vga") else { return Some(Video::default()) };
    let mut options = Options::parse(&value, "type");
    let model = options.take("type");
    let memory = options.take("memory").and_then(|mib| mib.parse::<u64>().ok()).filter(|mib| *mib <= 1 << 20);
    let is_serial = model.as_deref().is_some_and(|model| model.starts_with("serial"));
    let rest = if is_serial { Some(value) } else { options.rest() };
    if let Some(rest) = rest {
        keys.put_back("vga".to_owned(), rest);
    }
    if is_serial || model.as_deref() == Some("none") {
        return None;
    }
    Some(Video { model, memory: memory.map(|mib| mib << 20) })
}

fn serials(keys: &mut Document) -> Vec<SerialPort> {
    let numbers = keys.numbers("serial", 3);
    let values = numbers.into_iter().filter_map(|number| keys.take(&format!("serial{number}")));
    let target = |value: String| match value.as_str() {
        "socket" => SerialTarget::Console,
        _ => SerialTarget::Device(value),
    };
    values.map(|value| SerialPort { target: target(value) }).collect()
}
