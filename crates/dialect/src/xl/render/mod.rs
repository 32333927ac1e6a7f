//! A machine to a configuration of xl's.
//!
//! A guest is fully virtualised, unless it was paravirtualised on the source and can start so here: with pygrub, which
//! finds the kernel on the guest's own disk.

mod board;
mod devices;

use super::DIALECT;
use super::syntax::{self, Value};
use crate::naming;
use crate::render::{RenderError, RenderOptions, Rendered};
use crate::text::excerpt;
use machine::{Firmware, Loss, Machine, Severity};
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
