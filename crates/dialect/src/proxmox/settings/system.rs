//! Processors, memory, firmware and identity as settings.

use super::{Setting, Settings, Value};
use crate::base64;
use crate::guest_os::{self, Vocabulary};
use crate::render::path_text;
use machine::{Clock, Firmware, Severity, Video};

/// The most characters of the identity (`smbios1`).
const IDENTITY: usize = 512;
/// The longest name, in characters (RFC 1035, section 2.3.4).
const NAME: usize = 63;
/// Graphics cards that Proxmox has, and what other hypervisors call them.
const CARDS: [(&str, &str); 10] = [
    ("std", "std"),
    ("cirrus", "cirrus"),
    ("qxl", "qxl"),
    ("virtio", "virtio"),
    ("virtio-gl", "virtio-gl"),
    ("vmware", "vmware"),
    ("std", "vga"),
    ("vmware", "vmvga"),
    ("vmware", "vmsvga"),
    ("std", "bochs"),
];

impl Settings<'_> {
    pub(super) fn system(&mut self) {
        let machine = self.machine;
        let wanted = self.options.name.as_deref().unwrap_or(&machine.name);
        let name = name(wanted);
        if name != wanted {
            self.changed("name", name.as_str(), "a name is one of the domain name system's");
        }
        if !name.is_empty() {
            self.set("name", name);
        }
        self.guest_os();
        self.processors();
        let mib = machine.memory.div_ceil(1 << 20).max(16);
        if mib << 20 != machine.memory {
            self.changed("memory", format!("{mib} MiB"), "memory comes in MiB, from 16 on");
        }
        self.set("memory", mib.to_string());
        if machine.max_memory.is_some() {
            let why = "how much memory can be plugged in is the host's to decide (hotplug: memory)";
            self.dropped(Severity::Note, "max_memory", why);
        }
        self.numa();
        self.firmware();
        self.identity();
        self.video();
        if !machine.usb.is_empty() {
            self.dropped(Severity::Note, "usb", "Proxmox adds the USB controllers that its devices need");
        }
    }

    fn guest_os(&mut self) {
        let machine = self.machine;
        let os = machine.guest_os.as_ref();
        let known = |id: &str| {
            id.len() <= 16 && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        let kind = os.and_then(|os| match os.vocabulary.as_str() {
            "proxmox" => Some(os.id.clone()).filter(|id| !id.is_empty() && known(id)),
            _ => guest_os::translate(os, Vocabulary::Proxmox).map(|translation| translation.os.id),
        });
        if let Some(os) = os.filter(|os| os.vocabulary != "proxmox" || kind.as_ref() != Some(&os.id)) {
            let why = format!("Proxmox knows few systems; it was {:?}", crate::text::excerpt(&os.id, 40));
            let loss = machine::Loss::changed("guest_os", kind.as_deref().unwrap_or("other"), why);
            self.losses.push(machine::Loss { severity: Severity::Note, ..loss });
        }
        let local = kind.as_ref().is_some_and(|kind| kind.starts_with('w'));
        if let Some(kind) = kind {
            self.set("ostype", kind);
        }
        if local != (machine.clock == Clock::LocalTime) {
            self.set("localtime", if local { "0" } else { "1" });
        }
    }

    fn processors(&mut self) {
        let cpu = self.machine.cpu;
        let count = cpu.count();
        let mut cores = cpu.cores_per_socket.saturating_mul(cpu.threads_per_core);
        if cpu.threads_per_core != 1 {
            self.changed("cpu", format!("{cores} cores a socket"), "a core has one thread");
        }
        if let Some(most) = self.machine.max_cpus.filter(|&most| most != count) {
            if most > count && most.is_multiple_of(cpu.sockets) {
                cores = most / cpu.sockets;
                self.set("vcpus", count.to_string());
            } else {
                self.dropped(Severity::Note, "max_cpus", "the sockets cannot share so many processors");
            }
        } else if self.machine.max_cpus.is_some() {
            self.dropped(Severity::Note, "max_cpus", "the machine has all of them already");
        }
        self.set("sockets", cpu.sockets.to_string());
        self.set("cores", cores.to_string());
    }

    fn numa(&mut self) {
        let nodes = &self.machine.numa;
        let count = self.machine.cpu.count();
        let fits = |node: &machine::NumaNode| {
            let rises = node.cpus.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
            !node.cpus.is_empty()
                && rises
                && node.cpus.iter().all(|cpu| *cpu < count)
                && node.memory >= 1 << 20
                && node.memory.is_multiple_of(1 << 20)
        };
        if nodes.is_empty() {
            return;
        }
        if nodes.len() > 8 || !nodes.iter().all(fits) {
            return self.dropped(
                Severity::Change,
                "numa",
                "a cell has processors of the machine's and MiB of memory",
            );
        }
        self.set("numa", "1");
        for (index, node) in nodes.iter().enumerate() {
            let cpus: Vec<String> = node.cpus.iter().map(u32::to_string).collect();
            self.set(format!("numa{index}"), format!("cpus={},memory={}", cpus.join(";"), node.memory >> 20));
        }
    }

    /// UEFI and the TPM, whose volumes Proxmox makes.
    fn firmware(&mut self) {
        if let Firmware::Uefi(uefi) = &self.machine.firmware {
            self.set("bios", "ovmf");
            let path = self.options.nvram.as_deref().and_then(|path| path_text(path).ok());
            let path = path.filter(|path| super::devices::is_volume(path)).map(str::to_owned);
            if path != uefi.nvram {
                let why = "the firmware starts with variables of the target's";
                let kept_as = path.clone().unwrap_or_else(|| "fresh UEFI variables".to_owned());
                self.changed("firmware.uefi.nvram", kept_as, why);
            }
            let keys = u8::from(uefi.secure_boot);
            let value = Value::Made { path, options: format!(",efitype=4m,pre-enrolled-keys={keys}") };
            self.settings.push(Setting { key: "efidisk0".to_owned(), value });
        }
        if let Some(tpm) = self.machine.tpm {
            let version = if tpm.version == 1 { "v1.2" } else { "v2.0" };
            let value = Value::Made { path: None, options: format!(",version={version}") };
            self.settings.push(Setting { key: "tpmstate0".to_owned(), value });
        }
    }

    fn identity(&mut self) {
        let smbios = &self.machine.smbios;
        let mut texts = String::new();
        for (name, value) in [
            ("manufacturer", &smbios.manufacturer),
            ("product", &smbios.product),
            ("version", &smbios.version),
            ("serial", &smbios.serial),
            ("sku", &smbios.sku),
            ("family", &smbios.family),
        ] {
            match value.as_deref() {
                Some("") => self.dropped(Severity::Note, format!("smbios.{name}"), "an empty text is none"),
                Some(text) => texts.push_str(&format!(",{name}={}", base64::encode(text.as_bytes()))),
                None => {}
            }
        }
        if smbios.asset_tag.is_some() {
            self.dropped(
                Severity::Change,
                "smbios.asset_tag",
                "Proxmox cannot set the asset tag of the chassis",
            );
        }
        if texts.len() > IDENTITY - 64 {
            texts.clear();
            self.dropped(Severity::Warning, "smbios", "the identity has at most 512 characters");
        }
        if !texts.is_empty() {
            texts.insert_str(0, ",base64=1");
        }
        let uuid = self.machine.bios_uuid.map(|uuid| format!(",uuid={uuid}")).unwrap_or_default();
        let value = uuid + &texts;
        if let Some(value) = value.strip_prefix(',') {
            self.set("smbios1", value);
        }
    }

    fn video(&mut self) {
        let Some(Video { model, memory }) = &self.machine.video else {
            let kept = self.machine.properties.iter();
            let mut kept = kept.filter(|kept| kept.dialect == super::super::PROPERTIES && kept.key == "vga");
            let ports = ["serial0", "serial1", "serial2", "serial3"];
            let port = kept.find_map(|kept| ports.into_iter().find(|port| *port == kept.value));
            return self.set("vga", port.unwrap_or("none"));
        };
        let card = model.as_deref().map(|model| CARDS.iter().find(|(_, known)| *known == model));
        let mut parts = Vec::new();
        match (card, model) {
            (Some(Some((name, known))), _) => {
                if name != known {
                    self.changed("video.model", *name, "what Proxmox calls the card");
                }
                parts.push((*name).to_owned());
            }
            (Some(None), Some(model)) => {
                let why = format!("Proxmox has no {:?}", crate::text::excerpt(model, 40));
                self.dropped(Severity::Note, "video.model", why);
            }
            _ => {}
        }
        match memory.map(|bytes| (bytes >> 20, bytes.is_multiple_of(1 << 20))) {
            Some((mib @ 4..=512, true)) => parts.push(format!("memory={mib}")),
            Some(_) => self.dropped(Severity::Note, "video.memory", "a card has 4 to 512 MiB of memory"),
            None => {}
        }
        if !parts.is_empty() {
            self.set("vga", parts.join(","));
        }
    }
}

