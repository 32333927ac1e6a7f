//! Running a migration: what was planned is done, in order, without choices.

use crate::error::{Error, Result};
use crate::keys::Keys;
use crate::manifest::{self, GuestRecord, Manifest, SourceRecord};
use crate::opened::Opened;
use crate::pack::Packing;
use crate::plan::{self, Facts, GuestPlan, Plan};
use crate::rehearsal::Written;
use crate::reporter::Reporter;
use crate::request::Request;
use crate::stage::Stage;
use crate::timeline::Timeline;
use appliance::Appliance;
use dialect::package::{OpenOptions, VerifiedDigest};
use guest::fs::Mounter as _;
use guest::fs::recording::Recording;
use guest::inspect::Inspection;
use guest::recipe;
use guest::volume::Secret;
use machine::Objection;
use profile::Profile;
use rehearse::Evidence;
use rehearse::Grade;
use rehearse::signed::{self, Key};
use serde::Serialize;
use std::path::Path;

/// What is asked of a conversion.
pub struct Conversion<'a> {
    /// The source; only read.
    pub source: &'a Path,
    /// Where the source's disks may lie, beside its own directory.
    pub open: &'a OpenOptions,
    /// What unlocks the guest's encrypted volumes.
    pub keys: Keys<'a>,
    /// The directory that receives the target.
    pub output: &'a Path,
    /// The target's hypervisor.
    pub profile: &'static Profile,
    /// What the administrator asks for.
    pub request: Request,
    /// Print the plan only.
    pub dry_run: bool,
    /// Boot the result before it is published.
    pub rehearse: Option<Rehearsing>,
}

/// How a result is rehearsed.
pub struct Rehearsing {
    /// What may be chosen about it. Where digests are wanted, those of the source's disks are too.
    pub options: rehearse::Options,
    /// The key that signs the evidence, which then lies beside the manifest; a dry run needs none.
    pub key: Option<Key>,
}

/// How a conversion ended.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// Nothing was done; this would be.
    Planned(Box<Preview>),
    /// The target is finished.
    Finished(Box<Manifest>),
    /// The result did not boot, and was not published.
    NotBooted(Box<NotBooted>),
}

/// What a conversion would do.
#[derive(Serialize)]
pub struct Preview {
    /// The plan.
    pub plan: Plan,
    /// The changes to the guest's files, as tried in a throwaway overlay.
    pub guest: Option<GuestRecord>,
}

/// Why a result was not published.
#[derive(Serialize)]
pub struct NotBooted {
    /// The plan that was carried out.
    pub plan: Plan,
    /// What the rehearsal saw.
    pub evidence: Evidence,
}

/// Carries a conversion out.
///
/// The package's digests are checked while the appliance starts; nothing is written before both are done.
///
/// # Errors
/// [`Error::Refused`] with every objection, or whatever stood in the way. The output directory then holds nothing
/// new.
pub fn convert(conversion: &Conversion<'_>, reporter: &dyn Reporter) -> Result<Outcome> {
    if conversion.rehearse.is_some()
        && let Err(error) = rehearse::is_rehearsable(conversion.profile)
    {
        let why = error.to_string();
        let remedy = "convert without --rehearse, and try the machine on the target";
        let objections = vec![Objection::new("--rehearse", why, remedy)];
        return Err(Error::Refused { source_path: conversion.source.to_path_buf(), objections });
    }
    let mut timings = Timeline::default();
    let opened = timings.time("open the source", || Opened::open(conversion.source, conversion.open))?;
    let wants_digests =
        conversion.rehearse.as_ref().is_some_and(|how| how.options.checksum) && !conversion.dry_run;
    // Before the progress of what follows, which would stand in the way of a prompt.
    let secrets = match edits(conversion) {
        true => conversion.keys.secrets(&opened.readable()),
        false => conversion.keys.given.to_vec(),
    };
    let (prepared, digests, contents) = std::thread::scope(|scope| {
        let digests = scope.spawn(|| verify(&opened, conversion.source, reporter));
        let contents = scope.spawn(|| wants_digests.then(|| opened.digests(reporter)).transpose());
        let prepared = prepare(conversion, &opened, &secrets, &mut timings, reporter);
        let digests = digests.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let contents = contents.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // A damaged source explains whatever else went wrong with it.
        digests.and_then(|digests| Ok((prepared?, digests, contents?)))
    })?;
    let Prepared { mut facts, plan, guest } = prepared;
    for (disk, digest) in facts.disks.iter_mut().zip(contents.unwrap_or_default()) {
        disk.blake3 = Some(digest);
    }
    if conversion.dry_run {
        return Ok(Outcome::Planned(Box::new(Preview { plan, guest })));
    }

    let stage = Stage::open(conversion.output, &plan.name, &plan.files())?;
    plan.unmapped.lines().iter().for_each(|line| reporter.begin(line));
    let packing = Packing {
        opened: &opened,
        plan: &plan,
        profile: conversion.profile,
        mapping: &conversion.request.mapping,
        stage: &stage,
        reporter,
    };
    let disks = timings.time("copy", || packing.disks())?;
    let rehearsal = match &conversion.rehearse {
        None => None,
        Some(Rehearsing { options, key }) => {
            reporter.begin(&format!("rehearsing {} on {}", plan.name, conversion.profile.name));
            let written = Written {
                directory: stage.directory(),
                plan: &plan,
                before: &facts.disks,
                after: &disks,
                keys: Keys { given: &secrets, ask: conversion.keys.ask.filter(|_| !edits(conversion)) },
            };
            let evidence = timings.time("rehearse", || written.rehearse(conversion.profile, options))?;
            if evidence.grade == Grade::Failed {
                return Ok(Outcome::NotBooted(Box::new(NotBooted { plan, evidence })));
            }
            if let Some(key) = key {
                let document = signed::sign(&evidence, key)
                    .map_err(|error| Error::io("sign the evidence in", conversion.output, error.into()))?;
                stage.write(&plan.evidence_file(), document.as_bytes(), false)?;
            }
            Some(evidence)
        }
    };
    packing.descriptions()?;
    let files = stage.files(&plan.manifest_file())?;
    let manifest = Manifest {
        format: manifest::FORMAT,
        anyvisor: env!("CARGO_PKG_VERSION").into(),
        finished: jiff::Timestamp::now(),
        source: SourceRecord::new(conversion.source, opened.package.kind.to_string(), &facts, digests),
        plan,
        guest,
        disks,
        files: files.clone(),
        rehearsal,
        timings,
    };
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| Error::io("write", conversion.output, error.into()))?;
    stage.write(&manifest.plan.manifest_file(), &text, false)?;
    stage.publish(&files)?;
    Ok(Outcome::Finished(Box::new(manifest)))
}

