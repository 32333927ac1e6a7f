//! What can be wrong with an image that opens all the same: [`Problem`].

use crate::check::{Finding, Severity};
use std::ops::Range;
use std::path::Path;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("the image is marked as dirty: whoever wrote it last did not come to its reference counts")]
    Dirty,
    #[error("an L1 table of {entries} entries lies outside the file, or overlaps others")]
    L1 { entries: u64 },
    #[error("the refcount table lies outside the file or at no cluster's start")]
    RefcountTable,
    #[error("refcount block {block} lies outside the file or at no cluster's start")]
    RefcountBlock { block: u64 },
    #[error("L2 table {table} lies outside the file or at no cluster's start")]
    L2 { table: u64 },
    #[error("cluster {cluster} of the disk lies outside the file or at no cluster's start")]
    Cluster { cluster: u64 },
    #[error("the {what} lie outside the file, or are not what they should be")]
    Region { what: &'static str },
    #[error("the {what} share their place with something else")]
    Overlap { what: &'static str },
    #[error("{} {} as used once, and used {} times", clusters(run), counted(run), count)]
    Copied { run: Range<u64>, count: u64 },
    #[error("{} {} as used more than once, and used once", clusters(run), counted(run))]
    NotCopied { run: Range<u64> },
    #[error("{} {} {stored} times, and used {used} times", clusters(run), counted(run))]
    Refcount { run: Range<u64>, stored: u64, used: u64 },
}

fn clusters(run: &Range<u64>) -> String {
    match run.end - run.start {
        1 => format!("cluster {} of the file", run.start),
        _ => format!("clusters {} to {} of the file", run.start, run.end - 1),
    }
}

fn counted(run: &Range<u64>) -> &'static str {
    if run.end - run.start == 1 { "is counted" } else { "are counted" }
}

impl Problem {
    /// How bad it is.
    pub(super) fn severity(&self) -> Severity {
        match self {
            // Counts that are too high keep clusters from being used; nothing else.
            Self::Dirty => Severity::Leak,
            Self::Refcount { stored, used, .. } if stored > used => Severity::Leak,
            _ => Severity::Damage,
        }
    }

    /// Whether new reference counts make it good.
    pub(super) fn is_about_counts(&self) -> bool {
        use Problem::{Copied, Dirty, NotCopied, Refcount, RefcountBlock, RefcountTable};
        matches!(
            self,
            Dirty | Copied { .. } | NotCopied { .. } | Refcount { .. } | RefcountBlock { .. } | RefcountTable
        )
    }

    /// What is said about it.
    pub(super) fn finding(&self, path: &Path, offset: Option<u64>, repaired: bool) -> Finding {
        let what = self.to_string();
        Finding { severity: self.severity(), path: path.to_path_buf(), offset, what, repaired }
    }

    /// This problem and `next` as one, when `next` says the same of the cluster behind.
    pub(super) fn joined(&self, next: &Self) -> Option<Self> {
        let mut joined = self.clone();
        match (&mut joined, next) {
            (Self::Refcount { run, stored, used }, Self::Refcount { run: next, stored: s, used: u })
                if run.end == next.start && (*stored, *used) == (*s, *u) =>
            {
                run.end = next.end;
            }
            _ => return None,
        }
        Some(joined)
    }
}