/// A name of the domain name system's: letters, digits, dots and dashes, the first and last of each label a letter or
/// digit. The empty name stays empty.
fn name(wanted: &str) -> String {
    let mut labels: Vec<String> = Vec::new();
    for label in wanted.split('.') {
        let mut plain = String::new();
        for c in label.chars() {
            let c = if c.is_ascii_alphanumeric() { c } else { '-' };
            if c != '-' || !plain.ends_with('-') {
                plain.push(c);
            }
        }
        // A label that needs no change keeps its dashes.
        let is_plain = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let plain = if is_plain { label } else { &plain };
        labels.push(plain.trim_matches('-').to_owned());
    }
    labels.retain(|label| !label.is_empty());
    let name: String = labels.join(".").chars().take(NAME).collect();
    let name = name.trim_end_matches(['-', '.']);
    if name.is_empty() && !wanted.is_empty() { "machine".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_are_of_the_domain_name_system() {
        for (wanted, plain) in [
            ("web-1.example.org", "web-1.example.org"),
            ("a--b", "a--b"),
            ("Web & <Mail> (prod)", "Web-Mail-prod"),
            ("../..", "machine"),
            ("-x-\n", "x"),
            ("", ""),
        ] {
            assert_eq!(name(wanted), plain);
        }
        assert!(name(&"x".repeat(500)).len() <= 63);
    }
}
