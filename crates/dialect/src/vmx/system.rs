//! What a `.vmx` says of the machine as a whole: its name, processors, memory, firmware, clock.

use super::dictionary::Dictionary;
use super::{Error, Result};
use crate::guest_os::{self, Family};
use crate::text::excerpt;
use machine::{Clock, Cpu, Firmware, GuestOs, Loss, Machine, Severity, Tpm, Uefi, UsbController, Video};
use uuid::Uuid;

/// What VMware takes when `memsize` is missing, in MiB.
const DEFAULT_MEMORY_MIB: u64 = 32;

/// From this hardware version on, VMware's SMBIOS is 2.7 and a guest reads the UUID's first three fields
/// little-endian (SMBIOS 2.6 and later, section 7.2.1). The bytes in the table are those of `uuid.bios` always.
const SMBIOS_27_HARDWARE_VERSION: u64 = 13;

pub(super) fn read(keys: &mut Dictionary, machine: &mut Machine, losses: &mut Vec<Loss>) -> Result<()> {
    machine.name = keys.take("displayname").unwrap_or_default();
    machine.notes = keys.take("annotation");
    machine.cpu = cpu(keys, losses)?;
    machine.memory = memory(keys, losses)?;
    machine.firmware = firmware(keys, losses);
    machine.bios_uuid = bios_uuid(keys, losses);
    machine.guest_os = keys.take("guestos").map(|id| GuestOs { vocabulary: "vmware".to_owned(), id });
    machine.clock = clock(keys, machine.guest_os.as_ref(), losses);
    machine.tpm = tpm(keys, losses);
    machine.video = video(keys);
    machine.usb = usb(keys);
    Ok(())
}

fn cpu(keys: &mut Dictionary, losses: &mut Vec<Loss>) -> Result<Cpu> {
    let expected = "a number of processors from 1 to 65535";
    let count = keys.number("numvcpus", expected)?.unwrap_or(1);
    let count = match u32::try_from(count) {
        Ok(count @ 1..=65535) => count,
        _ => return Err(Error::Value { key: "numvcpus", value: count.to_string(), expected }),
    };
    // 0 means that VMware chooses.
    let cores =
        keys.number("cpuid.corespersocket", "a number of cores")?.filter(|&cores| cores > 0).unwrap_or(1);
    match u32::try_from(cores) {
        Ok(cores) if cores <= count && count % cores == 0 => {
            Ok(Cpu { sockets: count / cores, cores_per_socket: cores, threads_per_core: 1 })
        }
        _ => {
            let why = format!("{cores} cores a socket do not divide {count} processors");
            losses.push(Loss::changed("cpuid.coresPerSocket", "1", why));
            Ok(Cpu { sockets: count, cores_per_socket: 1, threads_per_core: 1 })
        }
    }
}

fn memory(keys: &mut Dictionary, losses: &mut Vec<Loss>) -> Result<u64> {
    let expected = "a size in MiB from 1 to 1073741824";
    let mib = keys.number("memsize", expected)?.unwrap_or_else(|| {
        let why = "the file does not say: VMware's own default is taken";
        losses.push(Loss::changed("memsize", format!("{DEFAULT_MEMORY_MIB} MiB"), why));
        DEFAULT_MEMORY_MIB
    });
    if !(1..=1 << 30).contains(&mib) {
        return Err(Error::Value { key: "memsize", value: mib.to_string(), expected });
    }
    Ok(mib << 20)
}

fn firmware(keys: &mut Dictionary, losses: &mut Vec<Loss>) -> Firmware {
    let kind = keys.take("firmware").unwrap_or_else(|| "bios".to_owned());
    if kind.eq_ignore_ascii_case("efi") {
        let secure_boot = keys.flag("uefi.secureboot.enabled").unwrap_or(false);
        return Firmware::Uefi(Uefi { secure_boot, nvram: keys.take("nvram") });
    }
    if !kind.eq_ignore_ascii_case("bios") {
        losses.push(Loss::changed(
            "firmware",
            "bios",
            format!("{:?} is no firmware of VMware's", excerpt(&kind, 40)),
        ));
    }
    Firmware::Bios
}

fn bios_uuid(keys: &mut Dictionary, losses: &mut Vec<Loss>) -> Option<Uuid> {
    let text = keys.take("uuid.bios")?;
    let Some(bytes) = parse_uuid(&text) else {
        let why = format!("{:?} is not sixteen bytes", excerpt(&text, 60));
        losses.push(Loss::dropped(Severity::Warning, "uuid.bios", why));
        return None;
    };
    let version = keys.peek("virtualhw.version").and_then(|version| version.trim().parse::<u64>().ok());
    Some(guest_uuid(bytes, version))
}

/// The UUID that a guest of that hardware version reads, from the bytes that VMware writes.
pub(crate) fn guest_uuid(bytes: [u8; 16], hardware_version: Option<u64>) -> Uuid {
    match hardware_version {
        Some(version) if version >= SMBIOS_27_HARDWARE_VERSION => Uuid::from_bytes_le(bytes),
        _ => Uuid::from_bytes(bytes),
    }
}

