//! Exit codes, and the one place that prints an error.

use crate::progress::say;
use migrate::error::Error;
use std::process::ExitCode;

/// How the program ends. Wrong usage is `clap`'s to answer, with 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// The source was refused.
    Refused = 3,
    /// The rehearsal did not boot.
    NotBooted = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Prints an error with its causes, once, and the remedy on a line of its own.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    let migration = error.downcast_ref::<Error>();
    say(&format!("error: {}", chain(error)));
    if let Some(Error::Refused { objections, .. }) = migration {
        for objection in objections {
            say(&format!("  ✗ {objection}\n    → {}", objection.remedy));
        }
    } else if let Some(remedy) = migration.and_then(Error::remedy) {
        say(&format!("  → {remedy}"));
    }
    match migration {
        Some(error) if error.is_refusal() => Exit::Refused,
        _ => Exit::Failed,
    }
}

/// The error and its causes on one line, without those that repeat the one above them.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn a_cause_is_printed_once() {
        let error = anyhow!("no such file").context("no such file").context("cannot open it");
        assert_eq!(chain(&error), "cannot open it: no such file");
    }
}
