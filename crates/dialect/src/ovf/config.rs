//! VMware's settings in a hardware section: `vmw:Config` and `vmw:ExtraConfig`.

use super::Result;
use super::document::required;
use super::hardware::Context;
use super::item::settings;
use crate::text::excerpt;
use crate::vmx::{guest_uuid, parse_uuid};
use machine::{Firmware, Loss, Machine, Property, Severity, Uefi};
use roxmltree::Node;

pub(super) fn read(
    context: &Context,
    section: Node<'_, '_>,
    machine: &mut Machine,
    losses: &mut Vec<Loss>,
) -> Result<()> {
    let mut uefi = false;
    let mut secure_boot = false;
    let mut nvram = None;
    for (node, key, value) in settings(section) {
        match key.as_str() {
            "firmware" => uefi = value.eq_ignore_ascii_case("efi"),
            "bootOptions.efiSecureBootEnabled" | "uefi.secureBoot.enabled" => {
                secure_boot = value.eq_ignore_ascii_case("true");
            }
            "nvram" => nvram = file_named(context, &value, losses),
            "uuid.bios" => match parse_uuid(&value) {
                Some(bytes) => machine.bios_uuid = Some(guest_uuid(bytes, hardware_version(section))),
                None => losses.push(Loss::dropped(Severity::Warning, key, "the value is not sixteen bytes")),
            },
            key if key.starts_with("guestinfo.") || key.to_ascii_lowercase().contains("password") => {
                let why = "the guest could read this from VMware; its value may be a secret and is not kept";
                losses.push(Loss::dropped(Severity::Warning, excerpt(key, 80), why));
            }
            _ => keep(machine, losses, &key, value, required(node) == Some(true)),
        }
    }
    if uefi {
        machine.firmware = Firmware::Uefi(Uefi { secure_boot, nvram });
    }
    virtualbox_firmware(section, machine);
    Ok(())
}

/// Keeps a setting that nothing here reads. Those that VMware marks as required change what the guest sees.
fn keep(machine: &mut Machine, losses: &mut Vec<Loss>, key: &str, value: String, required: bool) {
    if required {
        let why = "a setting of VMware's that the descriptor calls required has no counterpart";
        losses.push(Loss::dropped(Severity::Warning, excerpt(key, 80), why));
    }
    machine.properties.push(Property { dialect: "ovf".to_owned(), key: key.to_owned(), value });
}

/// The `href` that `ovf:/file/ID` stands for.
fn file_named(context: &Context, uri: &str, losses: &mut Vec<Loss>) -> Option<String> {
    let path = uri.strip_prefix("ovf:").unwrap_or(uri).trim_start_matches('/');
    let file = path.strip_prefix("file/").and_then(|id| context.files.iter().find(|file| file.id == id));
    if file.is_none() && !uri.is_empty() {
        let why = format!(
            "{:?} is no file of the package: the firmware starts with fresh variables",
            excerpt(uri, 80)
        );
        losses.push(Loss::dropped(Severity::Warning, "nvram", why));
    }
    file.map(|file| file.href.clone())
}

/// VMware's hardware version: `vmx-17` is 17.
fn hardware_version(section: Node<'_, '_>) -> Option<u64> {
    section
        .descendants()
        .find(|node| node.tag_name().name() == "VirtualSystemType")
        .and_then(|node| node.text())
        .and_then(|text| text.split_whitespace().find_map(|word| word.strip_prefix("vmx-")))
        .and_then(|version| version.parse().ok())
}

/// VirtualBox says EFI in its own element beside the section: `vbox:Machine/Hardware/Firmware`.
fn virtualbox_firmware(section: Node<'_, '_>, machine: &mut Machine) {
    let Some(system) = section.parent() else { return };
    let is_efi = system
        .children()
        .filter(|child| child.tag_name().name() == "Machine")
        .flat_map(|machine| machine.descendants())
        .filter(|node| node.tag_name().name() == "Firmware")
        .any(|node| node.attribute("type").is_some_and(|kind| kind.to_ascii_lowercase().starts_with("efi")));
    if is_efi && machine.firmware == Firmware::Bios {
        machine.firmware = Firmware::Uefi(Uefi::default());
    }
}
