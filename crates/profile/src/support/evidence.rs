//! What was seen here, beside what the vendors say.

use super::system::System;
use crate::Grade;
use serde::{Deserialize, Serialize};

/// A row of `support/evidence/index.json`: a guest that was rehearsed, and how that ended. Whoever certifies writes it from
/// the signed evidence beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The guest, as on the command line: `debian-12`.
    pub guest: String,
    /// The profile: `kvm`.
    pub profile: String,
    /// The release of the profile's product, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The grade of the evidence.
    pub grade: Grade,
    /// When, in UTC: `2026-11-23T06:00:00Z`, or the day alone.
    pub when: String,
    /// The signed evidence's file, in the index's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl Seen {
    /// Whether it is about this guest: of the same version, as far as both versions go.
    pub(super) fn is_about(&self, guest: &System, parse: impl Fn(&str) -> Option<System>) -> bool {
        parse(&self.guest).is_some_and(|seen| seen.id == guest.id && seen.may_be(guest))
    }
}
