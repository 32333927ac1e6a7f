//! How often each cluster of an image's file is used: [`Census`].

use std::collections::HashMap;
use std::ops::Range;

/// Clusters that are counted in one entry of the map: few, so that a file of lies costs little more than a true one.
const GROUP: u64 = 16;

/// Counts of the clusters that are used at all, at about five bytes each.
pub(super) struct Census {
    /// Bytes of a cluster.
    cluster: u64,
    groups: HashMap<u64, Group>,
}

#[derive(Clone, Copy, Default)]
struct Group {
    /// Up to [`Census::MANY`], which stands for all that is more.
    counts: [u16; GROUP as usize],
    /// Of which clusters are tables.
    tables: u16,
}

/// What uses a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A table, which shares its clusters with nothing.
    Table,
    /// The guest's data, which snapshots and compressed clusters share.
    Data,
}

impl Census {
    /// The largest count that is told from others.
    pub(super) const MANY: u64 = u16::MAX as u64;

    /// Counts of nothing yet, for clusters of so many bytes.
    pub(super) fn new(cluster: u64) -> Self {
        Self { cluster, groups: HashMap::new() }
    }

    /// Counts `times` more uses of the clusters that `bytes` of the file lie in. Answers with the number of the first
    /// that something else uses already where one of the two is a table.
    pub(super) fn add(&mut self, bytes: Range<u64>, times: u64, by: Use) -> Option<u64> {
        let mut clash = None;
        for cluster in bytes.start / self.cluster..bytes.end.div_ceil(self.cluster) {
            let group = self.groups.entry(cluster / GROUP).or_default();
            let bit = 1 << (cluster % GROUP);
            let Some(count) = group.counts.get_mut((cluster % GROUP) as usize) else { continue };
            if *count > 0 && (by == Use::Table || group.tables & bit != 0) {
                clash = clash.or(Some(cluster));
            }
            *count = u64::from(*count).saturating_add(times).min(Self::MANY) as u16;
            if by == Use::Table {
                group.tables |= bit;
            }
        }
        clash
    }

    /// How often a cluster is used.
    pub(super) fn count(&self, cluster: u64) -> u64 {
        let counts = self.groups.get(&(cluster / GROUP)).map(|group| &group.counts);
        counts.and_then(|counts| counts.get((cluster % GROUP) as usize)).copied().unwrap_or(0).into()
    }

    /// The clusters that are used, in no order, with how often.
    pub(super) fn used(&self) -> impl Iterator<Item = (u64, u64)> {
        self.groups.iter().flat_map(|(group, counts)| {
            let counted = (group * GROUP..).zip(counts.counts);
            counted.filter(|(_, count)| *count > 0).map(|(cluster, count)| (cluster, count.into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_clashes() {
        let mut census = Census::new(512);
        assert_eq!(census.add(0..512, 1, Use::Table), None);
        assert_eq!(census.add(600..2000, 2, Use::Data), None);
        assert_eq!(census.add(1024..1025, 1, Use::Data), None);
        assert_eq!((census.count(0), census.count(1), census.count(2), census.count(3)), (1, 2, 3, 2));
        assert_eq!(census.count(4), 0);
        assert_eq!(census.add(0..1, 1, Use::Data), Some(0));
        assert_eq!(census.add(1024..4096, 1, Use::Table), Some(2));
        assert_eq!(census.add(8192..8193, u64::MAX, Use::Data), None);
        assert_eq!(census.count(16), Census::MANY);
        assert_eq!(census.used().count(), 9);
    }
}
