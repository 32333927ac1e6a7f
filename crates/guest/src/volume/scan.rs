//! Finding the volumes of a guest's disks.

use super::luks::Decrypted;
use super::{Content, Origin, Volume, VolumeId, content, lvm, md, partition};
use ::luks::{Reason, Secret};
use block::{BlockWrite, Window};
use std::sync::Arc;

/// Why the volumes of a disk could not be found.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A disk could not be read.
    #[error("disk {disk} could not be read for its volumes")]
    Read {
        /// Which disk, from 1.
        disk: u32,
        /// What went wrong.
        #[source]
        source: block::Error,
    },
    /// None of the encrypted volumes could be unlocked with what was given.
    #[error("{volume} cannot be unlocked")]
    Locked {
        /// The first of them.
        volume: String,
        /// Why not.
        #[source]
        source: Reason,
    },
    /// A volume put together from several disks could not be read.
    #[error("the volumes that are made of others could not be read")]
    Logical {
        /// What went wrong.
        #[source]
        source: block::Error,
    },
}

/// Finds every volume of a guest: whole disks without a partition table, partitions (MBR with logical ones, GPT),
/// mirrors of Linux' software
/// RAID, and the visible logical volumes of LVM2, in that order, disk by disk.
///
/// A logical volume that cannot be put together is listed all the same; its content is named `LVM2_` and its
/// segment type (`LVM2_thin`, `LVM2_raid1`; `LVM2_partial` when a disk is missing), and reading its device says
/// why.
///
/// # Errors
/// When a disk cannot be read. Damaged tables and metadata are no error: they describe no volumes.
pub fn scan(disks: &[Arc<dyn BlockWrite>]) -> Result<Vec<Volume>, ScanError> {
    scan_unlocking(disks, &[]).map(|scan| scan.volumes)
}

/// What was found on a guest's disks.
#[derive(Default)]
pub struct Scan {
    /// The volumes.
    pub volumes: Vec<Volume>,
    /// What people should know of them: a mirror without one of its members, a volume that stays locked.
    pub notes: Vec<String>,
}

/// Finds every volume of a guest as [`scan`] does, and what LUKS volumes hold that one of `secrets` unlocks. Mirrors are put
/// together before volumes are unlocked, and those before LVM2 is read; a logical volume may be encrypted too.
///
/// # Errors
/// As [`scan`]; and [`ScanError::Locked`] when there are secrets and encrypted volumes, and nothing was unlocked.
pub fn scan_unlocking(disks: &[Arc<dyn BlockWrite>], secrets: &[Secret]) -> Result<Scan, ScanError> {
    let mut scan = Scan::default();
    for (disk, device) in (0u32..).zip(disks) {
        scan_disk(disk, device, &mut scan.volumes)
            .map_err(|source| ScanError::Read { disk: disk.saturating_add(1), source })?;
    }
    let logical = |source| ScanError::Logical { source };
    let mut locked = Vec::new();
    scan_raid(&mut scan).map_err(logical)?;
    unlock(&mut scan, 0, secrets, &mut locked).map_err(logical)?;
    let before = scan.volumes.len();
    scan_lvm(&mut scan.volumes).map_err(logical)?;
    unlock(&mut scan, before, secrets, &mut locked).map_err(logical)?;
    let opened = scan.volumes.iter().any(|volume| matches!(volume.origin, Origin::Unlocked { .. }));
    match locked.into_iter().next() {
        Some((volume, source)) if !opened => Err(ScanError::Locked { volume, source }),
        _ => Ok(scan),
    }
}

impl ScanError {
    /// What the administrator can do, where that is known.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Locked { source: Reason::Secret, .. } => {
                Some("give the right passphrase (--passphrase-file) or key file (--key-file)")
            }
            Self::Locked { .. } => Some("decrypt it in the guest, or convert with --disks-only"),
            _ => None,
        }
    }
}

