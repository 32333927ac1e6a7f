//! The machine as a whole: its name, processors, memory, firmware, clock.

use super::{Product, Writer};
use crate::guest_os::{self, Vocabulary};
use crate::text::excerpt;
use crate::vmx::system::{expects_local_time, guest_uuid};
use machine::{Clock, Firmware, GuestOs, Loss, Severity, Smbios, UsbController};
use uuid::Uuid;

/// Memory comes in pieces of this many bytes.
const MEMORY_STEP: u64 = 4 << 20;
/// The most video memory, in bytes.
const MAX_VIDEO_MEMORY: u64 = 256 << 20;

impl Writer<'_> {
    pub(super) fn system(&mut self) {
        let machine = self.machine;
        self.lines.set("displayName", self.options.name.as_deref().unwrap_or(&machine.name));
        match machine.notes.as_deref() {
            Some("") => self.dropped(Severity::Note, "notes", "an empty note is none"),
            Some(notes) => self.lines.set("annotation", notes),
            None => {}
        }
        let guest = self.guest_os();
        self.clock(guest.as_ref());
        self.processors();
        self.memory();
        self.firmware();
        if let Some(uuid) = machine.bios_uuid {
            self.lines.set("uuid.bios", uuid_text(uuid, self.hardware_version));
            // It is moved, not copied: VMware asks otherwise, and makes new addresses for copies.
            self.lines.set("uuid.action", "keep");
        }
        self.video();
        self.usb();
        self.tpm();
        self.lacks();
    }

    fn guest_os(&mut self) -> Option<GuestOs> {
        let os = self.machine.guest_os.as_ref()?;
        let found = guest_os::translate(os, Vocabulary::Vmware);
        let id = found.as_ref().map_or("other-64", |found| found.os.id.as_str());
        self.lines.set("guestOS", id);
        let written = GuestOs { vocabulary: "vmware".to_owned(), id: id.to_owned() };
        if written != *os {
            let why = match &found {
                Some(found) if found.exact => "VMware's name for the same system",
                Some(_) => "VMware has no name for just this system: the nearest that it has",
                None => "nothing is known here of this system",
            };
            let severity = if found.as_ref().is_some_and(|found| found.exact) {
                Severity::Note
            } else {
                Severity::Change
            };
            self.losses.push(Loss { severity, ..Loss::changed("guest_os", id, why) });
        }
        Some(written)
    }

    /// VMware's clock holds what the guest's system expects: local time for Windows. It can be told to hold universal time
    /// for one that expects local time, but not the other way round.
    fn clock(&mut self, guest: Option<&GuestOs>) {
        let expected = if guest.is_some_and(expects_local_time) { Clock::LocalTime } else { Clock::Utc };
        match self.machine.clock {
            clock if clock == expected => {}
            Clock::Utc => self.lines.set("rtc.diffFromUTC", 0),
            Clock::LocalTime => {
                let why = "VMware gives this guest universal time; the guest corrects it at its first start";
                self.changed("clock", "utc", why);
            }
        }
    }

    fn processors(&mut self) {
        let cpu = self.machine.cpu;
        let cores = cpu.cores_per_socket.max(1).saturating_mul(cpu.threads_per_core.max(1));
        let count = cpu.sockets.max(1).saturating_mul(cores);
        self.lines.set("numvcpus", count);
        self.lines.set("cpuid.coresPerSocket", cores);
        if cpu.threads_per_core > 1 {
            let why = "VMware's processors have no threads: each thread is a core";
            self.changed("cpu", format!("{cores} cores a socket"), why);
        }
        if self.machine.max_cpus.is_some() {
            self.lines.flag("vcpu.hotadd", true);
            self.changed(
                "max_cpus",
                "as many as VMware allows",
                "VMware only has a switch for plugging processors",
            );
        }
    }

    fn memory(&mut self) {
        let memory = self.machine.memory;
        let rounded = memory.max(1).div_ceil(MEMORY_STEP).saturating_mul(MEMORY_STEP);
        self.lines.set("memsize", rounded >> 20);
        if rounded != memory {
            self.changed(
                "memory",
                format!("{} MiB", rounded >> 20),
                "VMware's memory comes in pieces of 4 MiB",
            );
        }
        if self.machine.max_memory.is_some() {
            self.lines.flag("mem.hotadd", true);
            self.changed(
                "max_memory",
                "as much as VMware allows",
                "VMware only has a switch for plugging memory",
            );
        }
    }

    fn firmware(&mut self) {
        let Firmware::Uefi(uefi) = &self.machine.firmware else {
            return self.lines.set("firmware", "bios");
        };
        self.lines.set("firmware", "efi");
        if uefi.secure_boot {
            self.lines.flag("uefi.secureBoot.enabled", true);
        }
        match (self.options.nvram.as_deref().and_then(|path| path.to_str()), &uefi.nvram) {
            (Some(path), _) => self.lines.set("nvram", path),
            (None, Some(_)) => {
                let why =
                    "the firmware starts with fresh variables and finds the boot loader by its default path";
                self.dropped(Severity::Change, "firmware.uefi.nvram", why);
            }
            (None, None) => {}
        }
    }

    fn video(&mut self) {
        let Some(video) = &self.machine.video else { return self.lines.flag("svga.present", false) };
        self.lines.flag("svga.present", true);
        if let Some(model) = &video.model {
            let why = format!("VMware has one graphics card; it was {:?}", excerpt(model, 40));
            self.changed("video.model", "VMware SVGA II", why);
        }
        if let Some(memory) = video.memory {
            let kept = memory.min(MAX_VIDEO_MEMORY);
            self.lines.flag("svga.autodetect", false);
            self.lines.set("svga.vramSize", kept);
            if kept != memory {
                let why = "more than VMware's card has";
                self.changed("video.memory", format!("{} MiB", kept >> 20), why);
            }
        }
    }

    fn usb(&mut self) {
        let usb = &self.machine.usb;
        let mut kept = Vec::new();
        // The faster of the two brings the slower along.
        if usb.contains(&UsbController::Usb2) {
            kept.push(UsbController::Usb2);
            self.lines.flag("usb.present", true);
            self.lines.flag("ehci.present", true);
        } else if usb.contains(&UsbController::Usb1) {
            kept.push(UsbController::Usb1);
            self.lines.flag("usb.present", true);
        }
        if usb.contains(&UsbController::Usb3) {
            kept.push(UsbController::Usb3);
            self.lines.flag("usb_xhci.present", true);
        }
        if kept != *usb {
            let why = "VMware has one USB controller of a kind, and USB 2 includes USB 1";
            self.losses
                .push(Loss { severity: Severity::Note, ..Loss::changed("usb", format!("{kept:?}"), why) });
        }
    }

    fn tpm(&mut self) {
        let Some(tpm) = self.machine.tpm else { return };
        if self.product == Product::Esxi {
            let why = "ESXi keeps a TPM encrypted and makes one only where vCenter has a key provider: add it there";
            return self.dropped(Severity::Warning, "tpm", why);
        }
        self.lines.set("managedVM.autoAddVTPM", "software");
        if tpm.version != 2 {
            self.changed("tpm.version", "2", "VMware's TPM is a TPM 2.0");
        }
    }

    /// What no key says.
    fn lacks(&mut self) {
        if self.machine.smbios != Smbios::default() {
            let why = "VMware tells the guest its own maker, model and serial number; licences that hang on the \
                       source's must be activated again";
            self.dropped(Severity::Warning, "smbios", why);
        }
        if !self.machine.numa.is_empty() {
            let why = "VMware lays the cells of processors and memory out itself";
            self.dropped(Severity::Change, "numa", why);
        }
    }
}

/// The bytes that VMware wants, for a guest that is to read `uuid`: `56 4d 6c 27 96 ea 12 07-6f 0b b1 1d 81 46 9b 0b`.
pub(crate) fn uuid_text(uuid: Uuid, hardware_version: u64) -> String {
    // The same exchange of bytes leads there and back.
    let bytes = guest_uuid(*uuid.as_bytes(), Some(hardware_version)).into_bytes();
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let (first, second) = hex.split_at(8);
    format!("{}-{}", first.join(" "), second.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmx::parse_uuid;

    #[test]
    fn a_uuid_is_written_as_the_guest_will_read_it() {
        let uuid: Uuid = "276c4d56-ea96-0712-6f0b-b11d81469b0b".parse().unwrap();
        assert_eq!(uuid_text(uuid, 17), "56 4d 6c 27 96 ea 12 07-6f 0b b1 1d 81 46 9b 0b");
        for version in [10, 13] {
            let bytes = parse_uuid(&uuid_text(uuid, version)).unwrap();
            assert_eq!(guest_uuid(bytes, Some(version)), uuid);
        }
    }
}
