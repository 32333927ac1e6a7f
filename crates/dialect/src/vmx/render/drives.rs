//! Disks, CD-ROM and floppy drives, and their controllers.

use super::{Product, Writer};
use crate::render::RenderError;
use crate::text::excerpt;
use crate::vmx::numbering::{self, rank};
use machine::{Attachment, Bus, Cache, Disk, RemovableKind, ScsiModel, Severity};
use std::collections::BTreeSet;

/// The most SCSI controllers: they share their numbers, whatever their model.
const SCSI_CONTROLLERS: u32 = 4;

/// Where the drives are in the file. A `.vmx` has no order but that of places.
pub(super) struct Placed {
    /// The place of every disk.
    pub(super) disks: Vec<Attachment>,
    /// The disks in the order of their places.
    pub(super) disk_order: Vec<usize>,
    /// The removable drives in the order of their places: CD-ROM drives, then floppy drives.
    pub(super) removable_order: Vec<usize>,
}

fn scsi_device(model: ScsiModel) -> Option<&'static str> {
    Some(match model {
        ScsiModel::Pvscsi => "pvscsi",
        ScsiModel::LsiSas => "lsisas1068",
        ScsiModel::LsiLogic => "lsilogic",
        ScsiModel::BusLogic => "buslogic",
        ScsiModel::VirtioScsi | ScsiModel::HyperV => return None,
    })
}

/// A drive's name in keys: `scsi0:1`.
pub(super) fn key(at: Attachment) -> String {
    let bus = match at.bus {
        Bus::Scsi(_) => "scsi",
        Bus::Sata => "sata",
        Bus::Nvme => "nvme",
        _ => "ide",
    };
    format!("{bus}{}:{}", at.controller, at.unit)
}

