//! How much a rehearsal proves: [`Grade`].

use serde::{Deserialize, Serialize};
use std::fmt;

/// How much is known of a guest on a hypervisor's hardware; a greater grade proves more. Nothing is claimed above what
/// was seen.
///
/// Where QEMU has a hypervisor's very devices but the guest's instructions are emulated (TCG), the hypervisor itself did not
/// run, so the grade is [`BootedEquivalent`](Self::BootedEquivalent) at most: on KVM's own device models too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// It did not come up, or lacks a driver.
    Failed,
    /// Its files were looked at, and nothing was booted.
    Static,
    /// It came up on stand-ins for the hypervisor's devices, and was looked at as for `Static`.
    BootedFallback,
    /// It came up on the same devices, emulated.
    BootedEquivalent,
    /// It came up on the hypervisor itself.
    Booted,
}

/// What there is to know of a grade.
struct Row {
    grade: Grade,
    name: &'static str,
    meaning: &'static str,
}

/// All grades, the best first.
const ROWS: &[Row] = &[
    Row { grade: Grade::Booted, name: "booted", meaning: "the guest came up on the hypervisor itself" },
    Row {
        grade: Grade::BootedEquivalent,
        name: "booted-equivalent",
        meaning: "the guest came up on the same devices, emulated",
    },
    Row {
        grade: Grade::BootedFallback,
        name: "booted-fallback",
        meaning: "the guest came up on the hypervisor's legacy devices or on stand-ins, and the drivers of the others are \
                  where its kernel looks for them",
    },
    Row {
        grade: Grade::Static,
        name: "static",
        meaning: "nothing was booted, but the drivers are where the guest's kernel looks for them",
    },
    Row {
        grade: Grade::Failed,
        name: "failed",
        meaning: "the guest did not come up, or lacks a driver without which it cannot",
    },
];

impl Grade {
    /// All grades, the best first.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.grade)
    }

    /// Its name, as evidence has it: `booted-equivalent`.
    pub fn name(self) -> &'static str {
        self.row().map_or("", |row| row.name)
    }

    /// What it means, in one sentence.
    pub fn meaning(self) -> &'static str {
        self.row().map_or("", |row| row.meaning)
    }

    /// The grade of that name.
    pub fn named(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.grade)
    }

    /// Whether a guest was seen coming up.
    pub fn is_booted(self) -> bool {
        self >= Self::BootedFallback
    }

    fn row(self) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.grade == self)
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_in_order() {
        let grades: Vec<Grade> = Grade::all().collect();
        assert_eq!(grades.len(), 5);
        assert!(grades.is_sorted_by(|better, worse| better > worse));
        for grade in grades {
            assert_eq!(Grade::named(grade.name()), Some(grade));
            assert!(!grade.meaning().is_empty());
            assert_eq!(toml::Value::try_from(grade).unwrap().as_str(), Some(grade.name()));
        }
        assert!(!Grade::Static.is_booted() && Grade::BootedFallback.is_booted());
    }
}
