//! Proxmox' archive of a machine, as `vzdump` makes it: the configuration and every disk in one file, read where it is.

mod archive;
mod device;

pub use archive::VmaError;

use super::recognise::{Named, Source};
use super::{Error, Facts, Package, PackagedFile, Result};
use crate::proxmox;
use archive::Archive;
use block::BlockRead;
use device::Device;
use image::{Gate, GateError, GateReason};
use machine::{Firmware, Loss, Machine, Severity};
use std::path::PathBuf;
use std::sync::Arc;

/// The kind of package.
pub(super) static SOURCE: Source = Source {
    name: "vma",
    description: "a Proxmox VE backup (.vma)",
    open: |named| {
        if let Some(remedy) = compressed(named) {
            return Some(Err(Error::CompressedVma { path: named.path.clone(), remedy }));
        }
        named.head.starts_with(archive::MAGIC).then(|| open(named))
    },
};

/// What a compressed archive begins with, how it ends, and what uncompresses it.
const COMPRESSED: [(&[u8], &str, &str); 3] = [
    (
        b"\x28\xb5\x2f\xfd",
        ".vma.zst",
        "uncompress it first: zstd -d FILE.vma.zst, and name the .vma that this makes",
    ),
    (b"\x1f\x8b", ".vma.gz", "uncompress it first: gunzip -k FILE.vma.gz, and name the .vma that this makes"),
    (b"\x89LZO", ".vma.lzo", "uncompress it first: lzop -d FILE.vma.lzo, and name the .vma that this makes"),
];

/// What uncompresses the file, when it is an archive that is compressed as a whole.
fn compressed(named: &Named) -> Option<&'static str> {
    let name = named.name.to_ascii_lowercase();
    let found =
        COMPRESSED.iter().find(|(magic, end, _)| named.head.starts_with(magic) && name.ends_with(end));
    found.map(|(.., remedy)| *remedy)
}

/// The configuration's name in the archive.
const CONFIGURATION: &str = "qemu-server.conf";

fn open(named: &Named) -> Result<Package> {
    let refused = |source| Error::Vma { path: named.path.clone(), source };
    let archive = Archive::read(named.disk.as_ref()).map_err(refused)?;
    let configuration = archive.configurations.iter().find(|(name, _)| name == CONFIGURATION);
    let (_, text) = configuration.ok_or_else(|| refused(VmaError::NoConfiguration))?;
    let parsed = proxmox::parse(text).map_err(|source| Error::Description {
        path: named.path.join(CONFIGURATION),
        what: proxmox::DIALECT.description,
        source: source.into(),
    })?;
    let (mut machine, mut losses) = (parsed.machine, parsed.losses);
    name_disks(&mut machine, &archive, &mut losses);
    let files = archive
        .devices
        .iter()
        .map(|device| PackagedFile { name: device.name.clone(), size: Some(device.size) });
    let facts = Facts { path: named.path.clone(), files: files.collect(), ..Facts::default() };
    let gate: Arc<dyn Gate> = Arc::new(VmaGate::new(named, archive));
    let stored = Arc::clone(&gate);
    let mut package =
        Package { kind: SOURCE.name, machine, losses, facts, stored, meant: gate, digests: None };
    package.name_after(&named.path);
    Ok(package)
}

/// Names the disks as the archive does, by their keys in the configuration.
fn name_disks(machine: &mut Machine, archive: &Archive, losses: &mut Vec<Loss>) {
    let find = |key: &str| {
        let name = format!("drive-{key}");
        archive.devices.iter().find(|device| device.name == name)
    };
    for disk in &mut machine.disks {
        let Some(key) = proxmox::drive_key(disk.attachment) else { continue };
        match find(&key) {
            Some(device) => {
                disk.source = Some(device.name.clone());
                disk.format = Some("raw".to_owned());
                disk.capacity = Some(device.size);
                disk.raw_device = false;
            }
            None => {
                let why = "the archive does not hold it: it was left out of the backup";
                losses.push(Loss::dropped(Severity::Warning, key, why));
            }
        }
    }
    if let Firmware::Uefi(uefi) = &mut machine.firmware {
        uefi.nvram = find("efidisk0").map(|device| device.name.clone());
    }
    if archive.devices.iter().any(|device| device.name == "vmstate") {
        let why = "the memory of the running machine stays behind: it starts as after a power failure";
        losses.push(Loss::dropped(Severity::Change, "vmstate", why));
    }
}

/// Opens the disks of an archive by their names there.
struct VmaGate {
    path: PathBuf,
    devices: Vec<(String, Arc<dyn BlockRead>)>,
}

impl VmaGate {
    fn new(named: &Named, archive: Archive) -> Self {
        let open = |device: archive::DeviceIndex| {
            let name = device.name.clone();
            (name, Arc::new(Device::new(Arc::clone(&named.disk), device)) as Arc<dyn BlockRead>)
        };
        Self { path: named.path.clone(), devices: archive.devices.into_iter().map(open).collect() }
    }
}

impl Gate for VmaGate {
    fn open(&self, name: &str) -> std::result::Result<Arc<dyn BlockRead>, GateError> {
        let found = self.devices.iter().find(|(known, _)| known == name);
        found.map(|(_, device)| Arc::clone(device)).ok_or_else(|| GateError {
            name: crate::text::excerpt(name, 80),
            reason: GateReason::Missing { root: self.path.clone() },
        })
    }

    fn describe(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}
