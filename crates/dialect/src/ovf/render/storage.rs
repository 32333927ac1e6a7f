//! Disks, drives and their controllers, and the disks' section (DSP0243 1.1.1, clauses 8.3 and 9.1).

use super::{Item, Product, Writer, config, info};
use crate::render::{DiskFile, RenderError};
use crate::text::excerpt;
use crate::vmx::numbering::Places;
use crate::xml::Element;
use machine::{Attachment, Bus, Disk, RemovableKind, ScsiModel, Severity};
use std::collections::{BTreeMap, BTreeSet};

/// The URIs of disk formats, by format and variant; the first that fits counts.
const FORMATS: [(&str, Option<&str>, &str); 6] = [
    (
        "vmdk",
        Some("streamOptimized"),
        "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized",
    ),
    ("vmdk", None, "http://www.vmware.com/interfaces/specifications/vmdk.html#sparse"),
    ("qcow2", None, "http://www.gnome.org/~markmc/qcow-image-format.html#qcow2"),
    ("vhd", None, "http://go.microsoft.com/fwlink/?LinkId=137171#vhd"),
    ("vhdx", None, "http://go.microsoft.com/fwlink/?LinkId=137171#vhdx"),
    ("vdi", None, "http://www.virtualbox.org/#vdi"),
];

/// Anything else: the bytes as they are.
const RAW: &str = "http://en.wikipedia.org/wiki/Byte#raw";

fn format_uri(file: &DiskFile) -> &'static str {
    let fits = |(format, subformat, _): &&(&str, Option<&str>, &str)| {
        *format == file.format && (subformat.is_none() || *subformat == file.subformat.as_deref())
    };
    FORMATS.iter().find(fits).map_or(RAW, |(_, _, uri)| uri)
}

