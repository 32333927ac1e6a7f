//! From a machine to Hyper-V's terms, with what those cannot say.

use super::facts::{
    BootDevice, ComPort, FORMAT, Facts, KeptProperty, NetworkAdapter, SecureBoot, StartupDevice, VERSION,
};
use super::read::{PROPERTIES, guest_uuid};
use super::{drives, error::Error};
use crate::render::Network;
use crate::text::excerpt;
use crate::{RenderError, RenderOptions, guest_os, naming};
use machine::{Clock, Firmware, Loss, Machine, Nic, NicModel, RemovableKind, SerialTarget, Severity};
use profile::Profile;

/// Hyper-V gives memory in steps of this many bytes.
const MEMORY_STEP: u64 = 2 << 20;
/// The least memory of a machine, in bytes.
const LEAST_MEMORY: u64 = 32 << 20;
/// The longest name that Hyper-V's tools take, in characters.
const NAME: usize = 100;
/// The configuration version from which on there are templates of secure boot and virtual TPMs: Windows Server 2016.
const TEMPLATES: u32 = 8;
/// The configuration version from which on threads of a core can be set: Windows Server 2019.
const THREADS: u32 = 9;

impl Facts {
    /// That the numbers on which a machine depends make sense.
    ///
    /// # Errors
    /// [`Error::Value`] for the first that does not.
    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong =
            |key: &str, value: String, expected| Error::Value { key: key.to_owned(), value, expected };
        if !matches!(self.generation, 1 | 2) {
            return Err(wrong("generation", self.generation.to_string(), "1 or 2"));
        }
        if !(1..=65535).contains(&self.processor_count) {
            let expected = "a number of processors from 1 to 65535";
            return Err(wrong("processor count", self.processor_count.to_string(), expected));
        }
        if !(1 << 20..=1 << 50).contains(&self.memory_startup_bytes) {
            let expected = "a size from 1 MiB to 1 PiB";
            return Err(wrong("startup memory", self.memory_startup_bytes.to_string(), expected));
        }
        Ok(())
    }
}

/// The facts of a machine that is on the profile's hardware.
pub(super) fn facts(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<(Facts, Vec<Loss>), RenderError> {
    let mut plan = Plan { machine, profile, options, losses: Vec::new() };
    let mut facts = Facts { format: FORMAT.to_owned(), version: VERSION, ..Facts::default() };
    plan.identity(&mut facts);
    plan.processors(&mut facts);
    plan.memory(&mut facts);
    plan.security(&mut facts);
    facts.hard_drives = drives::hard_drives(machine, profile, options, &mut plan.losses)?;
    facts.removable_drives = drives::removable_drives(machine, profile, options, &mut plan.losses)?;
    plan.adapters(&mut facts)?;
    plan.com_ports(&mut facts);
    plan.boot(&mut facts);
    plan.rest();
    Ok((facts, plan.losses))
}

struct Plan<'a> {
    machine: &'a Machine,
    profile: &'a Profile,
    options: &'a RenderOptions,
    losses: Vec<Loss>,
}

