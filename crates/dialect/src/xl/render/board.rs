//! What is on the board of a machine: processors, memory, firmware, graphics, USB.

use super::{Value, Writing};
use crate::boot_order;
use machine::{Clock, Firmware, Loss, Severity, UsbController, Video};

impl Writing<'_> {
    pub(super) fn board(&mut self, is_full: bool) {
        let cpu = self.machine.cpu;
        self.set_number("vcpus", u64::from(cpu.count()));
        match self.machine.max_cpus.filter(|most| *most > cpu.count()) {
            Some(most) => self.set_number("maxvcpus", u64::from(most)),
            None if self.machine.max_cpus.is_some() => {
                self.dropped(Severity::Note, "max_cpus", "it is no more than the processors that there are");
            }
            None => {}
        }
        if (cpu.cores_per_socket, cpu.threads_per_core) != (1, 1) {
            self.note(
                "cpu",
                format!("{} sockets", cpu.count()),
                "xl does not say how processors are arranged",
            );
        }
        let local = self.machine.clock == Clock::LocalTime;
        self.set_number("localtime", u64::from(local));
        if self.machine.tpm.is_some() {
            self.dropped(Severity::Warning, "tpm", "xl gives no TPM without a domain that runs it");
        }
        self.smbios(is_full);
        if is_full {
            return;
        }
        // What a guest without firmware has none of.
        for (what, is_there) in [
            ("firmware", self.machine.firmware != Firmware::Bios),
            ("video", self.machine.video.is_some()),
            ("usb", !self.machine.usb.is_empty()),
            ("serials", !self.machine.serials.is_empty()),
        ] {
            if is_there {
                self.dropped(Severity::Change, what, "a paravirtualised guest has none");
            }
        }
        for what in boot_order::changed(self.machine, &[]) {
            self.dropped(Severity::Note, what, "a paravirtualised guest starts from its first disk");
        }
    }

    /// xl.cfg(5), `smbios`, of Xen 4.17 and later.
    fn smbios(&mut self, is_full: bool) {
        let smbios = &self.machine.smbios;
        let fields = [
            ("manufacturer", "system_manufacturer", &smbios.manufacturer),
            ("product", "system_product_name", &smbios.product),
            ("version", "system_version", &smbios.version),
            ("serial", "system_serial_number", &smbios.serial),
            ("asset_tag", "enclosure_asset_tag", &smbios.asset_tag),
            ("sku", "", &smbios.sku),
            ("family", "", &smbios.family),
        ];
        let mut list = Vec::new();
        for (field, name, value) in fields {
            let Some(value) = value else { continue };
            let is_plain = !value.is_empty() && !value.chars().any(char::is_control);
            if is_full && is_plain && !name.is_empty() {
                list.push(format!("{name}={value}"));
            } else {
                let why = "xl has no way to give the guest this string";
                self.losses.push(Loss::dropped(Severity::Warning, format!("smbios.{field}"), why));
            }
        }
        if !list.is_empty() {
            self.set_list("smbios", list);
        }
    }

    pub(super) fn memory(&mut self, is_full: bool) {
        let mib = self.mebibytes("memory", self.machine.memory);
        self.set_number("memory", mib);
        match self.machine.max_memory.filter(|most| *most > self.machine.memory) {
            Some(most) => {
                let most = self.mebibytes("max_memory", most);
                if most > mib {
                    self.set_number("maxmem", most);
                }
            }
            None if self.machine.max_memory.is_some() => {
                self.dropped(Severity::Note, "max_memory", "it is no more than the memory that there is");
            }
            None => {}
        }
        self.numa(is_full);
    }

    fn mebibytes(&mut self, what: &str, bytes: u64) -> u64 {
        let mib = bytes.div_ceil(1 << 20).max(1);
        if mib << 20 != bytes {
            self.note(what, format!("{mib} MiB"), "xl counts memory in MiB");
        }
        mib
    }

    /// Cells, on the host's first: which others there are, the host knows.
    fn numa(&mut self, is_full: bool) {
        let nodes = &self.machine.numa;
        let memory = nodes.iter().try_fold(0_u64, |all, node| all.checked_add(node.memory));
        let whole = nodes.iter().all(|node| {
            node.memory.is_multiple_of(1 << 20) && !node.cpus.is_empty() && node.cpus.is_sorted()
        });
        let fits = memory == Some(self.machine.memory) && self.machine.max_memory.is_none();
        if nodes.is_empty() {
            return;
        }
        if nodes.len() == 1 || !is_full || !whole || !fits {
            self.dropped(Severity::Note, "numa", "the guest's memory is in one piece");
            return;
        }
        let distances = |own: usize| {
            (0..nodes.len()).map(|other| if own == other { "10" } else { "20" }).collect::<Vec<_>>().join(",")
        };
        let cells = nodes.iter().enumerate().map(|(index, node)| {
            let cpus = node.cpus.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            let texts = [
                "pnode=0".to_owned(),
                format!("size={}", node.memory >> 20),
                format!("vcpus={cpus}"),
                format!("vdistances={}", distances(index)),
            ];
            Value::List(texts.into_iter().map(Value::Text).collect())
        });
        let cells = Value::List(cells.collect());
        self.set("vnuma", &cells);
    }

    pub(super) fn firmware(&mut self) {
        let Firmware::Uefi(uefi) = &self.machine.firmware else { return };
        self.set_text("firmware", "uefi");
        if uefi.secure_boot {
            self.dropped(
                Severity::Warning,
                "firmware.uefi.secure_boot",
                "Xen's firmware does not enforce secure boot",
            );
        }
    }

    /// The cards that xl has, by a machine's name for them, with the least memory of each in MiB.
    pub(super) fn video(&mut self) {
        const MODELS: [(&str, &str, u64); 3] =
            [("vga", "stdvga", 16), ("cirrus", "cirrus", 8), ("qxl", "qxl", 128)];
        let Some(Video { model, memory }) = &self.machine.video else {
            self.set_text("vga", "none");
            return;
        };
        let known = model.as_deref().and_then(|model| MODELS.iter().find(|(name, ..)| *name == model));
        if known.is_none() {
            self.note("video.model", "vga", "every guest has a driver for it");
        }
        let (_, name, least) = known.copied().unwrap_or(("vga", "stdvga", 16));
        self.set_text("vga", name);
        if let Some(bytes) = *memory {
            let mib = bytes >> 20;
            if mib << 20 == bytes && (least..=512).contains(&mib) {
                self.set_number("videoram", mib);
            } else {
                self.dropped(Severity::Note, "video.memory", "the card has memory of its own choice");
            }
        }
        self.set_number("vnc", 1);
    }

    /// One controller, and on USB 1 a pointer: with the others xl takes none.
    pub(super) fn usb(&mut self) {
        match self.machine.usb.as_slice() {
            [] => return,
            [UsbController::Usb1, ..] => {
                self.set_number("usb", 1);
                self.set_text("usbdevice", "tablet");
            }
            [UsbController::Usb2, ..] => self.set_number("usbversion", 2),
            [UsbController::Usb3, ..] => self.set_number("usbversion", 3),
        }
        for index in 1..self.machine.usb.len() {
            self.dropped(Severity::Note, format!("usb.{index}"), "xl gives one USB controller");
        }
    }
}