/// A source whose overlays hold what is to be copied.
struct Prepared {
    facts: Facts,
    plan: Plan,
    guest: Option<GuestRecord>,
}

/// Whether the guest inside is to be edited.
fn edits(conversion: &Conversion<'_>) -> bool {
    !conversion.request.disks_only && conversion.profile.edits_guests
}

/// Looks inside, decides, and edits the guest in the overlays.
fn prepare(
    conversion: &Conversion<'_>,
    opened: &Opened,
    secrets: &[Secret],
    timings: &mut Timeline,
    reporter: &dyn Reporter,
) -> Result<Prepared> {
    let found = match edits(conversion) {
        false => None,
        true => {
            let volumes = opened.volumes(secrets)?;
            timings.time("start the appliance and inspect", || opened.inspect_to_edit(&volumes, reporter))?
        }
    };
    let (appliance, inspection) = found.unzip();
    let facts = opened.facts(inspection);
    let output = std::path::absolute(conversion.output)
        .map_err(|source| Error::io("find the path of", conversion.output, source))?;
    let plan = plan::plan(&facts, conversion.profile, &conversion.request, &output)
        .map_err(|objections| Error::Refused { source_path: conversion.source.to_path_buf(), objections })?;
    let guest =
        match (appliance, &facts.guest) {
            (Some(appliance), Some(inspection)) if matches!(plan.guest, GuestPlan::Convert { .. }) => {
                reporter.begin(&format!(
                    "converting {} for {}",
                    inspection.pretty_name(),
                    conversion.profile.name
                ));
                Some(timings.time("edit the guest", || {
                    edit(appliance, inspection, &facts, &plan, conversion.profile)
                })?)
            }
            _ => None,
        };
    Ok(Prepared { facts, plan, guest })
}

/// Runs the recipe on the mounted guest, and shuts the appliance down.
fn edit(
    appliance: Appliance,
    inspection: &Inspection,
    facts: &Facts,
    plan: &Plan,
    profile: &'static Profile,
) -> Result<GuestRecord> {
    let target = recipe::Target::new(profile, &facts.machine, &plan.machine);
    let recipe = recipe::find(inspection)
        .ok_or_else(|| Error::guest("find a recipe for", NoRecipe(inspection.pretty_name())))?;
    let mut recording = Recording::new(appliance);
    let converted = recipe
        .convert(&mut recording, inspection, &target)
        .map_err(|error| Error::guest("convert", error))?;
    recording.unmount_all().map_err(|error| Error::guest("unmount", error))?;
    let (appliance, edits) = recording.finish();
    appliance.shutdown().map_err(|error| Error::guest("flush", error))?;
    Ok(GuestRecord { inspection: inspection.clone(), converted, edits })
}

/// Inspection found a system for which there is no recipe, and planning let it pass.
#[derive(Debug, thiserror::Error)]
#[error("there is no recipe for {0}")]
struct NoRecipe(String);

/// Checks the package's digests.
fn verify(opened: &Opened, source: &Path, reporter: &dyn Reporter) -> Result<Vec<VerifiedDigest>> {
    let progress = reporter.measured("checking digests");
    opened.package.verify(progress.as_ref()).map_err(|error| Error::package(source, error))
}
