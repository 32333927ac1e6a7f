//! Volumes: what a guest would mount, found in its disks.

mod bytes;
mod content;
mod gpt;
mod luks;
mod lvm;
mod mapped;
mod mbr;
mod md;
mod partition;
mod scan;

pub use ::luks::Secret;
pub use content::{needs_recovery, probe};
pub use scan::{Scan, ScanError, scan, scan_unlocking};

use block::BlockWrite;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A volume's place in the list that a scan made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VolumeId(pub u32);

/// A filesystem, or something else that a guest can name: a whole disk, a partition, a logical volume.
#[derive(Clone)]
pub struct Volume {
    /// Its place in the list.
    pub id: VolumeId,
    /// A name for people: `disk1`, `disk1 partition 2`, `vg0/root`.
    pub name: String,
    /// How the guest may name it, besides its UUID and label: partition number, LVM names.
    pub origin: Origin,
    /// The volume as a disk of its own: a window over the disks that it lies on.
    pub device: Arc<dyn BlockWrite>,
    /// What it holds; `None` when it is empty or unknown.
    pub content: Option<Content>,
}

/// Where a volume comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A whole disk without a partition table; disks count from 0.
    Disk {
        /// Which disk.
        disk: u32,
    },
    /// A partition.
    Partition {
        /// Which disk.
        disk: u32,
        /// The number that the guest's kernel gives it, from 1.
        number: u32,
        /// The partition's own UUID: of GPT, or made of the MBR's signature and the number as Linux does.
        uuid: Option<String>,
        /// GPT's partition name.
        label: Option<String>,
        /// The type: GPT's type UUID, or the MBR's type byte in hexadecimal.
        kind: String,
    },
    /// An LVM2 logical volume.
    Logical {
        /// The volume group.
        group: String,
        /// The logical volume.
        volume: String,
    },
    /// What a LUKS volume holds.
    Unlocked {
        /// The encrypted volume.
        container: VolumeId,
        /// The encrypted volume's UUID.
        uuid: Option<String>,
    },
    /// A mirror of Linux' software RAID.
    Raid {
        /// The array's UUID.
        uuid: String,
        /// Its name, with the host's before a colon where it has one: `0`, `web:root`.
        name: Option<String>,
    },
}

/// What a volume holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The type as `blkid` names it: `ext4`, `xfs`, `btrfs`, `vfat`, `ntfs`, `swap`, `LVM2_member`, `crypto_LUKS`, …;
    /// `swsuspend` is swap with a suspended system in it
    pub kind: String,
    /// The filesystem's UUID, in the form in which `/etc/fstab` writes it.
    pub uuid: Option<String>,
    /// Its label.
    pub label: Option<String>,
}
