//! A configuration to a machine.

mod board;
mod devices;

use super::syntax::{self, Entry, Value};
use super::{DIALECT, Error};
use crate::Parsed;
use crate::boot_order::{self, Kind};
use crate::text::{decode, excerpt};
use machine::{Clock, Cpu, Loss, Machine, Property, Severity};

/// The longest file that is read, in bytes: real ones have a few kilobytes.
pub const MAX_SIZE: usize = 4 << 20;

/// The most disks, and cards, and ports, that are read.
const MAX_DEVICES: usize = 4096;

/// A configuration, less what was read.
struct Reading {
    entries: Vec<Option<Entry>>,
    machine: Machine,
    losses: Vec<Loss>,
    /// What a device says beside what a machine holds.
    more: Vec<Property>,
}

/// Reads a configuration. `memory` is what the guest starts with, and `maxmem` what it may have.
///
/// # Errors
/// When the bytes are no configuration, when it computes something, or when a value that the machine depends on
/// (processors, memory) is missing or not what it should be.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_SIZE });
    }
    if let Some(offset) = bytes.iter().position(|&byte| byte == 0) {
        return Err(Error::NotText { offset });
    }
    let entries = syntax::entries(&decode(bytes, None).text)?;
    let entries = entries.into_iter().map(Some).collect();
    let (machine, losses, more) = (Machine::default(), Vec::new(), Vec::new());
    let mut reading = Reading { entries, machine, losses, more };
    system(&mut reading)?;
    let is_full = kind(&mut reading);
    board::board(&mut reading, is_full)?;
    devices::disks(&mut reading)?;
    devices::nics(&mut reading)?;
    devices::serials(&mut reading)?;
    boot(&mut reading);
    report(&mut reading);
    Ok(reading.finish())
}

impl Reading {
    fn peek(&self, key: &str) -> Option<&Value> {
        self.entries.iter().flatten().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        let found =
            self.entries.iter_mut().find(|entry| entry.as_ref().is_some_and(|entry| entry.key == key));
        found.and_then(Option::take).map(|entry| entry.value)
    }

    fn take_text(&mut self, key: &str) -> Option<String> {
        self.take(key)?.text()
    }

    /// Whether a number other than 0 is set.
    fn take_flag(&mut self, key: &str) -> Option<bool> {
        self.take(key)?.number().map(|number| number != 0)
    }

    fn take_number(
        &mut self,
        key: &'static str,
        most: u64,
        expected: &'static str,
    ) -> Result<Option<u64>, Error> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let number = value.number().and_then(|number| u64::try_from(number).ok());
        let number = number.filter(|number| (1..=most).contains(number));
        number.map(Some).ok_or_else(|| Error::Value { key, value: excerpt(&value.to_string(), 60), expected })
    }

    fn take_devices(&mut self, key: &'static str) -> Result<Vec<String>, Error> {
        let texts = self.take(key).map(|value| value.texts()).unwrap_or_default();
        if texts.len() > MAX_DEVICES { Err(Error::TooMany { key, limit: MAX_DEVICES }) } else { Ok(texts) }
    }

    fn keep(&mut self, device: &str, more: Vec<(String, String)>) {
        self.more.extend(more.into_iter().map(|(name, value)| property(format!("{device}.{name}"), value)));
    }

    /// What nobody read becomes properties. Passwords do not.
    fn finish(mut self) -> Parsed {
        for entry in self.entries.into_iter().flatten() {
            if entry.key.contains("passw") {
                let why = "a password is not carried along: set one on the target";
                self.losses.push(Loss::dropped(Severity::Change, entry.key, why));
            } else if !is_usual(&entry) {
                self.machine.properties.push(property(entry.key, entry.value.to_string()));
            }
        }
        self.machine.properties.extend(self.more);
        Parsed { machine: self.machine, losses: self.losses }
    }
}

fn property(key: String, value: String) -> Property {
    Property { dialect: DIALECT.name.to_owned(), key, value }
}

/// Whether it is what the renderer writes into every configuration, and says nothing of the machine.
fn is_usual(entry: &Entry) -> bool {
    let value = entry.value.text();
    matches!(
        (entry.key.as_str(), value.as_deref()),
        ("vnc", Some("1")) | ("type" | "builder", Some("hvm")) | ("usbdevice", Some("tablet"))
    )
}

