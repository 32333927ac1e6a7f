//! What a volume holds, by its superblock, named as `blkid` of util-linux names it.
//!
//! Every probe reads a few fixed places and believes nothing: lengths and positions found on the disk are checked
//! against it, and chains are followed for a bounded number of steps.

mod fat;
mod filesystems;
mod members;

pub(crate) use members::format_lvm_id;

use super::Content;
use block::{BlockRead, Result};

/// The first bytes of a volume, which hold nearly every superblock.
const HEAD: u64 = 72 * 1024;

/// A volume that is being probed: its head is read once.
pub(crate) struct Probe<'a> {
    device: &'a dyn BlockRead,
    head: Vec<u8>,
}

type Prober = fn(&Probe<'_>) -> Result<Option<Content>>;

/// In this order: containers before what may lie inside them, strong signatures before weak ones.
const PROBERS: &[Prober] = &[
    members::raid,
    members::lvm,
    members::luks,
    members::bitlocker,
    filesystems::swap,
    filesystems::xfs,
    filesystems::ext,
    filesystems::btrfs,
    filesystems::ntfs,
    fat::vfat,
    filesystems::exfat,
    filesystems::iso9660,
];

/// Says what `device` holds; `None` when it is empty or nothing that is known.
///
/// # Errors
/// When the device cannot be read.
pub fn probe(device: &dyn BlockRead) -> Result<Option<Content>> {
    let probe = Probe::new(device)?;
    for prober in PROBERS {
        if let Some(content) = prober(&probe)? {
            return Ok(Some(content));
        }
    }
    Ok(None)
}

/// Whether the device starts with the boot sector of a FAT, exFAT or NTFS filesystem, whose code may look like a
/// partition table.
pub(crate) fn is_boot_sector(device: &dyn BlockRead) -> Result<bool> {
    let probe = Probe::new(device)?;
    Ok(fat::vfat(&probe)?.is_some()
        || filesystems::ntfs(&probe)?.is_some()
        || filesystems::exfat(&probe)?.is_some())
}

/// Whether an ext3 or ext4 filesystem was not unmounted, so that its journal has to be replayed.
///
/// # Errors
/// When the device cannot be read.
pub fn needs_recovery(device: &dyn BlockRead) -> Result<bool> {
    Ok(filesystems::ext_needs_recovery(&Probe::new(device)?))
}

impl<'a> Probe<'a> {
    fn new(device: &'a dyn BlockRead) -> Result<Self> {
        let length = device.size().min(HEAD);
        let mut head = vec![0; length as usize];
        device.read_at(&mut head, 0)?;
        Ok(Self { device, head })
    }

    /// The volume's size in bytes.
    fn size(&self) -> u64 {
        self.device.size()
    }

    /// The head, for fields at small offsets.
    fn head(&self) -> &[u8] {
        &self.head
    }

    /// `N` bytes from anywhere; `None` past the end.
    fn at<const N: usize>(&self, offset: u64) -> Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        match offset.checked_add(N as u64) {
            Some(end) if end <= self.size() => {
                self.device.read_at(&mut bytes, offset)?;
                Ok(Some(bytes))
            }
            _ => Ok(None),
        }
    }
}

/// A content of `kind`.
fn content(kind: &str, uuid: Option<String>, label: Option<String>) -> Content {
    Content { kind: kind.into(), uuid, label }
}
