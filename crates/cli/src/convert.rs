//! `anyvisor convert`.

use crate::args::Convert;
use crate::ask;
use crate::evidence::signing_key;
use crate::exit::{self, Exit, Usage};
use crate::mapped::mapping;
use crate::output::{self, clean, count, print, print_json, size};
use crate::progress;
use crate::rehearse::options;
use crate::support;
use anyhow::Result;
use guest::fs::recording::Edit;
use guest::volume::Secret;
use machine::Objection;
use migrate::convert::{Conversion, Outcome, Preview, Rehearsing};
use migrate::error::Error;
use migrate::keys::Keys;
use migrate::manifest::{GuestRecord, Manifest};
use migrate::mapping::Mapping;
use migrate::plan::{GuestPlan, Plan};
use migrate::reporter::{Reporter, Silent};
use migrate::request::{Hardware, Request};
use profile::FirmwareKind;
use rehearse::Options;
use rehearse::signed::Key;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Runs the command.
pub(crate) fn run(args: &Convert) -> Result<Exit> {
    if !args.rehearse && (args.signing.checksum || args.signing.evidence_key.is_some()) {
        let why = "--checksum and --evidence-key are for the evidence of a rehearsal: say --rehearse too";
        return Err(Usage(why.to_owned()).into());
    }
    let mapping = mapping(&args.map_network, &args.map_storage)?;
    let secrets = args.access.secrets()?;
    let file = args.signing.evidence_key.as_deref();
    // A dry run makes no key either.
    let signs = args.rehearse && (!args.dry_run || file.is_some());
    let key = signs.then(|| signing_key(file)).transpose()?;
    let given = Given { mapping: &mapping, secrets: &secrets, key: key.as_ref() };
    match sources(&args.source).as_slice() {
        [_, _, ..] if args.name.is_some() => {
            Err(Usage("--name: there are several machines in the directory".to_owned()).into())
        }
        several @ [_, _, ..] => batch(args, &given, several),
        _ => one(args, &given),
    }
}

/// What the arguments name, read.
struct Given<'a> {
    mapping: &'a Mapping,
    /// What unlocks encrypted volumes.
    secrets: &'a [Secret],
    /// What signs evidence, when some will be made.
    key: Option<&'a Key>,
}

/// The machines of a directory that is a collection of them; the source itself otherwise.
fn sources(source: &Path) -> Vec<PathBuf> {
    if source.is_dir() { dialect::package::sources_in(source) } else { vec![source.to_path_buf()] }
}

fn one(args: &Convert, given: &Given<'_>) -> Result<Exit> {
    let outcome = convert(args, given, &args.source, &args.output, progress::reporter().as_ref())?;
    match (args.json, &outcome) {
        (true, outcome) => print_json(outcome)?,
        (false, Outcome::Planned(preview)) => print(&preview_text(preview))?,
        (false, Outcome::Finished(manifest)) => print(&finished_text(manifest, &args.output))?,
        (false, Outcome::NotBooted(failed)) => print(&format!(
            "{}\nNothing was written to {}: the result did not boot.\n",
            failed.evidence,
            args.output.display()
        ))?,
    }
    Ok(if matches!(outcome, Outcome::NotBooted(_)) { Exit::NotBooted } else { Exit::Done })
}

fn convert(
    args: &Convert,
    given: &Given<'_>,
    source: &Path,
    output: &Path,
    reporter: &dyn Reporter,
) -> Result<Outcome, Error> {
    let rehearse = args.rehearse.then(|| {
        let options = Options { checksum: args.signing.checksum, ..options(args.timeout) };
        Rehearsing { options, key: given.key.cloned() }
    });
    let conversion = Conversion {
        source,
        output,
        open: &(&args.access).into(),
        keys: Keys { given: given.secrets, ask: ask::somebody() },
        profile: args.to,
        request: Request {
            name: args.name.clone(),
            packing: args.package.clone(),
            disk_kind: args.disk_format.clone(),
            disks_only: args.disks_only,
            firmware: args.generation.map(|generation| match generation {
                1 => FirmwareKind::Bios,
                _ => FirmwareKind::Uefi,
            }),
            hardware: Hardware {
                cpus: args.cpus,
                memory: args.memory,
                firmware: args.firmware.map(Into::into),
            },
            mapping: given.mapping.clone(),
        },
        dry_run: args.dry_run,
        rehearse,
    };
    migrate::convert::convert(&conversion, reporter)
}

/// One machine of several.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
enum Line {
    /// It was converted, or would be.
    Done { source: PathBuf, outcome: Box<Outcome> },
    /// It was not.
    Failed { source: PathBuf, error: String, objections: Vec<Objection> },
}

/// Every machine of a directory, each into a directory of its own below the output; what one of them is refused for is no
/// end to the others.
fn batch(args: &Convert, given: &Given<'_>, sources: &[PathBuf]) -> Result<Exit> {
    let mut lines = Vec::new();
    let mut done = 0_usize;
    for source in sources {
        let relative = source.strip_prefix(&args.source).unwrap_or(source);
        let line = match convert(args, given, source, &args.output.join(relative.with_extension("")), &Silent)
        {
            Ok(outcome) => {
                done += usize::from(!matches!(outcome, Outcome::NotBooted(_)));
                Line::Done { source: source.clone(), outcome: Box::new(outcome) }
            }
            Err(error) => {
                let objections = match &error {
                    Error::Refused { objections, .. } => objections.clone(),
                    _ => Vec::new(),
                };
                Line::Failed { source: source.clone(), error: exit::chain(&error.into()), objections }
            }
        };
        match args.json {
            true => lines.push(line),
            false => print(&line_text(&line))?,
        }
    }
    if args.json {
        print_json(&lines)?;
    }
    progress::say(&format!(
        "{done} of {} machines {}",
        sources.len(),
        if args.dry_run { "planned" } else { "converted" }
    ));
    Ok(if done == sources.len() { Exit::Done } else { Exit::Refused })
}