impl Plan<'_> {
    fn note(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.losses.push(Loss::dropped(Severity::Note, what, why));
    }

    fn change(&mut self, what: impl Into<String>, kept_as: impl Into<String>, why: impl Into<String>) {
        self.losses.push(Loss::changed(what, kept_as, why));
    }

    /// The major number of the release's configuration version.
    fn hardware(&self) -> u32 {
        let version = self.profile.hardware_version().and_then(|version| version.split('.').next());
        version.and_then(|major| major.parse().ok()).unwrap_or(u32::MAX)
    }

    fn identity(&mut self, facts: &mut Facts) {
        let machine = self.machine;
        let wanted = self.options.name.as_deref().unwrap_or(&machine.name);
        facts.name = name(wanted);
        if facts.name != wanted {
            self.change("name", facts.name.clone(), "a name is one line of at most 100 characters");
        }
        facts.generation = if machine.firmware == Firmware::Bios { 1 } else { 2 };
        facts.notes = machine.notes.as_deref().map(plain);
        if facts.notes != machine.notes {
            self.change("notes", "U+FFFD", "control characters are left out of the notes");
        }
        facts.bios_guid = machine.bios_uuid.map(|uuid| guest_uuid(uuid, facts.generation));
        let smbios = &machine.smbios;
        for (what, from, to) in [
            ("smbios.serial", &smbios.serial, &mut facts.bios_serial_number),
            ("smbios.asset_tag", &smbios.asset_tag, &mut facts.chassis_asset_tag),
        ] {
            *to = from.as_deref().map(plain);
            if to != from {
                self.change(what, "U+FFFD", "control characters are left out");
            }
        }
        for (what, value) in [
            ("smbios.manufacturer", &smbios.manufacturer),
            ("smbios.product", &smbios.product),
            ("smbios.version", &smbios.version),
            ("smbios.sku", &smbios.sku),
            ("smbios.family", &smbios.family),
        ] {
            if value.is_some() {
                self.losses.push(Loss::dropped(Severity::Change, what, "Hyper-V says its own there"));
            }
        }
        let properties = machine.properties.iter();
        let (own, foreign): (Vec<_>, Vec<_>) =
            properties.partition(|property| property.dialect == PROPERTIES);
        facts.properties =
            own.iter().map(|one| KeptProperty { key: one.key.clone(), value: one.value.clone() }).collect();
        if !foreign.is_empty() {
            let count = foreign.len();
            self.note(
                "properties",
                format!("{count} settings mean something to the source's hypervisor alone"),
            );
        }
    }

    fn processors(&mut self, facts: &mut Facts) {
        let cpu = self.machine.cpu;
        facts.processor_count = cpu.count();
        let threads = cpu.threads_per_core;
        if cpu.sockets == 1 && threads > 1 && self.hardware() >= THREADS {
            facts.hw_thread_count_per_core = Some(threads);
        } else if cpu.sockets != 1 || threads != 1 {
            let kept_as = format!("{} processors of one socket", cpu.count());
            self.change("cpu", kept_as, "Hyper-V arranges processors by the NUMA nodes of its host");
        }
        if self.machine.max_cpus.is_some() {
            self.note("max_cpus", "processors cannot be plugged in while a machine of Hyper-V's runs");
        }
        if !self.machine.numa.is_empty() {
            self.note("numa", "Hyper-V makes NUMA nodes by those of its host");
        }
    }

    fn memory(&mut self, facts: &mut Facts) {
        let rounded = |bytes: u64| bytes.max(LEAST_MEMORY).div_ceil(MEMORY_STEP).saturating_mul(MEMORY_STEP);
        let memory = self.machine.memory;
        facts.memory_startup_bytes = rounded(memory);
        if facts.memory_startup_bytes != memory {
            let kept_as = format!("{} MiB", facts.memory_startup_bytes >> 20);
            self.change("memory", kept_as, "memory comes in steps of 2 MiB, from 32 MiB on");
        }
        let Some(wanted) = self.machine.max_memory else { return };
        let most = rounded(wanted);
        let fits =
            most > facts.memory_startup_bytes && most.div_ceil(1 << 30) <= self.profile.limits.memory_gib;
        if !fits {
            return self
                .note("max_memory", "it is no more than the machine has, or more than Hyper-V can give");
        }
        facts.memory_maximum_bytes = Some(most);
        if most != wanted {
            self.change("max_memory", format!("{} MiB", most >> 20), "memory comes in steps of 2 MiB");
        }
    }

    fn security(&mut self, facts: &mut Facts) {
        let templates = self.hardware() >= TEMPLATES;
        if let Firmware::Uefi(uefi) = &self.machine.firmware {
            if uefi.nvram.is_some() {
                let why =
                    "the firmware starts with fresh variables and finds the boot loader by its default path";
                self.change("firmware.uefi.nvram", "fresh UEFI variables", why);
            }
            let template = template(self.machine);
            if uefi.secure_boot && !templates && template != WINDOWS {
                let why = "before Windows Server 2016, Hyper-V starts nothing but Windows with secure boot";
                self.change("firmware.uefi.secure_boot", "off", why);
            } else if uefi.secure_boot {
                facts.secure_boot = Some(SecureBoot { template: templates.then(|| template.to_owned()) });
            }
        }
        let Some(tpm) = self.machine.tpm else { return };
        if facts.generation == 1 || !templates || !self.profile.firmware.tpm {
            let why = "only machines of generation 2 have a TPM, from Windows Server 2016 on";
            return self.losses.push(Loss::dropped(Severity::Warning, "tpm", why));
        }
        facts.tpm = true;
        if tpm.version != 2 {
            self.change("tpm.version", "2", "the TPM is of version 2.0");
        }
    }

    fn adapters(&mut self, facts: &mut Facts) -> Result<(), RenderError> {
        for nic in &self.machine.nics {
            let kind = profile::FirmwareKind::from(&self.machine.firmware);
            let known = self.profile.nics_for(kind).any(|card| card.model == nic.model);
            if !known {
                return Err(RenderError::card(nic));
            }
            let switch_name = self.switch(nic);
            facts.network_adapters.push(NetworkAdapter {
                is_legacy: nic.model == NicModel::Tulip,
                static_mac_address: nic.mac,
                switch_name,
                vlan_id: nic.vlan,
            });
        }
        Ok(())
    }

    /// The virtual switch for a card. One that nobody decided on keeps the source's name: the script that creates the
    /// machine checks that there is a switch of that name, and takes others.
    fn switch(&mut self, nic: &Nic) -> Option<String> {
        let source = nic.network.as_deref();
        let what = |field: &str| format!("{}.{field}", nic.id);
        if !nic.connected {
            if source.is_some() {
                self.note(what("network"), "a card that is not connected is on no switch");
            }
            return None;
        }
        let wanted = match (self.options.network(source), source) {
            // What a Windows desktop calls the switch through which machines reach out.
            (Some(Network::User), _) => "Default Switch",
            (Some(network), _) => network.name().unwrap_or_default(),
            (None, Some(source)) => source,
            (None, None) => {
                let why = "nothing says which switch the card is to be connected to";
                self.losses.push(Loss::dropped(Severity::Warning, what("connected"), why));
                return None;
            }
        };
        let switch = plain(wanted);
        let mapped = source.is_some_and(|source| self.options.networks.contains_key(source));
        if source != Some(&switch) && !mapped {
            let why = match source {
                Some(source) => format!("nothing says which switch {:?} is", excerpt(source, 60)),
                None => "the description names no network".to_owned(),
            };
            self.change(what("network"), switch.clone(), why);
        }
        Some(switch)
    }

    fn com_ports(&mut self, facts: &mut Facts) {
        let stem = naming::file_stem(&facts.name);
        for (index, (port, number)) in self.machine.serials.iter().zip(1..).enumerate() {
            if number > self.profile.limits.serial_ports.min(2) {
                self.losses.push(Loss::dropped(
                    Severity::Warning,
                    format!("serials.{index}"),
                    "there are two COM ports",
                ));
                continue;
            }
            let path = match &port.target {
                SerialTarget::Pipe(path) if path.starts_with(r"\\.\pipe\") && plain(path) == *path => {
                    path.clone()
                }
                _ => {
                    let path = format!(r"\\.\pipe\{stem}-com{number}");
                    let why = "a COM port of Hyper-V's leads to a named pipe of the host";
                    let loss = Loss::changed(format!("serials.{index}.target"), &path, why);
                    self.losses.push(Loss { severity: Severity::Note, ..loss });
                    path
                }
            };
            facts.com_ports.push(ComPort { number, path });
        }
    }

    fn boot(&mut self, facts: &mut Facts) {
        let machine = self.machine;
        let disks = machine.disks.iter().enumerate();
        let kept = machine.removables.iter().filter(|drive| drives::is_kept(drive, &machine.firmware));
        let nics = machine.nics.iter().enumerate();
        let mut orders: Vec<(u32, BootDevice, StartupDevice)> = Vec::new();
        orders.extend(disks.filter_map(|(index, disk)| {
            Some((disk.boot_order?, BootDevice::HardDrive(index), StartupDevice::Ide))
        }));
        orders.extend(kept.enumerate().filter_map(|(index, drive)| {
            let kind = match drive.kind {
                RemovableKind::Cdrom => StartupDevice::Cd,
                RemovableKind::Floppy => StartupDevice::Floppy,
            };
            Some((drive.boot_order?, BootDevice::RemovableDrive(index), kind))
        }));
        orders.extend(nics.filter_map(|(index, nic)| {
            Some((nic.boot_order?, BootDevice::NetworkAdapter(index), StartupDevice::LegacyNetworkAdapter))
        }));
        orders.sort_by_key(|(order, ..)| *order);
        if facts.generation == 2 {
            facts.boot_order = orders.iter().map(|(_, device, _)| *device).collect();
        } else {
            for (.., kind) in orders {
                if !facts.startup_order.contains(&kind) {
                    facts.startup_order.push(kind);
                }
            }
        }
        self.report_boot_order(&facts.machine());
    }

    /// Says where the devices come in another order than the machine's, or in one at all.
    fn report_boot_order(&mut self, made: &Machine) {
        let machine = self.machine;
        let mut differ = Vec::new();
        for (was, is) in machine.disks.iter().zip(&made.disks) {
            differ.push((was.id.clone(), was.boot_order, is.boot_order));
        }
        let kept = machine.removables.iter().filter(|drive| drives::is_kept(drive, &machine.firmware));
        for (index, (was, is)) in kept.zip(&made.removables).enumerate() {
            differ.push((format!("removables.{index}"), was.boot_order, is.boot_order));
        }
        for (was, is) in machine.nics.iter().zip(&made.nics) {
            differ.push((was.id.clone(), was.boot_order, is.boot_order));
        }
        for (what, _, is) in differ.into_iter().filter(|(_, was, is)| was != is) {
            let kept_as = is.map_or_else(|| "not tried".to_owned(), |order| order.to_string());
            let why = match made.firmware {
                Firmware::Bios => "the BIOS of generation 1 orders kinds of devices, not devices",
                Firmware::Uefi(_) => "the firmware counts the devices that it tries from 1",
            };
            let loss = Loss::changed(format!("{what}.boot_order"), kept_as, why);
            self.losses.push(Loss { severity: Severity::Note, ..loss });
        }
    }

    fn rest(&mut self) {
        let machine = self.machine;
        if machine.clock == Clock::Utc {
            let why =
                "the clock holds the host's local time; the guest's integration services correct for it";
            let loss = Loss::changed("clock", "local time", why);
            self.losses.push(Loss { severity: Severity::Note, ..loss });
        }
        if !machine.usb.is_empty() {
            let why = "Hyper-V has no USB; keyboard, mouse and screen are devices of its own";
            self.losses.push(Loss::dropped(Severity::Change, "usb", why));
        }
        match &machine.video {
            None => self.note("video", "a machine of Hyper-V's always has a graphics card"),
            Some(video) => {
                if video.model.is_some() {
                    self.note("video.model", "the graphics card is Hyper-V's own");
                }
                if video.memory.is_some() {
                    self.note("video.memory", "the graphics card has the memory that its resolution needs");
                }
            }
        }
        if machine.guest_os.is_some() {
            self.note("guest_os", "Hyper-V does not record which system the guest is");
        }
    }
}

