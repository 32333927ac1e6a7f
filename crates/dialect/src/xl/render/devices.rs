//! Disks, drives, network cards and serial ports, and in which order they are started from.

use super::Writing;
use crate::boot_order::{self, Kind};
use crate::naming::letters;
use crate::render::{Network, RenderError, path_text};
use crate::text::excerpt;
use crate::xl::vif;
use machine::{Bus, Disk, Loss, Nic, NicModel, Removable, RemovableKind, SerialTarget, Severity};
use profile::Profile;

impl Writing<'_> {
    pub(super) fn serials(&mut self) {
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

    pub(super) fn boot(&mut self) {
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

    pub(super) fn disks(&mut self, profile: &Profile) -> Result<(), RenderError> {
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

    pub(super) fn nics(&mut self, profile: &Profile) -> Result<(), RenderError> {
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
