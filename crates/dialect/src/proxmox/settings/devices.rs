//! Drives, cards, ports and their order as settings.

use super::super::document::escape;
use super::super::drives::{BUSES, CACHES, controller_name};
use super::super::nics::MODELS;
use super::{Setting, Settings, Value};
use crate::RenderError;
use crate::render::{Network, path_text};
use crate::text::excerpt;
use machine::{
    Attachment, Bus, Disk, Loss, Nic, Removable, RemovableKind, ScsiModel, SerialTarget, Severity,
};
use profile::FirmwareKind;

/// The bridge that every host has.
const BRIDGE: &str = "vmbr0";
/// The longest serial number, in characters.
const SERIAL: usize = 20;

/// Whether a path can stand in a list of options: commas end it, and white space at its ends is lost.
pub(super) fn is_volume(path: &str) -> bool {
    !path.is_empty()
        && path.trim() == path
        && !path.contains([',', '\n', '\r'])
        && !path.chars().any(char::is_control)
}

/// A path as the first option of a list.
fn volume(path: &std::path::Path) -> Result<String, RenderError> {
    let text = path_text(path)?;
    let is_special = matches!(text, "none" | "cdrom" | "cloudinit");
    let refused = || RenderError::NotText { path: path.to_path_buf() };
    Some(text).filter(|text| is_volume(text) && !is_special).map(str::to_owned).ok_or_else(refused)
}

/// The key of the place; none when there is no such place.
pub(crate) fn key(at: Attachment) -> Option<String> {
    let name = match at.bus {
        Bus::Scsi(_) => "scsi",
        Bus::VirtioBlk => "virtio",
        Bus::Sata => "sata",
        Bus::Ide => "ide",
        _ => return None,
    };
    let bus = BUSES.iter().find(|bus| bus.key == name).filter(|bus| at.unit < bus.units)?;
    let number = at.controller.checked_mul(bus.units)?.checked_add(at.unit)?;
    (number <= bus.last).then(|| format!("{name}{number}"))
}

/// A drive's place in the order in which a configuration's drives are numbered: by bus, then by number.
fn rank(at: Attachment) -> Option<(usize, u32, u32)> {
    let key = key(at)?;
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    Some((BUSES.iter().position(|bus| bus.key == stem)?, at.controller, at.unit))
}

