//! `anyvisor convert`.

use crate::args::Convert;
use crate::exit::Exit;
use crate::mapped::mapping;
use crate::output::{self, clean, count, print, print_json, size};
use crate::progress;
use crate::rehearse::options;
use anyhow::Result;
use guest::fs::recording::Edit;
use migrate::convert::{Conversion, Outcome, Preview};
use migrate::manifest::{GuestRecord, Manifest};
use migrate::plan::{GuestPlan, Plan, Request};
use profile::FirmwareKind;
use std::path::Path;

/// Runs the command.
pub(crate) fn run(args: &Convert) -> Result<Exit> {
    let conversion = Conversion {
        source: &args.source,
        output: &args.output,
        within: &args.within,
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
            mapping: mapping(&args.map_network, &args.map_storage)?,
        },
        dry_run: args.dry_run,
        rehearse: args.rehearse.then(|| options(args.timeout)),
    };
    let outcome = migrate::convert::convert(&conversion, progress::reporter().as_ref())?;
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
    for disk in &plan.disks {
        text += &format!("  {:<9} {} ({})\n", disk.id, disk.file, size(disk.virtual_size));
    }
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
    let manifest_file = output.join(manifest.plan.manifest_file());
    match &manifest.rehearsal {
        Some(evidence) => text += &format!("\n{evidence}"),
        None => text += &format!("\nNext: anyvisor rehearse {}\n", manifest_file.display()),
    }
    for description in manifest.plan.descriptions.iter().filter(|description| !description.executable) {
        text += &format!("      virsh define {}\n", output.join(&description.file).display());
    }
    text
}