/// The template of secure boot with Microsoft's keys for Windows alone.
const WINDOWS: &str = "MicrosoftWindows";
/// The templates by their identifiers in a configuration.
const TEMPLATE_IDS: [(&str, &str); 3] = [
    ("1734c6e8-3154-4dda-ba5f-a874cc483422", WINDOWS),
    ("272e7447-90a4-4563-a4b9-8e4ab00526ce", "MicrosoftUEFICertificateAuthority"),
    ("4292ae2b-ee2c-42b5-a969-dd8f8689f6f3", "OpenSourceShieldedVM"),
];

/// Whose keys the guest's boot loader is signed with: as the source's Hyper-V says, else by the guest's system.
fn template(machine: &Machine) -> &'static str {
    let said = machine.properties.iter().filter(|property| property.dialect == PROPERTIES);
    let said = said.filter(|property| property.key.ends_with("secure_boot_template_id"));
    let known = |id: &str| TEMPLATE_IDS.iter().find(|(known, _)| id.eq_ignore_ascii_case(known));
    match said.filter_map(|property| known(&property.value)).next() {
        Some((_, template)) => template,
        None if machine.guest_os.is_none() || guest_os::is_windows(machine) => WINDOWS,
        None => "MicrosoftUEFICertificateAuthority",
    }
}

/// A name: one line, of the length that Hyper-V takes, not empty.
fn name(wanted: &str) -> String {
    let line: String = wanted.chars().map(|c| if c.is_control() { '-' } else { c }).take(NAME).collect();
    let line = plain(line.trim());
    if line.is_empty() { "machine".to_owned() } else { line }
}

/// Text without the control characters that a script or WMI's XML cannot carry.
pub(super) fn plain(text: &str) -> String {
    let carried = |c: char| matches!(c, '\n' | '\r' | '\t') || (!c.is_control() && crate::xml::is_xml(c));
    text.chars().map(|c| if carried(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}
