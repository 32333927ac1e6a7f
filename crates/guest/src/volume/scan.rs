//! Finding the volumes of a guest's disks.

use super::{Content, Origin, Volume, VolumeId, content, lvm, partition};
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
    /// A volume put together from several disks could not be read.
    #[error("the logical volumes could not be read")]
    Logical {
        /// What went wrong.
        #[source]
        source: block::Error,
    },
}

/// Finds every volume of a guest: whole disks without a partition table, partitions (MBR with logical ones, GPT),
/// and the visible logical volumes of LVM2, in that order, disk by disk.
///
/// A logical volume that cannot be put together is listed all the same; its content is named `LVM2_` and its
/// segment type (`LVM2_thin`, `LVM2_raid1`; `LVM2_partial` when a disk is missing), and reading its device says
/// why.
///
/// # Errors
/// When a disk cannot be read. Damaged tables and metadata are no error: they describe no volumes.
pub fn scan(disks: &[Arc<dyn BlockWrite>]) -> Result<Vec<Volume>, ScanError> {
    let mut volumes = Vec::new();
    for (disk, device) in (0u32..).zip(disks) {
        scan_disk(disk, device, &mut volumes)
            .map_err(|source| ScanError::Read { disk: disk.saturating_add(1), source })?;
    }
    scan_lvm(&mut volumes).map_err(|source| ScanError::Logical { source })?;
    Ok(volumes)
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
    let is_member = |volume: &&Volume| volume.content.as_ref().is_some_and(|c| c.kind == "LVM2_member");
    let members: Vec<_> = volumes.iter().filter(is_member).map(|volume| volume.device.clone()).collect();
    for logical in lvm::assemble(&members)? {
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
