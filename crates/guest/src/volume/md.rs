//! Linux software RAID 1, read without a device mapper: superblocks, and the mirror of what is in sync.
//!
//! The layouts are those of Linux' `include/uapi/linux/raid/md_p.h`.

mod mirror;
mod superblock;

use super::bytes::format_uuid;
use block::{BlockWrite, Result, Window};
use mirror::Mirror;
use std::collections::BTreeMap;
use std::sync::Arc;
use superblock::{Role, Superblock};

/// The level of a mirror.
const RAID_1: i32 = 1;

/// A disk or partition, with what its superblock says.
type Member<'a> = (Superblock, &'a Arc<dyn BlockWrite>);

/// A mirror that was put together.
pub(crate) struct Array {
    /// The array's UUID.
    pub(crate) uuid: String,
    /// Its name, with the host's before a colon where it has one.
    pub(crate) name: Option<String>,
    /// How many members it should have.
    pub(crate) wanted: u32,
    /// How many are in sync, and among the disks.
    pub(crate) found: u32,
    /// How many are among the disks and out of date, spare or still being filled.
    pub(crate) left_out: u32,
    /// The mirror.
    pub(crate) device: Arc<dyn BlockWrite>,
}

/// The mirrors on `members`, the disks and partitions that carry a superblock. What is no mirror, is being reshaped, or has
/// no member in sync is passed over.
pub(crate) fn assemble(members: &[Arc<dyn BlockWrite>]) -> Result<Vec<Array>> {
    let mut arrays: BTreeMap<[u8; 16], Vec<Member<'_>>> = BTreeMap::new();
    for member in members {
        if let Some(superblock) = superblock::read(member.as_ref())? {
            arrays.entry(superblock.set).or_default().push((superblock, member));
        }
    }
    let mut assembled = Vec::new();
    for members in arrays.values() {
        assembled.extend(array(members)?);
    }
    Ok(assembled)
}

fn array(members: &[Member<'_>]) -> Result<Option<Array>> {
    // Whoever saw the last event knows who was in the array then.
    let Some((newest, _)) = members.iter().max_by_key(|(superblock, _)| superblock.events) else {
        return Ok(None);
    };
    if newest.level != RAID_1 || newest.reshaping {
        return Ok(None);
    }
    let mut windows: BTreeMap<u32, Arc<dyn BlockWrite>> = BTreeMap::new();
    for (superblock, device) in members {
        let Some(Role::Active(slot)) = newest.roles.get(superblock.number as usize).copied() else {
            continue;
        };
        let same = superblock.size == newest.size && superblock.level == newest.level;
        if !same
            || !superblock.in_sync
            || !is_recent(superblock.events, newest.events)
            || slot >= newest.wanted
        {
            continue;
        }
        let Some(end) = superblock.start.checked_add(newest.size) else { continue };
        // A superblock may say what its device is too small for.
        if let Ok(window) = Window::new(Arc::clone(device), superblock.start..end) {
            windows.entry(slot).or_insert_with(|| Arc::new(window));
        }
    }
    let found = u32::try_from(windows.len()).unwrap_or(u32::MAX);
    let left_out = u32::try_from(members.len()).unwrap_or(u32::MAX).saturating_sub(found);
    Ok(Mirror::new(windows.into_values().collect()).map(|mirror| Array {
        uuid: format_uuid(newest.set),
        name: newest.name.clone(),
        wanted: newest.wanted,
        found,
        left_out,
        device: Arc::new(mirror),
    }))
}

/// A member may have missed the last event, when the machine stopped between two writes of superblocks: Linux takes it.
fn is_recent(events: u64, newest: u64) -> bool {
    events.saturating_add(1) >= newest
}
