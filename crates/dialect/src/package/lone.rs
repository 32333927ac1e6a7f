//! A machine made of nothing but a disk image.

use super::recognise::{Named, Source};
use super::{Error, Facts, Package, PackagedFile, Result};
use block::BlockRead;
use image::{Gate, Image};
use machine::{
    Attachment, Bus, Cpu, Disk, Firmware, Loss, Machine, Nic, NicModel, ScsiModel, Severity, Uefi, Video,
};
use std::path::Path;
use std::sync::Arc;

/// The memory of a machine of which nothing is known, in bytes: enough for every system of the last ten years.
const MEMORY: u64 = 2 << 30;

/// The kind of package.
pub(super) static SOURCE: Source = Source {
    name: "disk",
    description: "a disk image and nothing else",
    open: |named| recognise(named).transpose(),
};

/// A machine of a disk image alone; none when the file is no image, or raw, which everything is.
fn recognise(named: &Named) -> Result<Option<Package>> {
    let probe = image::probe(named.disk.as_ref())
        .map_err(|source| Error::Read { file: named.name.clone(), source })?;
    let whole_archive = named.is_called(&["ova", "tgz"]) || named.name.ends_with(".tar.gz");
    if probe.gzip && whole_archive {
        return Err(Error::Compressed { path: named.path.clone(), compression: "gzip" });
    }
    match probe.format.name {
        "raw" if !probe.gzip => Ok(None),
        "zip" | "7z" | "xz" | "bzip2" | "zstd" | "lz4" => {
            Err(Error::Compressed { path: named.path.clone(), compression: probe.format.name })
        }
        _ if probe.gzip || probe.format.is_readable() => open(named).map(Some),
        _ => Err(Error::UnsupportedImage { path: named.path.clone(), format: probe.format.description }),
    }
}

/// The machine with the disk that the user named.
pub(super) fn open(named: &Named) -> Result<Package> {
    package(&named.path, &named.name, Arc::clone(&named.gate))
}

/// The machine with that disk and ordinary hardware.
pub(super) fn package(path: &Path, name: &str, gate: Arc<dyn Gate>) -> Result<Package> {
    let failed = |source| Error::Disk { disk: "disk1".to_owned(), source: Box::new(source) };
    let image = image::open(&gate, name).map_err(failed)?;
    let firmware = firmware(&image).map_err(|source| Error::Read { file: name.to_owned(), source })?;
    let machine = Machine {
        firmware,
        cpu: Cpu { sockets: 1, cores_per_socket: 2, threads_per_core: 1 },
        memory: MEMORY,
        disks: vec![disk(name, &image)],
        nics: vec![nic()],
        video: Some(Video::default()),
        ..Machine::default()
    };
    let why = "a disk says nothing of the machine around it: 2 processors, 2 GiB of memory and one network card are \
               assumed, and the firmware is told from its partition table";
    let mut package = Package {
        kind: SOURCE.name,
        machine,
        losses: vec![Loss::dropped(Severity::Warning, "hardware", why)],
        facts: Facts {
            path: path.to_path_buf(),
            files: vec![PackagedFile {
                name: name.to_owned(),
                size: gate.open(name).ok().map(|disk| disk.size()),
            }],
            ..Facts::default()
        },
        stored: Arc::clone(&gate),
        meant: gate,
        digests: None,
    };
    package.name_after(path);
    Ok(package)
}

fn disk(name: &str, image: &Image) -> Disk {
    Disk {
        id: "disk1".to_owned(),
        attachment: Attachment { bus: Bus::Scsi(ScsiModel::LsiLogic), controller: 0, unit: 0 },
        source: Some(name.to_owned()),
        // A raw one may be in a gzip stream, which only a probe sees through.
        format: Some(image.info().format.to_owned()).filter(|format| format != "raw"),
        capacity: Some(image.size()),
        boot_order: Some(1),
        ..Disk::default()
    }
}

fn nic() -> Nic {
    Nic { id: "nic1".to_owned(), model: NicModel::E1000, connected: true, ..Nic::default() }
}

/// The type of an EFI system partition (UEFI 2.10, table 5.7), as it lies on the disk.
const EFI_SYSTEM: [u8; 16] = guid(0xc12a_7328, 0xf81f, 0x11d2, 0xba4b_00a0_c93e_c93b);
/// The type of the partition into which GRUB puts itself to be started by a BIOS.
const BIOS_BOOT: [u8; 16] = guid(0x2168_6148, 0x6449, 0x6e6f, 0x744e_6565_6445_4649);

/// A GUID as it lies on a disk: the first three fields little-endian (UEFI 2.10, appendix A).
const fn guid(a: u32, b: u16, c: u16, d: u64) -> [u8; 16] {
    let (a, b, c, d) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes(), d.to_be_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// UEFI for a disk with a GUID partition table that holds an EFI system partition and no way for a BIOS to start.
fn firmware(disk: &dyn BlockRead) -> block::Result<Firmware> {
    // The header is sector 1, and 128 entries of 128 bytes follow as good as always (UEFI 2.10, section 5.3).
    let mut table = vec![0; 33 * 512];
    if disk.size() < 34 * 512 {
        return Ok(Firmware::Bios);
    }
    disk.read_at(&mut table, 512)?;
    if !table.starts_with(b"EFI PART") {
        return Ok(Firmware::Bios);
    }
    let has = |kind: [u8; 16]| table.chunks_exact(128).skip(4).any(|entry| entry.starts_with(&kind));
    let is_uefi = has(EFI_SYSTEM) && !has(BIOS_BOOT);
    Ok(if is_uefi { Firmware::Uefi(Uefi::default()) } else { Firmware::Bios })
}
