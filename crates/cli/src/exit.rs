//! Exit codes, and the one place that prints an error.

use crate::output::clean;
use crate::progress::say;
use image::ErrorKind;
use machine::Objection;
use migrate::error::Error;
use std::process::ExitCode;

/// How the program ends. Most wrong usage is `clap`'s to answer, with 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// Wrong usage; and, where 1 is an answer (`disk compare`), whatever failed.
    Usage = 2,
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

/// What was asked for makes no sense, which shows only behind the command line's syntax.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Prints an error with its causes, once, and the remedy on a line of its own.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    say(&format!("error: {}", clean(&chain(error))));
    if let Some(migration) = error.downcast_ref::<Error>() {
        return report_migration(migration);
    }
    if error.is::<Usage>() {
        return Exit::Usage;
    }
    error.downcast_ref().map_or(Exit::Failed, report_image)
}

fn report_migration(error: &Error) -> Exit {
    if let Error::Refused { objections, .. } = error {
        for objection in objections {
            say_objection(objection);
        }
    } else if let Some(remedy) = error.remedy() {
        say(&format!("  → {remedy}"));
    }
    if error.is_refusal() { Exit::Refused } else { Exit::Failed }
}

/// Prints an objection, and what is to be done about it.
pub(crate) fn say_objection(objection: &Objection) {
    say(&format!("  ✗ {}\n    → {}", clean(&objection.to_string()), clean(&objection.remedy)));
}

/// What an image's error comes to. A refused image always has a remedy, though it may be the general one.
fn report_image(error: &image::Error) -> Exit {
    let cause = beneath(error);
    let exit = match (cause, cause.kind()) {
        (image::Error::Option { .. }, _) => Exit::Usage,
        (image::Error::TooLarge { .. } | image::Error::InPlace { .. }, _) => Exit::Failed,
        (_, ErrorKind::NoSpace | ErrorKind::Exists | ErrorKind::Host) => Exit::Failed,
        _ => Exit::Refused,
    };
    if matches!(cause, image::Error::Exists { .. }) {
        say("  → remove it, choose another name, or say --force");
        return exit;
    }
    let general =
        (exit == Exit::Refused).then_some("check that the image is whole: export or download it again");
    if let Some(remedy) = cause.remedy().or(general) {
        say(&format!("  → {remedy}"));
    }
    exit
}

/// The image's error for which the disk could not be read, if there is one.
fn beneath(error: &image::Error) -> &image::Error {
    match error {
        image::Error::Source { source: block::Error::Backend(inner), .. }
        | image::Error::Read { source: block::Error::Backend(inner), .. } => {
            inner.downcast_ref().unwrap_or(error)
        }
        _ => error,
    }
}

/// The error and its causes on one line, without those that repeat the one above them.
pub(crate) fn chain(error: &anyhow::Error) -> String {
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
