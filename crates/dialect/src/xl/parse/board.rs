//! What is on the board of a machine: firmware, graphics, USB, the TPM, cells of memory.

use super::{MAX_DEVICES, Reading, Value, property};
use crate::xl::Error;
use machine::{Firmware, Loss, NumaNode, Smbios, Tpm, Uefi, UsbController, Video};
use std::collections::BTreeSet;

/// Firmware, graphics and what else is on the board of a machine.
pub(super) fn board(reading: &mut Reading, is_full: bool) -> Result<(), Error> {
    let firmware = [reading.take_text("bios"), reading.take_text("firmware")];
    let is_uefi =
        |name: &String| ["ovmf", "uefi"].iter().any(|uefi| name.to_ascii_lowercase().contains(uefi));
    if is_full && firmware.iter().flatten().any(is_uefi) {
        reading.machine.firmware = Firmware::Uefi(Uefi::default());
    }
    reading.machine.video = video(reading, is_full);
    reading.machine.smbios = smbios(reading);
    let version = reading.take("usbversion").and_then(|value| value.number());
    let usb = reading.take_flag("usb").unwrap_or(false);
    reading.machine.usb = match version {
        Some(1) => vec![UsbController::Usb1],
        Some(2) => vec![UsbController::Usb2],
        Some(3) => vec![UsbController::Usb3],
        _ if usb || reading.peek("usbdevice").is_some() => vec![UsbController::Usb1],
        _ => Vec::new(),
    };
    if reading.take("vtpm").is_some() {
        reading.machine.tpm = Some(Tpm { version: 1 });
        let why = "the target's TPM is a new one: keys sealed in the old need their recovery key";
        reading.losses.push(Loss::changed("vtpm", "a new TPM", why));
    }
    numa(reading);
    Ok(())
}

/// A fully virtualised machine has a Cirrus card unless it says otherwise; others have none of their own.
fn video(reading: &mut Reading, is_full: bool) -> Option<Video> {
    let memory = reading.take("videoram").and_then(|value| value.number());
    let memory = memory.and_then(|mib| u64::try_from(mib).ok()).filter(|mib| (1..=1 << 20).contains(mib));
    let vga = reading.take_text("vga");
    let standard = reading.take_flag("stdvga") == Some(true);
    let hidden = reading.take_flag("nographic") == Some(true);
    if !is_full || hidden || vga.as_deref() == Some("none") {
        return None;
    }
    let model = match vga.as_deref() {
        Some("stdvga") => Some("vga".to_owned()),
        Some(other) => Some(other.to_owned()),
        None => standard.then(|| "vga".to_owned()),
    };
    Some(Video { model, memory: memory.map(|mib| mib << 20) })
}

fn smbios(reading: &mut Reading) -> Smbios {
    let mut smbios = Smbios::default();
    let Some(Value::List(values)) = reading.take("smbios") else { return smbios };
    for text in values.iter().filter_map(Value::text) {
        let (name, value) = text.split_once('=').unwrap_or((text.as_str(), ""));
        let place = match name {
            "system_manufacturer" => &mut smbios.manufacturer,
            "system_product_name" => &mut smbios.product,
            "system_version" => &mut smbios.version,
            "system_serial_number" => &mut smbios.serial,
            "enclosure_asset_tag" => &mut smbios.asset_tag,
            _ => {
                reading.more.push(property(format!("smbios.{name}"), value.to_owned()));
                continue;
            }
        };
        *place = Some(value.to_owned());
    }
    smbios
}

/// `vnuma = [ [ "pnode=0", "size=2048", "vcpus=0-1", … ], … ]`.
fn numa(reading: &mut Reading) {
    let Some(Value::List(cells)) = reading.peek("vnuma").cloned() else { return };
    let mut nodes = Vec::new();
    let mut processors = 0;
    for cell in cells.iter().take(MAX_DEVICES) {
        let texts = cell.texts();
        let of = |name: &str| {
            texts
                .iter()
                .find_map(|text| text.strip_prefix(name)?.trim_start().strip_prefix('='))
                .map(str::trim)
        };
        let memory =
            of("size").and_then(|mib| mib.parse::<u64>().ok()).filter(|mib| (1..=1 << 30).contains(mib));
        let (Some(mib), Some(cpus)) = (memory, of("vcpus").and_then(cpu_list)) else { return };
        processors += cpus.len();
        // Hostile lists of all processors in every cell would be many times the input.
        if processors > 65_535 {
            return;
        }
        nodes.push(NumaNode { cpus, memory: mib << 20 });
    }
    reading.machine.numa = nodes;
    reading.take("vnuma");
}

/// `0-1,4`.
fn cpu_list(list: &str) -> Option<Vec<u32>> {
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number < 65_535);
    let mut cpus = BTreeSet::new();
    for part in list.split(',') {
        match part.split_once('-') {
            Some((first, last)) => cpus.extend(number(first)?..=number(last)?),
            None => drop(cpus.insert(number(part)?)),
        }
    }
    Some(cpus.into_iter().collect())
}
