//! A volume group, read from its metadata.

use super::text::{self, Section, Value};
use std::collections::BTreeMap;

/// LVM2 counts in sectors of 512 bytes.
const SECTOR: u64 = 512;
const MAX_SEGMENTS: u64 = 65536;

/// A volume group.
pub(super) struct Group {
    pub(super) id: String,
    pub(super) name: String,
    /// Counts up with each change.
    pub(super) seqno: u64,
    /// Bytes in an extent; not zero.
    pub(super) extent_size: u64,
    /// Its physical volumes, by the name that segments use.
    pub(super) physical: BTreeMap<String, PhysicalVolume>,
    /// Its visible logical volumes.
    pub(super) volumes: Vec<LogicalVolume>,
}

/// A physical volume.
pub(super) struct PhysicalVolume {
    pub(super) id: String,
    /// Where its first extent starts, in bytes.
    pub(super) start: u64,
}

/// A logical volume.
pub(super) struct LogicalVolume {
    pub(super) name: String,
    /// How many extents it has.
    pub(super) extents: u64,
    pub(super) segments: Vec<Segment>,
}

/// A run of extents of a logical volume.
pub(super) struct Segment {
    pub(super) kind: String,
    pub(super) start: u64,
    pub(super) extents: u64,
    /// Bytes on one stripe before the next one's turn.
    pub(super) stripe_size: u64,
    /// Physical volumes by name, with the first extent on each.
    pub(super) stripes: Vec<(String, u64)>,
}

/// Reads a metadata text; `None` when it describes no volume group.
pub(super) fn parse(text: &str) -> Option<Group> {
    let root = text::parse(text)?;
    let (name, group) = root.sections.iter().find(|(_, section)| section.number("extent_size").is_some())?;
    let mut physical = BTreeMap::new();
    for (name, section) in sections(group, "physical_volumes") {
        let start = section.number("pe_start")?.checked_mul(SECTOR)?;
        physical.insert(name.clone(), PhysicalVolume { id: section.text("id")?.into(), start });
    }
    let mut volumes = Vec::new();
    for (name, section) in sections(group, "logical_volumes") {
        if section.list("status").contains(&Value::Text("VISIBLE".into())) {
            volumes.push(logical_volume(name, section)?);
        }
    }
    Some(Group {
        id: group.text("id")?.into(),
        name: name.clone(),
        seqno: group.number("seqno")?,
        extent_size: group.number("extent_size")?.checked_mul(SECTOR).filter(|&size| size > 0)?,
        physical,
        volumes,
    })
}

fn sections<'a>(group: &'a Section, name: &str) -> &'a [(String, Section)] {
    group.section(name).map_or(&[], |section| section.sections.as_slice())
}

fn logical_volume(name: &str, section: &Section) -> Option<LogicalVolume> {
    let count = section.number("segment_count")?.min(MAX_SEGMENTS);
    let mut segments = Vec::new();
    for number in 1..=count {
        segments.push(segment(section.section(&format!("segment{number}"))?)?);
    }
    segments.sort_by_key(|segment| segment.start);
    let extents = segments.iter().map(|segment| segment.start.saturating_add(segment.extents)).max()?;
    Some(LogicalVolume { name: name.into(), extents, segments })
}

fn segment(section: &Section) -> Option<Segment> {
    let stripes = section.list("stripes").chunks(2).map_while(|pair| match pair {
        [Value::Text(name), Value::Number(extent)] => Some((name.clone(), u64::try_from(*extent).ok()?)),
        _ => None,
    });
    Some(Segment {
        kind: section.text("type")?.into(),
        start: section.number("start_extent")?,
        extents: section.number("extent_count")?,
        stripe_size: section.number("stripe_size").unwrap_or(0).checked_mul(SECTOR)?,
        stripes: stripes.collect(),
    })
}