fn scan_raid(scan: &mut Scan) -> block::Result<()> {
    for array in md::assemble(&holding(&scan.volumes, "linux_raid_member"))? {
        let content = content::probe(array.device.as_ref())?;
        let name = format!("RAID {}", array.name.as_deref().unwrap_or(&array.uuid));
        if array.found < array.wanted || array.left_out > 0 {
            scan.notes.push(format!(
                "{name}: {} of {} members are in sync; what is out of date or spare is not written, and has to be added \
                 again in the guest as if it were new (mdadm --zero-superblock, then --add): a write-intent bitmap \
                 knows nothing of a conversion's changes",
                array.found, array.wanted
            ));
        }
        let origin = Origin::Raid { uuid: array.uuid, name: array.name };
        push(&mut scan.volumes, name, origin, array.device, content);
    }
    Ok(())
}

/// Unlocks the encrypted volumes from the one of that number on. What stays locked is noted, with its reason.
fn unlock(
    scan: &mut Scan,
    from: usize,
    secrets: &[Secret],
    locked: &mut Vec<(String, Reason)>,
) -> block::Result<()> {
    let is_luks = |volume: &&Volume| volume.content.as_ref().is_some_and(|c| c.kind == "crypto_LUKS");
    let containers: Vec<Volume> = scan.volumes.iter().skip(from).filter(is_luks).cloned().collect();
    for container in containers.iter().filter(|_| !secrets.is_empty()) {
        match Decrypted::open(&container.device, secrets) {
            Ok(decrypted) => {
                let device: Arc<dyn BlockWrite> = Arc::new(decrypted);
                let content = content::probe(device.as_ref())?;
                let uuid = container.content.as_ref().and_then(|content| content.uuid.clone());
                let origin = Origin::Unlocked { container: container.id, uuid };
                push(&mut scan.volumes, format!("{}, unlocked", container.name), origin, device, content);
            }
            Err(::luks::Error::Read(error)) => return Err(error),
            Err(::luks::Error::Refused(reason)) => {
                scan.notes.push(format!("{} stays locked: {reason}", container.name));
                locked.push((container.name.clone(), reason));
            }
        }
    }
    Ok(())
}

/// The volumes with that content.
fn holding(volumes: &[Volume], kind: &str) -> Vec<Arc<dyn BlockWrite>> {
    let holds = |volume: &&Volume| volume.content.as_ref().is_some_and(|content| content.kind == kind);
    volumes.iter().filter(holds).map(|volume| volume.device.clone()).collect()
}

fn scan_disk(disk: u32, device: &Arc<dyn BlockWrite>, volumes: &mut Vec<Volume>) -> block::Result<()> {
    let Some(partitions) = partition::read(device.as_ref())? else {
        let content = content::probe(device.as_ref())?;
        push(volumes, format!("disk{}", disk + 1), Origin::Disk { disk }, device.clone(), content);
        return Ok(());
    };
    for partition in partitions {
        let window: Arc<dyn BlockWrite> = Arc::new(Window::new(device.clone(), partition.range)?);
        let content = content::probe(window.as_ref())?;
        let origin = Origin::Partition {
            disk,
            number: partition.number,
            uuid: partition.uuid,
            label: partition.label,
            kind: partition.kind,
        };
        push(volumes, format!("disk{} partition {}", disk + 1, partition.number), origin, window, content);
    }
    Ok(())
}

fn scan_lvm(volumes: &mut Vec<Volume>) -> block::Result<()> {
    for logical in lvm::assemble(&holding(volumes, "LVM2_member"))? {
        let content = match &logical.unsupported {
            Some(kind) => Some(Content { kind: format!("LVM2_{kind}"), uuid: None, label: None }),
            None => content::probe(logical.device.as_ref())?,
        };
        let name = format!("{}/{}", logical.group, logical.name);
        let origin = Origin::Logical { group: logical.group, volume: logical.name };
        push(volumes, name, origin, logical.device, content);
    }
    Ok(())
}

fn push(
    volumes: &mut Vec<Volume>,
    name: String,
    origin: Origin,
    device: Arc<dyn BlockWrite>,
    content: Option<Content>,
) {
    let id = VolumeId(u32::try_from(volumes.len()).unwrap_or(u32::MAX));
    volumes.push(Volume { id, name, origin, device, content });
}
