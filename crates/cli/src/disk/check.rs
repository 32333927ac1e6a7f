//! `anyvisor disk check`.

use super::args::Check as Arguments;
use super::source::{Place, options};
use crate::exit::Exit;
use crate::output::{clean, count, print, print_json};
use anyhow::Result;
use image::{Check, Finding, Severity};
use serde::Serialize;
use std::path::Path;

/// What was found.
#[derive(Serialize)]
struct Checked<'a> {
    path: &'a Path,
    /// Whether nothing is wrong now.
    clean: bool,
    /// What is wrong now.
    #[serde(flatten)]
    check: Check,
    /// What the repair found and did.
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<Check>,
}

/// Runs the command.
pub(super) fn run(args: &Arguments) -> Result<Exit> {
    let Place { gate, name } = Place::of(&args.image)?;
    let options = options(&args.options)?;
    let mut check = image::check(&gate, &name, &options)?;
    let mut repair = None;
    if args.repair && !check.is_clean() {
        repair = Some(image::repair(&args.image)?);
        check = image::check(&gate, &name, &options)?;
    }
    let checked = Checked { path: &args.image, clean: check.is_clean(), check, repair };
    match args.json {
        true => print_json(&checked)?,
        false => print(&text(&checked))?,
    }
    // Leaks waste room and harm nothing.
    Ok(if checked.check.damages > 0 { Exit::Failed } else { Exit::Done })
}

fn text(checked: &Checked<'_>) -> String {
    let repaired =
        checked.repair.iter().flat_map(|repair| &repair.findings).filter(|finding| finding.repaired);
    let mut text: String = repaired.chain(&checked.check.findings).map(finding_line).collect();
    let Check { findings, leaks, damages, .. } = &checked.check;
    let left_out = leaks + damages - findings.len() as u64;
    if left_out > 0 {
        text += &format!("  … and {left_out} more\n");
    }
    let path = clean(&checked.path.to_string_lossy());
    let count = |number: u64, noun: &str| count(usize::try_from(number).unwrap_or(usize::MAX), noun);
    text + &match (leaks, damages) {
        (0, 0) => format!("{path}: nothing is wrong\n"),
        (leaks, 0) => format!("{path}: {}, which harms nothing\n", count(*leaks, "leak")),
        (leaks, damages) => format!("{path}: {}, {}\n", count(*damages, "damage"), count(*leaks, "leak")),
    }
}

fn finding_line(finding: &Finding) -> String {
    let mark = match finding {
        Finding { repaired: true, .. } => "✓",
        Finding { severity: Severity::Leak, .. } => "~",
        Finding { severity: Severity::Damage, .. } => "✗",
    };
    let place = finding.offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default();
    let done = if finding.repaired { " (repaired)" } else { "" };
    format!("  {mark} {}{place}: {}{done}\n", clean(&finding.path.to_string_lossy()), clean(&finding.what))
}