fn system(reading: &mut Reading) -> Result<(), Error> {
    reading.machine.name = reading.take_text("name").unwrap_or_default();
    if let Some(text) = reading.take_text("uuid") {
        reading.machine.bios_uuid = text.parse().ok();
        if reading.machine.bios_uuid.is_none() {
            let why = format!("{:?} is no UUID", excerpt(&text, 60));
            reading.losses.push(Loss::dropped(Severity::Warning, "uuid", why));
        }
    }
    let expected = "a number of processors from 1 to 65535";
    let now = reading.take_number("vcpus", 65_535, expected)?;
    let most = reading.take_number("maxvcpus", 65_535, expected)?;
    let now = now.or(most).unwrap_or(1);
    let processors = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    reading.machine.cpu = Cpu { sockets: processors(now), ..Cpu::default() };
    reading.machine.max_cpus = most.filter(|most| *most > now).map(processors);
    memory(reading)?;
    let local = reading.take_flag("localtime").unwrap_or(false);
    reading.machine.clock = if local { Clock::LocalTime } else { Clock::Utc };
    if let Some(seconds) =
        reading.take("rtc_timeoffset").and_then(|value| value.number()).filter(|one| *one != 0)
    {
        let why = format!("the clock ran {seconds} seconds beside it; the guest corrects it");
        reading.losses.push(Loss::dropped(Severity::Change, "rtc_timeoffset", why));
    }
    Ok(())
}

fn memory(reading: &mut Reading) -> Result<(), Error> {
    let expected = "a size in MiB from 1 to 1073741824";
    let now = reading.take_number("memory", 1 << 30, expected)?;
    let most = reading.take_number("maxmem", 1 << 30, expected)?;
    let now = now.or(most).ok_or(Error::Value { key: "memory", value: "missing".to_owned(), expected })?;
    reading.machine.memory = now << 20;
    reading.machine.max_memory = most.filter(|most| *most > now).map(|most| most << 20);
    Ok(())
}

/// Whether the guest is fully virtualised; what it is otherwise stays a property.
fn kind(reading: &mut Reading) -> bool {
    let kind = reading.peek("type").or(reading.peek("builder")).and_then(Value::text);
    let kind = kind.unwrap_or_else(|| "pv".to_owned());
    let is_full = kind == "hvm";
    // hvmloader is xm's way to say that it has firmware.
    let is_firmware = |value: &Value| value.text().is_some_and(|path| path.ends_with("hvmloader"));
    if is_full && reading.peek("kernel").is_some_and(is_firmware) {
        reading.take("kernel");
    }
    if !is_full && reading.peek("type").is_none() {
        reading.more.push(property("type".to_owned(), Value::Text("pv".to_owned()).to_string()));
    }
    if !is_full {
        let why = format!(
            "the guest is of the kind {:?}: it starts without firmware, with a kernel that Xen loads; it must be able to \
             start from BIOS or UEFI elsewhere",
            excerpt(&kind, 20)
        );
        reading.losses.push(Loss::dropped(Severity::Warning, "type", why));
    }
    is_full
}

/// `boot`: letters as a PC's BIOS has them.
fn boot(reading: &mut Reading) {
    let letters = reading.take_text("boot").unwrap_or_default();
    let kinds = letters.chars().take(8).filter_map(|letter| match letter {
        'a' => Some(Kind::Floppy),
        'c' => Some(Kind::Disk),
        'd' => Some(Kind::Cdrom),
        'n' => Some(Kind::Network),
        _ => None,
    });
    boot_order::number(&mut reading.machine, kinds);
}

