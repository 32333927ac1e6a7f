//! LVM2, read without a device mapper: labels, metadata, and linear or striped logical volumes as disks.
//!
//! The layouts are those of LVM2's `lib/format_text/layout.h` and `lib/label/label.h`.

mod label;
mod metadata;
mod text;

use super::mapped::{Mapped, Segment, Unassembled, Unsupported};
use block::{BlockRead, BlockWrite, Result};
use metadata::{Group, LogicalVolume};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A logical volume, put together or not.
pub(crate) struct Logical {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) device: Arc<dyn BlockWrite>,
    /// The segment type or the trouble that keeps it from being read, for the volume's content.
    pub(crate) unsupported: Option<String>,
}

/// Why a logical volume could not be put together.
struct Refusal {
    /// In one word: a segment type, or `partial`.
    kind: String,
    reason: String,
}

/// The logical volumes on `members`, the disks and partitions that carry an LVM2 label. Damaged labels and metadata
/// are passed over: another member usually has a sound copy.
pub(crate) fn assemble(members: &[Arc<dyn BlockWrite>]) -> Result<Vec<Logical>> {
    let mut physical: BTreeMap<String, Arc<dyn BlockWrite>> = BTreeMap::new();
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for member in members {
        let Some(label) = label::read_disk(member.as_ref())? else { continue };
        for area in &label.metadata_areas {
            let Some(text) = label::metadata_text(member.as_ref(), area)? else { continue };
            let Some(group) = metadata::parse(&text) else { continue };
            let newer = groups.get(&group.id).is_none_or(|known| known.seqno < group.seqno);
            if newer {
                groups.insert(group.id.clone(), group);
            }
        }
        physical.entry(label.id).or_insert_with(|| member.clone());
    }
    let mut volumes = Vec::new();
    for group in groups.values() {
        volumes.extend(group.volumes.iter().map(|volume| logical(group, volume, &physical)));
    }
    volumes.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
    Ok(volumes)
}

fn logical(
    group: &Group,
    volume: &LogicalVolume,
    physical: &BTreeMap<String, Arc<dyn BlockWrite>>,
) -> Logical {
    let (device, unsupported): (Arc<dyn BlockWrite>, _) = match map(group, volume, physical) {
        Ok(mapped) => (Arc::new(mapped), None),
        Err(refusal) => {
            let size = volume.extents.saturating_mul(group.extent_size);
            let name = format!("logical volume {}/{}", group.name, volume.name);
            let reason = Unsupported { volume: name, reason: refusal.reason };
            (Arc::new(Unassembled { size, reason }), Some(refusal.kind))
        }
    };
    Logical { group: group.name.clone(), name: volume.name.clone(), device, unsupported }
}

fn map(
    group: &Group,
    volume: &LogicalVolume,
    physical: &BTreeMap<String, Arc<dyn BlockWrite>>,
) -> std::result::Result<Mapped, Refusal> {
    let damaged = |reason: &str| Refusal { kind: "damaged".into(), reason: reason.into() };
    let mut segments = Vec::with_capacity(volume.segments.len());
    for segment in &volume.segments {
        if !matches!(segment.kind.as_str(), "striped" | "linear") {
            let reason = format!("segments of type {:?} need the guest's own device mapper", segment.kind);
            return Err(Refusal { kind: segment.kind.clone(), reason });
        }
        let mut stripes = Vec::with_capacity(segment.stripes.len());
        for (name, extent) in &segment.stripes {
            let pv = group.physical.get(name).ok_or_else(|| damaged("it lies on a volume without a name"))?;
            let device = physical.get(&pv.id).ok_or_else(|| Refusal {
                kind: "partial".into(),
                reason: format!("the physical volume {} is not among the disks", pv.id),
            })?;
            let start = extent.checked_mul(group.extent_size).and_then(|bytes| bytes.checked_add(pv.start));
            stripes.push((device.clone(), start.ok_or_else(|| damaged("a segment lies out of bounds"))?));
        }
        let start = segment.start.checked_mul(group.extent_size);
        let end =
            segment.start.checked_add(segment.extents).and_then(|end| end.checked_mul(group.extent_size));
        let (Some(start), Some(end)) = (start, end) else {
            return Err(damaged("a segment lies out of bounds"));
        };
        let chunk = if stripes.len() == 1 { group.extent_size } else { segment.stripe_size };
        segments.push(Segment { range: start..end, chunk, stripes });
    }
    Mapped::new(segments).ok_or_else(|| damaged("its segments do not fit together or lie outside the disks"))
}

/// Reads `length` bytes of a disk, `None` where they do not lie within it.
fn read(disk: &dyn BlockRead, offset: u64, length: u64) -> Result<Option<Vec<u8>>> {
    if offset.checked_add(length).is_none_or(|end| end > disk.size()) {
        return Ok(None);
    }
    let mut bytes = vec![0; length as usize];
    disk.read_at(&mut bytes, offset)?;
    Ok(Some(bytes))
}