impl Settings<'_> {
    /// Says which drives change their place among the machine's: a configuration has no order but that of their keys.
    pub(super) fn order(&mut self) {
        let machine = self.machine;
        let disks = machine.disks.iter().map(|disk| (disk.id.clone(), disk.attachment));
        let drives = machine.removables.iter().filter(|drive| drive.kind == RemovableKind::Cdrom).enumerate();
        let drives = drives.map(|(index, drive)| (format!("removables.{index}"), drive.attachment));
        for list in [disks.collect::<Vec<_>>(), drives.collect()] {
            let mut sorted: Vec<Attachment> = list.iter().map(|(_, at)| *at).collect();
            sorted.sort_by_key(|at| rank(*at));
            for ((what, at), sorted) in list.into_iter().zip(sorted) {
                if at != sorted {
                    self.dropped(
                        Severity::Note,
                        what,
                        "drives are numbered by their bus and place, not by their order",
                    );
                }
            }
        }
    }

    pub(super) fn disks(&mut self) -> Result<(), RenderError> {
        let machine = self.machine;
        let mut model: Option<ScsiModel> = None;
        for disk in &machine.disks {
            let unknown = || RenderError::bus(disk);
            let kind = FirmwareKind::from(&machine.firmware);
            let offered = self.profile.disks_for(kind).any(|hardware| hardware.bus == disk.attachment.bus);
            let key = key(disk.attachment).filter(|_| offered).ok_or_else(unknown)?;
            if let Bus::Scsi(this) = disk.attachment.bus {
                // All SCSI disks are on controllers of one model.
                if *model.get_or_insert(this) != this {
                    return Err(unknown());
                }
            }
            let file = self.options.disk(&disk.id)?;
            let (path, storage) = (volume(&file.path)?, file.storage.clone());
            let options = self.disk_options(disk, &key);
            let value = Value::Disk { path, storage, capacity: file.capacity, options };
            self.settings.push(Setting { key, value });
        }
        if let Some(name) = model.and_then(controller_name) {
            self.set("scsihw", name);
        }
        Ok(())
    }

    /// What a disk's volume is followed by.
    fn disk_options(&mut self, disk: &Disk, key: &str) -> String {
        let mut options = String::new();
        if let Some((name, _)) = CACHES.iter().find(|(_, cache)| Some(*cache) == disk.cache) {
            options.push_str(&format!(",cache={name}"));
        }
        let what = |field: &str| format!("{}.{field}", disk.id);
        if disk.ssd && key.starts_with("virtio") {
            self.dropped(Severity::Note, what("ssd"), "virtio-blk does not say whether a disk rotates");
        } else if disk.ssd {
            options.push_str(",ssd=1");
        }
        if disk.read_only && key.starts_with(['s', 'v']) && !key.starts_with("sata") {
            options.push_str(",ro=1");
        } else if disk.read_only {
            self.dropped(Severity::Change, what("read_only"), "disks on IDE and SATA can be written");
        }
        if let Some(serial) = &disk.serial {
            let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | ' ');
            let plain: String = serial.chars().filter(allowed).take(SERIAL).collect();
            let plain = plain.trim();
            if plain != serial || plain.is_empty() {
                let why = "a serial number has 20 letters, digits and few other characters at most";
                self.changed(what("serial"), plain, why);
            }
            if !plain.is_empty() {
                let escaped = escape(plain, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
                options.push_str(&format!(",serial={escaped}"));
            }
        }
        for (said, field, severity, why) in [
            (disk.shared, "shared", Severity::Warning, "the copy is this machine's own"),
            (disk.independent, "independent", Severity::Note, "snapshots include it like every other"),
            (disk.raw_device, "raw_device", Severity::Change, "it is a virtual disk now"),
        ] {
            if said {
                self.dropped(severity, what(field), why);
            }
        }
        options
    }

    pub(super) fn removables(&mut self) -> Result<(), RenderError> {
        for (index, drive) in self.machine.removables.iter().enumerate() {
            let what = format!("removables.{index}");
            if drive.kind == RemovableKind::Floppy {
                self.dropped(Severity::Warning, "removables", "Proxmox has no floppy drives");
                continue;
            }
            let at = drive.attachment;
            let key = key(at).ok_or_else(|| RenderError::Bus { disk: what.clone(), bus: at.bus })?;
            let medium = self.medium(drive, index, &what)?;
            let medium = medium.unwrap_or_else(|| "none".to_owned());
            let file = if medium.contains('=') { format!("file={medium}") } else { medium };
            self.set(key, format!("{file},media=cdrom"));
        }
        Ok(())
    }

    /// The image in a drive. A drive that was not connected is an empty one.
    fn medium(&mut self, drive: &Removable, index: usize, what: &str) -> Result<Option<String>, RenderError> {
        if !drive.connected {
            let why = "a drive is always connected: it is empty instead";
            self.dropped(Severity::Note, format!("{what}.connected"), why);
        }
        let file = self.options.media.get(&index).filter(|_| drive.connected);
        let path = file.map(|path| volume(path)).transpose()?;
        if let (None, Some(name)) = (&path, &drive.medium) {
            let why = format!("{} is not carried over: the drive is empty", excerpt(name, 80));
            self.dropped(Severity::Change, format!("{what}.medium"), why);
        }
        Ok(path)
    }

    pub(super) fn nics(&mut self) -> Result<(), RenderError> {
        for (index, nic) in self.machine.nics.iter().enumerate() {
            let unknown = || RenderError::card(nic);
            let (model, _) = MODELS.iter().find(|(_, model)| *model == nic.model).ok_or_else(unknown)?;
            self.profile.nic_hardware(&nic.model).ok_or_else(unknown)?;
            let mut value = (*model).to_owned();
            if let Some(mac) = nic.mac {
                value.push_str(&format!("={}", mac.to_string().to_uppercase()));
            }
            if let Some(bridge) = self.bridge(nic) {
                value.push_str(&format!(",bridge={bridge}"));
            }
            if let Some(vlan) = nic.vlan {
                value.push_str(&format!(",tag={vlan}"));
            }
            if !nic.connected {
                value.push_str(",link_down=1");
            }
            self.set(format!("net{index}"), value);
        }
        Ok(())
    }

    /// The bridge of the host's for a card; none for the user's network.
    fn bridge(&mut self, nic: &Nic) -> Option<String> {
        let source = nic.network.as_deref();
        let is_bridge = |name: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !name.is_empty() && name.len() <= 32 && name.chars().all(plain)
        };
        let mapped = source.is_some_and(|source| self.options.networks.contains_key(source));
        let wanted = match self.options.network(source) {
            Some(Network::User) => None,
            Some(network) => network.name(),
            // A bridge of Proxmox' own names is taken for one of the target's.
            None => source.filter(|name| name.starts_with("vmbr")).or(Some(BRIDGE)),
        };
        let bridge = wanted.map(|name| if is_bridge(name) { name } else { BRIDGE }.to_owned());
        if bridge.as_deref() != source && !mapped {
            let kept_as = bridge
                .as_deref()
                .map_or_else(|| "QEMU's user network".to_owned(), |name| format!("the bridge {name}"));
            let why = match source {
                Some(source) => format!("nothing says which bridge {:?} is", excerpt(source, 60)),
                None => "the description names no network".to_owned(),
            };
            self.changed(format!("{}.network", nic.id), kept_as, why);
        }
        bridge
    }

    pub(super) fn serials(&mut self) {
        for (index, port) in self.machine.serials.iter().enumerate() {
            if index > 3 {
                self.dropped(Severity::Warning, format!("serials.{index}"), "there are four serial ports");
                continue;
            }
            if port.target != SerialTarget::Console {
                let why = "it led to something of the source's, which does not move";
                self.changed(format!("serials.{index}.target"), "a terminal (qm terminal)", why);
            }
            self.set(format!("serial{index}"), "socket");
        }
    }

    /// The devices in the order in which they are tried, which counts from 1.
    pub(super) fn boot(&mut self) {
        let machine = self.machine;
        let mut devices: Vec<(u32, String, String)> = Vec::new();
        for disk in &machine.disks {
            devices.extend(
                disk.boot_order.zip(key(disk.attachment)).map(|(order, key)| (order, key, disk.id.clone())),
            );
        }
        for (index, drive) in machine.removables.iter().enumerate() {
            let what = format!("removables.{index}");
            devices
                .extend(drive.boot_order.zip(key(drive.attachment)).map(|(order, key)| (order, key, what)));
        }
        for (index, nic) in machine.nics.iter().enumerate() {
            devices.extend(nic.boot_order.map(|order| (order, format!("net{index}"), nic.id.clone())));
        }
        devices.sort_by_key(|(order, ..)| *order);
        for ((order, _, what), place) in devices.iter().zip(1..) {
            if *order != place {
                let why = "the devices that are tried count from 1";
                let loss = Loss::changed(format!("{what}.boot_order"), place.to_string(), why);
                self.losses.push(Loss { severity: Severity::Note, ..loss });
            }
        }
        let keys: Vec<String> = devices.into_iter().map(|(_, key, _)| key).collect();
        if !keys.is_empty() {
            self.set("boot", format!("order={}", keys.join(";")));
        }
    }
}
