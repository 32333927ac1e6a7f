//! The `.conf` of a machine.

use super::document::escape;
use super::options::size_text;
use super::read;
use super::settings::{Value, settings};
use crate::{RenderError, RenderOptions, Rendered};
use machine::{Loss, Machine, Property, Severity};
use profile::Profile;

/// Writes the configuration. Disks are named by the paths of the options, in the storages that those name.
///
/// The volumes of UEFI's variables and of a TPM are made by Proxmox itself, when a command tells it to: the configuration
/// cannot. The [import script](super::IMPORT) does.
///
/// # Errors
/// When a disk has no file, a path cannot be written, or the machine is not on the profile's hardware.
pub fn render(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Rendered, RenderError> {
    let plan = settings(machine, profile, options)?;
    let mut losses = plan.losses;
    let mut lines: Vec<String> = Vec::new();
    for setting in plan.settings {
        let value = match setting.value {
            Value::Text(text) => Some(text),
            Value::Disk { path, storage, capacity, options } => {
                Some(format!("{}{options},size={}", volume(&path, storage.as_deref()), size_text(capacity)))
            }
            Value::Made { path: Some(path), options } => Some(volume(&path, None) + &options),
            Value::Made { path: None, options } => {
                missing(&setting.key, &options, machine, &mut losses);
                None
            }
        };
        lines.extend(value.map(|value| format!("{}: {value}\n", setting.key)));
    }
    lines.sort();
    let text = notes(machine, &mut losses) + &lines.concat();
    report_properties(machine, &text, &mut losses);
    Ok(Rendered { text, losses })
}

/// A volume as the first option of a list.
fn volume(path: &str, storage: Option<&str>) -> String {
    let plain =
        |storage: &&str| storage.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let path = match storage.filter(plain) {
        Some(storage) => format!("{storage}:{path}"),
        None => path.to_owned(),
    };
    if path.contains('=') { format!("file={path}") } else { path }
}

/// Says what lacks its volume, and how it is made.
fn missing(key: &str, options: &str, machine: &Machine, losses: &mut Vec<Loss>) {
    let is_efi = key == "efidisk0";
    let secure = matches!(&machine.firmware, machine::Firmware::Uefi(uefi) if uefi.secure_boot);
    if is_efi && !secure {
        return;
    }
    let what = if is_efi { "firmware.uefi.secure_boot" } else { "tpm" };
    let why = format!("its volume is still to be made: qm set VMID --{key} STORAGE:1{options}");
    losses.push(Loss::dropped(Severity::Change, what, why));
}

/// The notes as comments, a line each.
fn notes(machine: &Machine, losses: &mut Vec<Loss>) -> String {
    let Some(notes) = &machine.notes else { return String::new() };
    let kept = notes.trim_end();
    if kept != notes || kept.is_empty() {
        losses.push(Loss::dropped(
            Severity::Note,
            "notes",
            "white space at the end of the notes is not kept",
        ));
    }
    if kept.is_empty() {
        return String::new();
    }
    let is_plain = |c: char| matches!(c, ' '..='~') && !matches!(c, ':' | '%');
    kept.split('\n').map(|line| format!("#{}\n", escape(line, is_plain))).collect()
}

/// Says so when what the source said beside the machine does not come back from the text.
fn report_properties(machine: &Machine, text: &str, losses: &mut Vec<Loss>) {
    let written: Vec<Property> =
        read::parse(text.as_bytes()).map(|parsed| parsed.machine.properties).unwrap_or_default();
    if written != machine.properties {
        let why = "settings of the source's host, or of another hypervisor, are not carried over";
        losses.push(Loss::dropped(Severity::Note, "properties", why));
    }
}
