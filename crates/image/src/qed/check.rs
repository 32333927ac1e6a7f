//! Looking for damage: clusters outside of the file, used twice, or used by nothing.

use super::header::Header;
use super::tables::Tables;
use crate::bytes::Bytes;
use crate::check::{Check, Finding, Severity};
use crate::error::Result;
use crate::occupancy::{Claim, Occupancy};
use crate::open::Opening;
use crate::source::Source;
use crate::table::TwoLevels;

/// Adds what is wrong with the image.
pub(super) fn inspect(opening: &Opening<'_>, check: &mut Check) -> Result<()> {
    let source = &opening.source;
    let header = Header::read(source)?;
    let clusters = source.size().div_ceil(header.cluster);
    let mut survey = Survey { source, cluster: header.cluster, occupancy: Occupancy::new(clusters), check };
    if header.need_check {
        survey.damage(16, "it was not closed by whoever wrote it last".to_owned());
    }
    survey.claim(0, header.header_clusters.min(clusters), "the header");
    survey.claim(header.l1_offset, header.table_clusters, "the L1 table");
    let tables = Tables::new(source.clone(), header.clone());
    let used = header.size.div_ceil(header.cluster);
    for index in 0..used.div_ceil(header.entries()) {
        let table = match tables.table(index) {
            Ok(None) => continue,
            Ok(Some(table)) => table,
            Err(error) => {
                survey.damage(header.l1_offset + index * 8, error.to_string());
                continue;
            }
        };
        // One that was seen before would be gone through again and again.
        if !survey.claim(table, header.table_clusters, &format!("L2 table {index}")) {
            continue;
        }
        for cluster in index * header.entries()..((index + 1) * header.entries()).min(used) {
            if let Some(offset) = tables.data(table, cluster)? {
                survey.claim(offset, 1, &format!("cluster {cluster}"));
            }
        }
    }
    survey.leaks();
    Ok(())
}

struct Survey<'a> {
    source: &'a Source,
    cluster: u64,
    occupancy: Occupancy,
    check: &'a mut Check,
}

impl Survey<'_> {
    /// Takes note that `what` uses clusters at byte `offset`; answers whether it is alone there.
    fn claim(&mut self, offset: u64, clusters: u64, what: &str) -> bool {
        if !offset.is_multiple_of(self.cluster) {
            self.damage(offset, format!("{what} lies at no cluster's start"));
            return false;
        }
        let first = offset / self.cluster;
        for cluster in first..first + clusters {
            match self.occupancy.claim(cluster) {
                Claim::First => {}
                Claim::Again => {
                    self.damage(offset, format!("{what} lies where something else does"));
                    return false;
                }
                Claim::Outside => {
                    self.damage(offset, format!("{what} lies outside the file"));
                    return false;
                }
            }
        }
        true
    }

    fn leaks(&mut self) {
        for range in self.occupancy.unused() {
            let what = format!("{} clusters are used by nothing", range.end - range.start);
            let (path, offset) = (self.source.path.clone(), Some(range.start * self.cluster));
            self.check.add(Finding { severity: Severity::Leak, path, offset, what, repaired: false });
        }
    }

    fn damage(&mut self, offset: u64, what: String) {
        let (path, offset) = (self.source.path.clone(), Some(offset));
        self.check.add(Finding { severity: Severity::Damage, path, offset, what, repaired: false });
    }
}