fn line_text(line: &Line) -> String {
    match line {
        Line::Done { source, outcome } => {
            let text = match outcome.as_ref() {
                Outcome::Planned(preview) => format!(
                    "would become {}, {}",
                    preview.plan.name,
                    output::count_of(preview.plan.losses.len(), "loss", "losses")
                ),
                Outcome::Finished(manifest) => format!(
                    "became {}, {}",
                    manifest.plan.name,
                    output::count_of(manifest.plan.losses.len(), "loss", "losses")
                ),
                Outcome::NotBooted(failed) => format!("{} did not boot", failed.plan.name),
            };
            format!("✓ {}: {text}\n", source.display())
        }
        Line::Failed { source, error, objections } => {
            let objections =
                objections.iter().map(|objection| format!("\n    {}", clean(&objection.to_string())));
            format!("✗ {}: {}{}\n", source.display(), clean(error), objections.collect::<String>())
        }
    }
}

fn preview_text(preview: &Preview) -> String {
    let mut text = format!("Plan for {}\n{}", preview.plan.name, plan_text(&preview.plan));
    if let Some(guest) = &preview.guest {
        text += &format!("\nIn the guest\n{}", guest_text(guest, true));
    }
    text + "\nNothing was touched.\n"
}

/// A plan, as lines.
fn plan_text(plan: &Plan) -> String {
    let machine = &plan.machine;
    let mut text = format!(
        "  target    {}\n  hardware  {}, {} memory, {}, {}\n",
        plan.target,
        count(machine.cpu.count() as usize, "CPU"),
        size(machine.memory),
        count(machine.disks.len(), "disk"),
        count(machine.nics.len(), "network card")
    );
    text += &match &plan.guest {
        GuestPlan::Convert { system } => format!("  guest     {}, converted\n", clean(system)),
        GuestPlan::CopyOnly { why } => format!("  guest     copied as it is: {why}\n"),
    };
    if let Some(answer) = &plan.support {
        text += &support::lines(answer);
    }
    for disk in &plan.disks {
        text += &format!("  {:<9} {} ({})\n", disk.id, disk.file, size(disk.virtual_size));
    }
    text += &plan.unmapped.lines().iter().map(|line| format!("  {}\n", clean(line))).collect::<String>();
    if !plan.losses.is_empty() {
        text += &format!("\nNot carried over, or changed\n{}", output::losses(&plan.losses));
    }
    text
}

/// What is done to the guest; with the changed lines of texts when `diffs` are wanted.
fn guest_text(guest: &GuestRecord, diffs: bool) -> String {
    let notes = guest.converted.notes.iter().map(|note| format!("  {}\n", clean(note)));
    notes.chain(guest.edits.iter().map(|edit| edit_text(edit, diffs))).collect()
}

fn edit_text(edit: &Edit, diffs: bool) -> String {
    let diff = edit.diff.as_deref().filter(|_| diffs).unwrap_or_default();
    // The first two lines are the diff's own header, and say nothing that the path does not.
    let changes = diff.lines().skip(2).map(|line| format!("    {}\n", clean(line)));
    format!("  {} {}\n{}", edit.action, clean(&edit.path), changes.collect::<String>())
}

fn finished_text(manifest: &Manifest, output: &Path) -> String {
    let mut text =
        format!("{} is ready in {}\n{}", manifest.plan.name, output.display(), plan_text(&manifest.plan));
    if let Some(guest) = &manifest.guest {
        text += &format!("\nIn the guest\n{}", guest_text(guest, false));
    }
    let parts = manifest.timings.parts().iter().map(|part| format!("{} {:.1} s", part.part, part.seconds));
    text += &format!("\nTimings: {}\n", parts.collect::<Vec<_>>().join(", "));
    let mut next = vec![next(&manifest.plan, output)];
    match &manifest.rehearsal {
        Some(evidence) => text += &format!("\n{evidence}"),
        None if rehearsable(&manifest.plan) => {
            let manifest_file = output.join(manifest.plan.manifest_file());
            next.insert(0, format!("anyvisor rehearse {}", manifest_file.display()));
        }
        None => {}
    }
    text + &format!("\nNext: {}\n", next.join("\n      "))
}

/// Whether a plan's target can be rehearsed here, on disks that lie side by side.
fn rehearsable(plan: &Plan) -> bool {
    plan.archive().is_none()
        && profile::find(&plan.target).is_some_and(|profile| rehearse::is_rehearsable(profile).is_ok())
}

/// What the administrator does with a finished target.
fn next(plan: &Plan, output: &Path) -> String {
    let path = |file: Option<String>| output.join(file.unwrap_or_default()).display().to_string();
    let description =
        |index: usize| path(plan.descriptions.get(index).map(|description| description.file.clone()));
    plan.packing
        .next
        .replace("{directory}", &output.display().to_string())
        .replace("{description}", &description(0))
        .replace("{script}", &description(1))
        .replace("{archive}", &path(plan.archive()))
}