impl Writer<'_> {
    pub(super) fn disk_section(&mut self) -> Result<Option<Element>, RenderError> {
        let mut section = Element::new("DiskSection").child(info("The virtual disks of the package"));
        for (index, disk) in self.machine.disks.iter().enumerate() {
            let file = self.options.disk(&disk.id)?;
            let id = self.file(&file.path, file.file_size)?;
            section = section.child(
                Element::new("Disk")
                    .with("ovf:capacity", file.capacity)
                    .with("ovf:capacityAllocationUnits", "byte")
                    .with("ovf:diskId", format!("vmdisk{}", index + 1))
                    .with("ovf:fileRef", id)
                    .with("ovf:format", format_uri(file)),
            );
        }
        Ok((!self.machine.disks.is_empty()).then_some(section))
    }

    /// Controllers, disks, CD-ROM and floppy drives.
    pub(super) fn drives(&mut self, places: &Places) -> Result<Vec<Element>, RenderError> {
        let mut elements = Vec::new();
        let cdroms = self.machine.removables.iter().map(|drive| drive.attachment);
        let all: BTreeSet<(Bus, u32)> =
            places.disks.iter().copied().chain(cdroms).map(|at| (at.bus, at.controller)).collect();
        let mut parents = BTreeMap::new();
        for (bus, number) in all.into_iter().filter(|(bus, _)| *bus != Bus::Floppy) {
            let item = self.controller(bus, number)?;
            parents.insert((bus, number), item.instance());
            elements.push(item.element());
        }
        let parent = |at: Attachment| parents.get(&(at.bus, at.controller)).copied();
        for (index, (disk, at)) in self.machine.disks.iter().zip(&places.disks).enumerate() {
            let item = self
                .item(17, format!("Hard disk {}", index + 1))
                .with("rasd:AddressOnParent", at.unit)
                .with("rasd:HostResource", format!("ovf:/disk/vmdisk{}", index + 1))
                .maybe("rasd:Parent", parent(*at));
            let vmware = self.is_vmware();
            let mode =
                (vmware && disk.independent).then(|| config("backing.diskMode", "independent_persistent"));
            let sharing = (vmware && disk.shared).then(|| config("backing.sharing", "sharingMultiWriter"));
            elements.push(item.extension(mode).extension(sharing).element());
            self.disk_losses(disk);
        }
        for index in 0..self.machine.removables.len() {
            elements.extend(self.removable(index, &parent)?);
        }
        Ok(elements)
    }

    fn controller(&mut self, bus: Bus, number: u32) -> Result<Item, RenderError> {
        let vmware = self.is_vmware();
        let (resource_type, subtype, name) = match bus {
            Bus::Ide => (5, (!vmware).then_some("PIIX4"), "IDE"),
            Bus::Sata => (20, Some(if vmware { "vmware.sata.ahci" } else { "AHCI" }), "SATA controller"),
            Bus::Nvme => {
                (20, Some(if vmware { "vmware.nvme.controller" } else { "NVMe" }), "NVMe controller")
            }
            Bus::Scsi(ScsiModel::VirtioScsi) => (20, Some("VirtioSCSI"), "SCSI controller"),
            Bus::Scsi(model) => (6, scsi_subtype(model), "SCSI controller"),
            _ => return Err(RenderError::Bus { disk: "a drive".to_owned(), bus }),
        };
        // VirtualBox before 7 knows a SATA controller by its caption.
        let caption = (!vmware && bus == Bus::Sata).then(|| format!("sataController{number}"));
        Ok(self
            .item(resource_type, format!("{name} {number}"))
            .with("rasd:Address", number)
            .maybe("rasd:Caption", caption)
            .maybe("rasd:ResourceSubType", subtype))
    }

    fn disk_losses(&mut self, disk: &Disk) {
        let vmware = self.is_vmware();
        let traits = [
            (disk.serial.is_some(), "serial", Severity::Change, "the hypervisor makes serial numbers itself"),
            (
                disk.cache.is_some(),
                "cache",
                Severity::Note,
                "how writes are cached is the hypervisor's to decide",
            ),
            (disk.read_only, "read_only", Severity::Change, "OVF has no disks that the guest may not write"),
            (disk.ssd, "ssd", Severity::Note, "OVF does not say whether a disk rotates"),
            (
                disk.independent && !vmware,
                "independent",
                Severity::Note,
                "snapshots include it like every other",
            ),
            (disk.shared && !vmware, "shared", Severity::Warning, "the copy is this machine's own"),
            (disk.raw_device, "raw_device", Severity::Change, "its content is in an image"),
        ];
        for (has, field, severity, why) in traits {
            if has {
                self.dropped(severity, format!("{}.{field}", disk.id), why);
            }
        }
    }

    fn removable(
        &mut self,
        index: usize,
        parent: &dyn Fn(Attachment) -> Option<u32>,
    ) -> Result<Option<Element>, RenderError> {
        let Some(drive) = self.machine.removables.get(index) else { return Ok(None) };
        let medium = match self.options.media.get(&index) {
            Some(path) => Some(self.file(path, None)?),
            None => None,
        };
        if let (None, Some(was)) = (&medium, &drive.medium) {
            let why = format!("{:?} is not carried over: the drive is empty", excerpt(was, 80));
            self.dropped(Severity::Change, format!("removables.{index}.medium"), why);
        }
        let (resource_type, name, subtype) = match (drive.kind, medium.is_some()) {
            (RemovableKind::Cdrom, true) => (15, "CD/DVD drive", "vmware.cdrom.iso"),
            (RemovableKind::Cdrom, false) => (15, "CD/DVD drive", "vmware.cdrom.remotepassthrough"),
            (RemovableKind::Floppy, true) => (14, "Floppy drive", "vmware.floppy.image"),
            (RemovableKind::Floppy, false) => (14, "Floppy drive", "vmware.floppy.remotedevice"),
        };
        let subtype = matches!(self.product, Product::Vmware { .. }).then_some(subtype);
        let item = self
            .item(resource_type, format!("{name} {}", index + 1))
            .optional()
            .with("rasd:AddressOnParent", drive.attachment.unit)
            .with("rasd:AutomaticAllocation", drive.connected)
            .maybe("rasd:HostResource", medium.map(|id| format!("ovf:/file/{id}")))
            .maybe("rasd:Parent", parent(drive.attachment))
            .maybe("rasd:ResourceSubType", subtype);
        Ok(Some(item.element()))
    }
}

fn scsi_subtype(model: ScsiModel) -> Option<&'static str> {
    match model {
        ScsiModel::LsiLogic => Some("lsilogic"),
        ScsiModel::LsiSas => Some("lsilogicsas"),
        ScsiModel::BusLogic => Some("buslogic"),
        ScsiModel::Pvscsi => Some("VirtualSCSI"),
        ScsiModel::VirtioScsi | ScsiModel::HyperV => None,
    }
}