/// Reads `56 4d 6c 27 96 ea 12 07-6f 0b b1 1d 81 46 9b 0b`: sixteen bytes, whatever stands between them.
pub(crate) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '\t')).collect();
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
}

fn clock(keys: &mut Dictionary, guest_os: Option<&GuestOs>, losses: &mut Vec<Loss>) -> Clock {
    let offset = keys.take("rtc.difffromutc");
    let is_utc = offset.as_deref().is_some_and(|offset| offset.trim() == "0");
    if let Some(offset) = offset.filter(|_| !is_utc) {
        let why = format!(
            "the clock ran {} seconds beside UTC; the guest corrects it at its first start",
            excerpt(offset.trim(), 40)
        );
        losses.push(Loss::dropped(Severity::Change, "rtc.diffFromUTC", why));
    }
    if keys.take("rtc.starttime").is_some() {
        let why = "the clock began at a fixed time with every start; it follows the host's now";
        losses.push(Loss::dropped(Severity::Warning, "rtc.startTime", why));
    }
    match guest_os {
        Some(os) if !is_utc && expects_local_time(os) => Clock::LocalTime,
        _ => Clock::Utc,
    }
}

/// VMware gives each guest what its system expects, and only Windows expects local time.
pub(super) fn expects_local_time(os: &GuestOs) -> bool {
    guest_os::family(os) == Some(Family::Windows)
}

fn tpm(keys: &mut Dictionary, losses: &mut Vec<Loss>) -> Option<Tpm> {
    let present = keys.flag("vtpm.present").unwrap_or(false);
    let managed =
        keys.take("managedvm.autoaddvtpm").is_some_and(|kind| kind.eq_ignore_ascii_case("software"));
    if !present && !managed {
        return None;
    }
    let why = "the target's TPM is a new one: keys sealed in the old (BitLocker, LUKS with TPM) need their recovery key";
    losses.push(Loss::changed("vtpm", "a new TPM 2.0", why));
    Some(Tpm { version: 2 })
}

fn video(keys: &mut Dictionary) -> Option<Video> {
    let present = keys.flag("svga.present").unwrap_or(true);
    let memory = keys.take("svga.vramsize").and_then(|size| size.trim().parse().ok());
    present.then_some(Video { memory, ..Video::default() })
}

/// The USB controllers. VMware's USB 2.0 is a switch beside that of USB 1.1, and brings it along.
fn usb(keys: &mut Dictionary) -> Vec<UsbController> {
    let mut on = |key| keys.flag(key) == Some(true);
    let (uhci, ehci, xhci) = (on("usb.present"), on("ehci.present"), on("usb_xhci.present"));
    let slow = if ehci { Some(UsbController::Usb2) } else { uhci.then_some(UsbController::Usb1) };
    slow.into_iter().chain(xhci.then_some(UsbController::Usb3)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmx::parse;

    #[test]
    fn the_uuid_is_the_one_that_the_guest_reads() {
        let uuid = |version: &str| {
            let text = format!(
                "virtualHW.version = \"{version}\"\nuuid.bios = \"56 4d 6c 27 96 ea 12 07-6f 0b b1 1d 81 46 9b 0b\""
            );
            parse(text.as_bytes()).unwrap().machine.bios_uuid.unwrap().to_string()
        };
        assert_eq!(uuid("10"), "564d6c27-96ea-1207-6f0b-b11d81469b0b");
        assert_eq!(uuid("17"), "276c4d56-ea96-0712-6f0b-b11d81469b0b");
        assert_eq!(parse_uuid("56 4d"), None);
        assert_eq!(parse_uuid("+6 4d 6c 27 96 ea 12 07-6f 0b b1 1d 81 46 9b 0b"), None);
    }

    #[test]
    fn processors_and_memory_must_make_sense() {
        let machine = parse(b"numvcpus = 8\ncpuid.coresPerSocket = 4\nmemsize = 2048").unwrap().machine;
        assert_eq!((machine.cpu.sockets, machine.cpu.cores_per_socket, machine.memory), (2, 4, 2 << 30));
        assert_eq!(parse(b"numvcpus = 6\ncpuid.coresPerSocket = 4").unwrap().machine.cpu.sockets, 6);
        for bad in [
            "numvcpus = 0",
            "numvcpus = -1",
            "memsize = 0",
            "memsize = 99999999999999999999",
            "memsize = many",
        ] {
            assert!(matches!(parse(bad.as_bytes()), Err(Error::Value { .. })), "{bad}");
        }
    }

    #[test]
    fn firmware_clock_and_tpm_are_read() {
        let text = b"firmware = efi\nuefi.secureBoot.enabled = TRUE\nnvram = a.nvram\nguestOS = windows2019srv-64\nvtpm.present = TRUE";
        let machine = parse(text).unwrap().machine;
        assert_eq!(
            machine.firmware,
            Firmware::Uefi(Uefi { secure_boot: true, nvram: Some("a.nvram".into()) })
        );
        assert_eq!((machine.clock, machine.tpm), (Clock::LocalTime, Some(Tpm { version: 2 })));
        assert!(matches!(parse(b"encryption.keySafe = x"), Err(Error::Encrypted)));
    }
}