impl Writer<'_> {
    pub(super) fn drives(&mut self) -> Result<Placed, RenderError> {
        let offered = |model| scsi_device(model).is_some();
        let places = numbering::places(self.machine, SCSI_CONTROLLERS, offered, &mut self.losses)?;
        self.controllers(&places.disks);
        for (disk, at) in self.machine.disks.iter().zip(&places.disks) {
            self.disk(disk, *at)?;
        }
        let removable_order = self.removables()?;
        Ok(Placed { disks: places.disks, disk_order: places.order, removable_order })
    }

    fn controllers(&mut self, disks: &[Attachment]) {
        let cdroms = self.machine.removables.iter().map(|drive| drive.attachment);
        let all: BTreeSet<Attachment> = disks.iter().copied().chain(cdroms).collect();
        for at in all {
            let controller = at.controller;
            match at.bus {
                Bus::Scsi(model) => {
                    self.lines.flag(&format!("scsi{controller}.present"), true);
                    self.lines.set(
                        &format!("scsi{controller}.virtualDev"),
                        scsi_device(model).unwrap_or("lsilogic"),
                    );
                }
                Bus::Sata => self.lines.flag(&format!("sata{controller}.present"), true),
                Bus::Nvme => self.lines.flag(&format!("nvme{controller}.present"), true),
                _ => {}
            }
        }
    }

    fn disk(&mut self, disk: &Disk, at: Attachment) -> Result<(), RenderError> {
        let file = self.options.disk(&disk.id)?;
        let path = file.path.to_str().ok_or_else(|| RenderError::NotText { path: file.path.clone() })?;
        let name = key(at);
        self.lines.flag(&format!("{name}.present"), true);
        self.lines.set(&format!("{name}.fileName"), path);
        let kind = if matches!(at.bus, Bus::Scsi(_)) { "scsi-hardDisk" } else { "disk" };
        self.lines.set(&format!("{name}.deviceType"), kind);
        if disk.independent {
            self.lines.set(&format!("{name}.mode"), "independent-persistent");
        }
        if disk.read_only {
            self.lines.flag(&format!("{name}.readOnly"), true);
        }
        if disk.shared {
            self.lines.set(&format!("{name}.sharing"), "multi-writer");
        }
        if disk.ssd {
            self.lines.set(&format!("{name}.virtualSSD"), 1);
        }
        if disk.serial.is_some() {
            let why = "VMware makes serial numbers itself, from the disk's UUID";
            self.dropped(Severity::Change, format!("{}.serial", disk.id), why);
        }
        match disk.cache {
            None => {}
            Some(Cache::WriteThrough) => self.lines.flag(&format!("{name}.writeThrough"), true),
            Some(_) => {
                self.dropped(
                    Severity::Note,
                    format!("{}.cache", disk.id),
                    "how writes are cached is VMware's to decide",
                );
            }
        }
        if disk.raw_device {
            let why = "it was a device of the source's host: its content is in an image";
            self.changed(format!("{}.raw_device", disk.id), "a virtual disk", why);
        }
        Ok(())
    }

    fn removables(&mut self) -> Result<Vec<usize>, RenderError> {
        let order = self.removable_order();
        let mut floppies = 0;
        for (place, index) in order.iter().enumerate() {
            if *index != place {
                let why = "VMware numbers drives by bus, controller and place";
                self.changed(format!("removables.{index}"), format!("drive {place}"), why);
            }
            let Some(drive) = self.machine.removables.get(*index) else { continue };
            let Attachment { bus, unit, .. } = drive.attachment;
            let name = match (drive.kind, bus) {
                (RemovableKind::Cdrom, Bus::Ide | Bus::Sata) => key(drive.attachment),
                (RemovableKind::Cdrom, bus) => {
                    return Err(RenderError::Bus { disk: format!("removables.{index}"), bus });
                }
                (RemovableKind::Floppy, _) => {
                    let name = format!("floppy{floppies}");
                    if unit != floppies {
                        self.changed(format!("removables.{index}.attachment"), &name, "VMware counts them");
                    }
                    floppies += 1;
                    name
                }
            };
            self.removable(*index, &name)?;
        }
        if floppies == 0 {
            // A machine has one unless it says that it has none.
            self.lines.flag("floppy0.present", false);
        }
        Ok(order)
    }

    /// CD-ROM drives by their place, then floppy drives.
    fn removable_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.machine.removables.len()).collect();
        order.sort_by_key(|index| {
            let drive = self.machine.removables.get(*index);
            let cdrom = drive.filter(|drive| drive.kind == RemovableKind::Cdrom);
            (cdrom.is_none(), cdrom.and_then(|drive| rank(drive.attachment)))
        });
        order
    }

    fn removable(&mut self, index: usize, name: &str) -> Result<(), RenderError> {
        let Some(drive) = self.machine.removables.get(index) else { return Ok(()) };
        let medium = match self.options.media.get(&index) {
            Some(path) => Some(path.to_str().ok_or_else(|| RenderError::NotText { path: path.clone() })?),
            None => None,
        };
        if let (None, Some(was)) = (medium, &drive.medium) {
            let why = format!("{:?} is not carried over: the drive is empty", excerpt(was, 80));
            self.dropped(Severity::Change, format!("removables.{index}.medium"), why);
        }
        self.lines.flag(&format!("{name}.present"), true);
        self.lines.flag(&format!("{name}.startConnected"), drive.connected);
        let (key, image, device) = match drive.kind {
            RemovableKind::Cdrom if self.product == Product::Esxi => {
                ("deviceType", "cdrom-image", "atapi-cdrom")
            }
            RemovableKind::Cdrom => ("deviceType", "cdrom-image", "cdrom-raw"),
            RemovableKind::Floppy => ("fileType", "file", "device"),
        };
        self.lines.set(&format!("{name}.{key}"), if medium.is_some() { image } else { device });
        match medium {
            Some(path) => self.lines.set(&format!("{name}.fileName"), path),
            None if self.product == Product::Workstation => {
                self.lines.set(&format!("{name}.fileName"), "auto detect");
                self.lines.flag(&format!("{name}.autodetect"), true);
            }
            None => {
                self.lines.set(&format!("{name}.fileName"), "emptyBackingString");
                self.lines.flag(&format!("{name}.clientDevice"), true);
            }
        }
        Ok(())
    }
}