/// Settings without a place in a [`Machine`] that are worth a word, with the values that say nothing.
const UNSUPPORTED: [(&str, &[&str], Severity, &str); 10] = [
    (
        "kernel",
        &[],
        Severity::Warning,
        "Xen loads the kernel; the target's firmware starts the guest from its disk",
    ),
    (
        "bootloader",
        &[],
        Severity::Warning,
        "Xen's boot loader finds the kernel; the target's firmware starts the guest",
    ),
    ("pci", &[], Severity::Warning, "a device of the source's host does not move with the machine"),
    ("usbdev", &[], Severity::Warning, "a device of the source's host does not move with the machine"),
    (
        "p9",
        &[],
        Severity::Warning,
        "a directory of the source's host does not move: share it over the network",
    ),
    ("parallel", &["none"], Severity::Warning, "parallel ports are not carried over"),
    ("soundhw", &["none"], Severity::Change, "sound cards are not carried over"),
    ("channel", &[], Severity::Change, "channels between host and guest are not carried over"),
    ("vfb", &[], Severity::Note, "the paravirtual display is not carried over"),
    ("acpi", &["1"], Severity::Note, "every target has ACPI"),
];

fn report(reading: &mut Reading) {
    for (key, nothing, severity, why) in UNSUPPORTED {
        let Some(value) = reading.peek(key) else { continue };
        let text = value.text();
        let says_nothing =
            text.as_deref().is_some_and(|text| nothing.contains(&text)) || *value == Value::List(Vec::new());
        if says_nothing {
            reading.take(key);
        } else {
            reading.losses.push(Loss::dropped(severity, key, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::{Firmware, UsbController};

    fn read(text: &str) -> Parsed {
        parse(format!("memory = 512\n{text}").as_bytes()).unwrap()
    }

    #[test]
    fn a_machine_is_what_its_settings_say() {
        let machine = read(
            "name = \"web\"\ntype = \"hvm\"\nvcpus = 2\nmaxvcpus = 4\nmaxmem = 1024\nbios = 'ovmf'\nboot = 'dc'\n\
             disk = [ '/a,raw,xvda,w', '/b.iso,,hdc:cdrom,r' ]\nvif = [ 'bridge=br0,rate=10Mb/s' ]\nserial='pty'\n\
             usb=1\nlocaltime=1\nvga='stdvga'\nvncpasswd='x'\nvnc=1\nsmbios=['system_serial_number=1=2']",
        );
        let (machine, losses) = (read_machine(&machine), &machine.losses);
        assert_eq!((machine.cpu.count(), machine.max_cpus, machine.max_memory), (2, Some(4), Some(1 << 30)));
        assert!(matches!(machine.firmware, Firmware::Uefi(_)));
        assert_eq!((machine.disks[0].boot_order, machine.removables[0].boot_order), (Some(2), Some(1)));
        assert_eq!(
            (machine.clock, machine.usb.as_slice()),
            (Clock::LocalTime, [UsbController::Usb1].as_slice())
        );
        assert_eq!(machine.smbios.serial.as_deref(), Some("1=2"));
        assert_eq!(machine.properties, [property("vif[1].rate".to_owned(), "10Mb/s".to_owned())]);
        assert_eq!(losses.iter().map(|loss| loss.what.as_str()).collect::<Vec<_>>(), ["vncpasswd"]);
    }

    fn read_machine(parsed: &Parsed) -> &Machine {
        &parsed.machine
    }

    #[test]
    fn a_guest_without_firmware_says_so() {
        let parsed = read("kernel = '/boot/vmlinuz'\nextra = \"root=/dev/xvda1\"");
        let keys: Vec<_> =
            parsed.machine.properties.iter().map(|one| (one.key.as_str(), one.value.as_str())).collect();
        assert_eq!(
            keys,
            [("kernel", "\"/boot/vmlinuz\""), ("extra", "\"root=/dev/xvda1\""), ("type", "\"pv\"")]
        );
        assert_eq!(parsed.losses.len(), 2);
        assert_eq!(parsed.machine.video, None);
    }

    #[test]
    fn partitions_of_one_disk_have_places_of_their_own() {
        let parsed = read("disk = [ 'phy:/a,xvda1,w', 'phy:/b,xvda2,w', 'phy:/c,?,w' ]");
        let units: Vec<_> = parsed.machine.disks.iter().map(|disk| disk.attachment.unit).collect();
        assert_eq!((units, parsed.losses.len()), (vec![0, 1, 2], 4));
        for bad in ["vcpus = 0", "memory = 0", "memory = 'much'", "memory = [1]"] {
            assert!(
                matches!(parse(format!("{bad}\nname='a'").as_bytes()), Err(Error::Value { .. })),
                "{bad}"
            );
        }
    }
}
