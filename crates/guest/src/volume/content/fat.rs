//! FAT12, FAT16 and FAT32 (Microsoft, "FAT: General Overview of On-Disk Format", 1.03).

use super::{Probe, content};
use crate::volume::Content;
use crate::volume::bytes::{le16, le32, text};
use block::Result;

/// How many directory entries are searched for a label, at most.
const MAX_ENTRIES: u64 = 65536;
/// How many clusters of a FAT32 root directory are searched, at most.
const MAX_CLUSTERS: usize = 128;
const ENTRY: usize = 32;

/// The fields of the boot sector that locate the root directory.
struct Geometry {
    cluster: u64,
    /// Where the first FAT starts, in bytes.
    fat: u64,
    /// Where the root directory (FAT12/16) or the data area (FAT32) starts, in bytes.
    root: u64,
    root_entries: u64,
    /// The first cluster of FAT32's root directory.
    root_cluster: Option<u32>,
}

pub(super) fn vfat(probe: &Probe<'_>) -> Result<Option<Content>> {
    let Some(geometry) = geometry(probe.head()) else { return Ok(None) };
    let serial = if geometry.root_cluster.is_some() { 0x43 } else { 0x27 };
    let uuid = le32(probe.head(), serial)
        .filter(|&serial| serial != 0)
        .map(|serial| format!("{:04X}-{:04X}", serial >> 16, serial & 0xFFFF));
    // The boot sector has a label as well, but only the one in the root directory is kept up to date.
    let label = root_label(probe, &geometry)?;
    Ok(Some(content("vfat", uuid, label)))
}

fn geometry(head: &[u8]) -> Option<Geometry> {
    let sector = u64::from(le16(head, 0x0B)?);
    let per_cluster = u64::from(*head.get(0x0D)?);
    let reserved = u64::from(le16(head, 0x0E)?);
    let fats = u64::from(*head.get(0x10)?);
    let media = *head.get(0x15)?;
    let looks_right = le16(head, 510)? == 0xAA55
        && (512..=4096).contains(&sector)
        && sector.is_power_of_two()
        && per_cluster.is_power_of_two()
        && reserved != 0
        && (1..=4).contains(&fats)
        && (media == 0xF0 || media >= 0xF8);
    if !looks_right {
        return None;
    }
    let root_entries = u64::from(le16(head, 0x11)?);
    let (fat_sectors, root_cluster) = match le16(head, 0x16)? {
        0 => (u64::from(le32(head, 0x24)?), Some(le32(head, 0x2C)?)),
        sectors => (u64::from(sectors), None),
    };
    let total = match le16(head, 0x13)? {
        0 => u64::from(le32(head, 0x20)?),
        sectors => u64::from(sectors),
    };
    if fat_sectors == 0 || total == 0 || (root_cluster.is_none() && root_entries == 0) {
        return None;
    }
    Some(Geometry {
        cluster: per_cluster * sector,
        fat: reserved * sector,
        root: (reserved + fats * fat_sectors) * sector,
        root_entries,
        root_cluster,
    })
}

/// The volume label in the root directory.
fn root_label(probe: &Probe<'_>, geometry: &Geometry) -> Result<Option<String>> {
    let Some(first) = geometry.root_cluster else {
        let length = geometry.root_entries.min(MAX_ENTRIES) * ENTRY as u64;
        return Ok(label_in(probe, geometry.root, length)?.flatten());
    };
    let mut cluster = first;
    for _ in 0..MAX_CLUSTERS {
        if !(2..0x0FFF_FFF0).contains(&cluster) {
            break;
        }
        let start = geometry.root + (u64::from(cluster) - 2) * geometry.cluster;
        if let Some(found) = label_in(probe, start, geometry.cluster)? {
            return Ok(found);
        }
        let Some(next) = probe.at::<4>(geometry.fat + u64::from(cluster) * 4)? else { break };
        cluster = u32::from_le_bytes(next) & 0x0FFF_FFFF;
    }
    Ok(None)
}

/// `None` when the directory goes on, `Some(None)` when it ends here without a label.
fn label_in(probe: &Probe<'_>, start: u64, length: u64) -> Result<Option<Option<String>>> {
    const VOLUME_LABEL: u8 = 0x08;
    const TYPE_BITS: u8 = 0x3F;
    for index in 0..length / ENTRY as u64 {
        let Some(entry) = probe.at::<ENTRY>(start + index * ENTRY as u64)? else { return Ok(Some(None)) };
        match entry {
            [0, ..] => return Ok(Some(None)),
            [0xE5, ..] => {}
            _ if entry[11] & TYPE_BITS == VOLUME_LABEL => {
                let mut name = entry;
                if name[0] == 0x05 {
                    name[0] = 0xE5;
                }
                return Ok(Some(text(&name, 0, 11)));
            }
            _ => {}
        }
    }
    Ok(None)
}
