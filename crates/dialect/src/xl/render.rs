//! A machine to a configuration of xl's.
//!
//! A guest is fully virtualised, unless it was paravirtualised on the source and can start so here: with pygrub, which
//! finds the kernel on the guest's own disk.

use super::syntax::{self, Value};
use super::{DIALECT, vif};
use crate::boot_order::{self, Kind};
use crate::naming::{self, letters};
use crate::render::{Network, RenderError, RenderOptions, Rendered, path_text};
use crate::text::excerpt;
use machine::{
    Bus, Clock, Disk, Firmware, Loss, Machine, Nic, NicModel, Removable, RemovableKind, SerialTarget,
    Severity, UsbController, Video,
};
use profile::Profile;

/// Settings of the source's configuration that mean the same on every host.
const PORTABLE: [&str; 14] = [
    "on_poweroff",
    "on_reboot",
    "on_crash",
    "on_watchdog",
    "viridian",
    "hap",
    "nestedhvm",
    "pae",
    "acpi",
    "apic",
    "hpet",
    "timer_mode",
    "tsc_mode",
    "xen_platform_pci",
];

/// A configuration that grows by lines.
struct Writing<'a> {
    machine: &'a Machine,
    options: &'a RenderOptions,
    text: String,
    losses: Vec<Loss>,
}

