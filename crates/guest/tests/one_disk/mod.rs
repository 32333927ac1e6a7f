//! One disk of three partitions, as guests in memory have it: `/boot`, the root, swap.

use block::{BlockWrite, MemoryDisk};
use guest::volume::{Content, Origin, Volume, VolumeId};
use std::sync::Arc;

pub(crate) const BOOT_UUID: &str = "0f0e0d0c-0b0a-0908-0706-050403020100";
pub(crate) const ROOT_UUID: &str = "5d0a1b7e-6f43-4c52-9a37-1f2e3d4c5b6a";
pub(crate) const SWAP_UUID: &str = "a3c9e1f0-2b4d-4e6f-8091-a2b3c4d5e6f7";

/// The volumes of the disk; what they hold is in a tree.
pub(crate) fn volumes() -> Vec<Volume> {
    let contents = [("ext4", BOOT_UUID, Some("boot")), ("ext4", ROOT_UUID, None), ("swap", SWAP_UUID, None)];
    (0u32..)
        .zip(contents)
        .map(|(index, (kind, uuid, label))| Volume {
            id: VolumeId(index),
            name: format!("disk1 partition {}", index + 1),
            origin: Origin::Partition {
                disk: 0,
                number: index + 1,
                uuid: Some(format!("1ab00d12-{:02x}", index + 1)),
                label: None,
                kind: "83".into(),
            },
            device: Arc::new(MemoryDisk::new(1 << 20)) as Arc<dyn BlockWrite>,
            content: Some(Content {
                kind: kind.into(),
                uuid: Some(uuid.into()),
                label: label.map(Into::into),
            }),
        })
        .collect()
}