/// Writes the configuration. xl looks for relative paths in the directory where it runs, so every path is absolute.
///
/// # Errors
/// When a disk has no file, a path cannot be written, or the machine is not on the profile's hardware.
pub fn render(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Rendered, RenderError> {
    let mut writing = Writing { machine, options, text: String::new(), losses: Vec::new() };
    let is_full = writing.kind();
    writing.identity();
    writing.board(is_full);
    writing.memory(is_full);
    if is_full {
        writing.firmware();
        writing.video();
        writing.usb();
        writing.serials();
        writing.boot();
    }
    writing.disks(profile)?;
    writing.nics(profile)?;
    writing.properties();
    Ok(Rendered { text: writing.text, losses: writing.losses })
}

impl Writing<'_> {
    fn set(&mut self, key: &str, value: &Value) {
        self.text.push_str(&format!("{key} = {value}\n"));
    }

    fn set_text(&mut self, key: &str, text: &str) {
        self.set(key, &Value::Text(text.to_owned()));
    }

    fn set_number(&mut self, key: &str, number: u64) {
        self.set(key, &Value::Number(i64::try_from(number).unwrap_or(i64::MAX)));
    }

    fn set_list(&mut self, key: &str, texts: Vec<String>) {
        self.set(key, &Value::List(texts.into_iter().map(Value::Text).collect()));
    }

    fn dropped(&mut self, severity: Severity, what: impl Into<String>, why: &str) {
        self.losses.push(Loss::dropped(severity, what, why));
    }

    fn note(&mut self, what: impl Into<String>, kept_as: impl Into<String>, why: &str) {
        self.losses.push(Loss { severity: Severity::Note, ..Loss::changed(what, kept_as, why) });
    }

    /// Whether it is fully virtualised.
    fn kind(&mut self) -> bool {
        let kind = paravirtual(self.machine);
        self.set_text("type", kind.unwrap_or("hvm"));
        if kind.is_some() {
            self.set_text("bootloader", "pygrub");
        }
        kind.is_none()
    }

    fn identity(&mut self) {
        let wanted = self.options.name.as_deref().unwrap_or(&self.machine.name);
        let name: String = naming::domain_name(wanted);
        if name != wanted {
            let why =
                "Xen keeps the name in its store, where some characters and lengths have another meaning";
            self.losses.push(Loss::changed("name", &name, why));
        }
        self.set_text("name", &name);
        if let Some(uuid) = self.machine.bios_uuid {
            self.set_text("uuid", &uuid.to_string());
        }
        if self.machine.notes.is_some() {
            self.dropped(
                Severity::Note,
                "notes",
                "a configuration has no place for them; the manifest keeps them",
            );
        }
        if let Some(os) = &self.machine.guest_os {
            let why = format!(
                "Xen does not need to know that it is {} ({})",
                excerpt(&os.id, 60),
                excerpt(&os.vocabulary, 20)
            );
            self.dropped(Severity::Note, "guest_os", &why);
        }
    }

    fn board(&mut self, is_full: bool) {
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

    fn memory(&mut self, is_full: bool) {
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

    fn firmware(&mut self) {
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
    fn video(&mut self) {
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
    fn usb(&mut self) {
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

    fn serials(&mut self) {
        for (index, port) in self.machine.serials.iter().enumerate() {
            if port.target != SerialTarget::Console {
                let why = "it led to something of the source's";
                self.losses.push(Loss::changed(format!("serials.{index}"), "a console", why));
            }
        }
        let ports = self.machine.serials.iter().map(|_| "pty".to_owned()).collect::<Vec<_>>();
        match ports.as_slice() {
            [] => {}
            [_] => self.set_text("serial", "pty"),
            _ => self.set_list("serial", ports),
        }
    }

    fn boot(&mut self) {
        let kinds = boot_order::kinds(self.machine);
        for what in boot_order::changed(self.machine, &kinds) {
            self.dropped(
                Severity::Change,
                what,
                "xl orders kinds of devices, each in the devices' own order",
            );
        }
        let letter = |kind: &Kind| match kind {
            Kind::Disk => 'c',
            Kind::Cdrom => 'd',
            Kind::Floppy => 'a',
            Kind::Network => 'n',
        };
        if !kinds.is_empty() {
            let letters: String = kinds.iter().map(letter).collect();
            self.set_text("boot", &letters);
        }
    }

    fn disks(&mut self, profile: &Profile) -> Result<(), RenderError> {
        let mut specs = Vec::new();
        for disk in &self.machine.disks {
            specs.push(self.disk(disk, profile)?);
        }
        for (index, drive) in self.machine.removables.iter().enumerate() {
            let what = format!("removables.{index}");
            let medium = self.options.media.get(&index).map(|path| path_text(path)).transpose()?;
            let medium = medium.filter(|_| drive.connected);
            if medium.is_none() && drive.medium.is_some() {
                self.dropped(
                    Severity::Change,
                    format!("{what}.medium"),
                    "the image is not carried over: the drive is empty",
                );
            }
            if !drive.connected {
                self.dropped(Severity::Note, format!("{what}.connected"), "the drive is there, and empty");
            }
            match drive.kind {
                RemovableKind::Cdrom => specs.push(cdrom(drive, medium)),
                RemovableKind::Floppy => self.dropped(Severity::Change, what, "xl has no floppy drives"),
            }
        }
        self.set_list("disk", specs);
        Ok(())
    }

    fn disk(&mut self, disk: &Disk, profile: &Profile) -> Result<String, RenderError> {
        let unknown = || RenderError::bus(disk);
        profile.disk_hardware(disk.attachment.bus).ok_or_else(unknown)?;
        if disk.attachment.bus != Bus::Xen {
            return Err(unknown());
        }
        let file = self.options.disk(&disk.id)?;
        let path = self.options.absolute(&file.path)?;
        let path = plain_path(&path)?;
        for (field, is_set) in [
            ("serial", disk.serial.is_some()),
            ("cache", disk.cache.is_some()),
            ("ssd", disk.ssd),
            ("independent", disk.independent),
            ("shared", disk.shared),
            ("raw_device", disk.raw_device),
        ] {
            if is_set {
                self.dropped(
                    Severity::Note,
                    format!("{}.{field}", disk.id),
                    "xl has no such setting for a disk",
                );
            }
        }
        let access = if disk.read_only { "ro" } else { "rw" };
        Ok(format!(
            "format={},vdev={},access={access},target={path}",
            file.format,
            vdev(disk.attachment.unit)
        ))
    }

    fn nics(&mut self, profile: &Profile) -> Result<(), RenderError> {
        let mut specs = Vec::new();
        for nic in &self.machine.nics {
            specs.push(self.nic(nic, profile)?);
        }
        if !specs.is_empty() {
            self.set_list("vif", specs);
        }
        Ok(())
    }

    fn nic(&mut self, nic: &Nic, profile: &Profile) -> Result<String, RenderError> {
        let unknown = || RenderError::card(nic);
        profile.nic_hardware(&nic.model).ok_or_else(unknown)?;
        let mut fields = Vec::new();
        fields.extend(nic.mac.map(|mac| format!("mac={mac}")));
        if nic.model != NicModel::Xen {
            let (name, _) = vif::MODELS.iter().find(|(_, model)| *model == nic.model).ok_or_else(unknown)?;
            fields.push(format!("model={name}"));
        }
        if let Some(bridge) = self.bridge(nic) {
            fields.push(format!("bridge={bridge}"));
        }
        match nic.vlan {
            Some(tag @ 1..=4094) => fields.push(format!("vlan={tag}")),
            Some(_) => self.dropped(Severity::Warning, format!("{}.vlan", nic.id), "there is no such VLAN"),
            None => {}
        }
        if !nic.connected {
            self.dropped(Severity::Change, format!("{}.connected", nic.id), "xl connects every card");
        }
        Ok(fields.join(","))
    }

    /// The bridge; xl's own choice where nobody said one, or none that can be a bridge's name.
    fn bridge(&mut self, nic: &Nic) -> Option<String> {
        let given = nic.network.as_ref().is_some_and(|name| self.options.networks.contains_key(name));
        let bridge = self.options.network(nic.network.as_deref()).and_then(Network::name).map(str::to_owned);
        let is_name = |name: &String| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
        };
        let bridge = bridge.filter(is_name);
        if (nic.network.is_some() || bridge.is_some()) && (!given || bridge.is_none()) {
            let name = excerpt(nic.network.as_deref().unwrap_or_default(), 60);
            let why = format!("nothing says which bridge of the target's {name:?} is");
            let kept_as = bridge.clone().unwrap_or_else(|| "xl's default bridge".to_owned());
            self.losses.push(Loss::changed(format!("{}.network", nic.id), kept_as, why));
        }
        bridge
    }

    /// Puts back what is portable, and says how much is not.
    fn properties(&mut self) {
        let mut lost = 0_usize;
        for property in &self.machine.properties {
            match portable(property) {
                Some(value) => self.text.push_str(&format!("{} = {value}\n", property.key)),
                None => lost += 1,
            }
        }
        if lost > 0 {
            let why = format!(
                "{lost} settings mean something to the source's hypervisor alone; the manifest keeps them"
            );
            self.dropped(Severity::Note, "properties", &why);
        }
    }
}

/// The value of a property that is put back: a number or a word of a portable setting, as it would be read.
fn portable(property: &machine::Property) -> Option<Value> {
    if property.dialect != DIALECT.name || !PORTABLE.contains(&property.key.as_str()) {
        return None;
    }
    let value = syntax::entries(&format!("a = {}", property.value)).ok()?;
    let [entry] = value.as_slice() else { return None };
    let is_word = |text: &String| text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let is_plain = !matches!(entry.value, Value::List(_)) || entry.value.texts().iter().all(is_word);
    let same = entry.value.to_string() == property.value;
    (is_plain && same && entry.value.text().is_none_or(|text| is_word(&text))).then(|| entry.value.clone())
}

/// The kind of paravirtual guest that the source ran it as, when it can start so from its own disk: `pv`, or `pvh`, which has
/// the processor's virtualisation and no emulated devices.
fn paravirtual(machine: &Machine) -> Option<&'static str> {
    let says = |dialect: &str, key: &str, word: &str| {
        machine
            .properties
            .iter()
            .any(|one| one.dialect == dialect && one.key == key && one.value.contains(word))
    };
    let is_pv = says(DIALECT.name, "type", "\"pv\"")
        || says("libvirt", "os/type", ">linux<")
        || says("libvirt", "os/type", ">xen<")
        || says("xva", "PV_bootloader", "pygrub");
    let finds_kernel = says(DIALECT.name, "bootloader", "pygrub")
        || says("libvirt", "bootloader", "pygrub")
        || says("xva", "PV_bootloader", "pygrub");
    let is_pvh = says(DIALECT.name, "type", "\"pvh\"") || says("libvirt", "os/type", ">xenpvh<");
    let kind = if is_pvh { Some("pvh") } else { is_pv.then_some("pv") };
    kind.filter(|_| finds_kernel && machine.firmware == Firmware::Bios)
}

fn vdev(unit: u32) -> String {
    format!("xvd{}", letters(usize::try_from(unit).unwrap_or_default()))
}

fn cdrom(drive: &Removable, medium: Option<&str>) -> String {
    let target = medium.map(|path| format!(",target={path}")).unwrap_or_default();
    format!("format=raw,vdev={},access=ro,devtype=cdrom{target}", vdev(drive.attachment.unit))
}

/// A path without the characters that a string of xl's cannot hold.
fn plain_path(path: &std::path::Path) -> Result<&str, RenderError> {
    let text = path_text(path)?;
    let is_said = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    match text.chars().all(is_said) {
        true => Ok(text),
        false => Err(RenderError::NotText { path: path.to_path_buf() }),
    }
}
