//! Every form of a machine that can be read, to every hypervisor that machines are packed for: the disks are the same, and
//! whatever else is not is told.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, unreachable_pub, dead_code)]

mod guest;
mod sources;
#[path = "../../../dialect/tests/package/vma_write.rs"]
mod vma_write;

use block::{BlockRead, Window};
use dialect::{Package, package::SOURCES};
use guest::Content;
use machine::{Disk, Machine, differences};
use migrate::convert::{Conversion, Outcome, convert as run};
use migrate::error::Error;
use migrate::manifest::Manifest;
use migrate::reporter::Silent;
use migrate::request::Request;
use profile::{Packing, Profile};
use sources::{FORMS, Form, UNMADE};
use std::path::Path;
use std::sync::Arc;

/// Converts without a look inside.
fn convert(
    source: &Path,
    output: &Path,
    profile: &'static Profile,
    packing: Option<&str>,
) -> Result<Manifest, Error> {
    let conversion = Conversion {
        source,
        output,
        open: &Default::default(),
        keys: migrate::keys::Keys::default(),
        profile,
        request: Request { packing: packing.map(str::to_owned), disks_only: true, ..Request::default() },
        dry_run: false,
        rehearse: None,
    };
    match run(&conversion, &Silent)? {
        Outcome::Finished(manifest) => Ok(*manifest),
        _ => panic!("a conversion ends with a manifest"),
    }
}

fn digest(disk: &dyn BlockRead) -> String {
    image::digest(disk, 1).unwrap().to_hex().to_string()
}

/// A disk's first `size` bytes: a format may round up.
fn cut(disk: Arc<dyn BlockRead>, size: u64) -> Window<Arc<dyn BlockRead>> {
    Window::new(disk, 0..size).unwrap()
}

#[test]
fn every_form_has_a_place_in_the_table() {
    let written =
        dialect::DIALECTS.iter().filter(|dialect| dialect.parse.is_some()).map(|dialect| dialect.name);
    let packages = SOURCES.iter().map(|source| source.name);
    let missing: Vec<&str> = written
        .chain(packages)
        .filter(|name| !FORMS.iter().any(|form| form.name == *name))
        .filter(|name| !UNMADE.iter().any(|(unmade, _)| unmade == name))
        .collect();
    assert_eq!(missing, [""; 0], "forms that no machine of this test is made in");
}

#[test]
fn every_form_becomes_every_package() {
    let content = Content::new();
    let targets: Vec<(&'static Profile, &Packing)> = profile::all()
        .iter()
        .flat_map(|profile| profile.packing.iter().map(move |packing| (profile, packing)))
        .collect();
    let mut table = String::new();
    let mut failed = Vec::new();
    for form in FORMS {
        let directory = tempfile::tempdir().unwrap();
        let make = || (form.make)(directory.path(), &content);
        let Ok(source) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(make)) else {
            failed.push(format!("{}: it cannot be made", form.name));
            continue;
        };
        table += &format!("{:<14}", form.name);
        for (profile, packing) in &targets {
            let output = tempfile::tempdir().unwrap();
            let cell = format!("{} -> {} {}", form.name, profile.id, packing.name);
            match check(form, &source, output.path(), profile, packing, &content) {
                Ok(losses) => table += &format!(" {}/{}:{losses}", profile.id, packing.name),
                Err(why) => {
                    table += &format!(" {}/{}:FAILED", profile.id, packing.name);
                    failed.push(format!("{cell}: {why}"));
                }
            }
        }
        table.push('\n');
    }
    println!("form, and the number of losses in each target:\n{table}");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Converts, opens what was made, and compares; answers with the number of losses.
fn check(
    form: &Form,
    source: &Path,
    output: &Path,
    profile: &'static Profile,
    packing: &Packing,
    content: &Content,
) -> Result<usize, String> {
    let manifest = convert(source, output, profile, Some(&packing.name)).map_err(|error| match &error {
        Error::Refused { objections, .. } => {
            objections.iter().map(|objection| format!("{objection} ")).collect()
        }
        error => chain(error),
    })?;
    let expected: Vec<String> = content.disks().iter().map(|disk| digest(disk.as_ref())).collect();
    let wanted = if form.describes { expected.len() } else { 1 };
    let recorded: Vec<&str> = manifest.disks.iter().map(|disk| disk.blake3.as_str()).collect();
    if recorded != expected[..wanted] {
        return Err("the disks that were read are others".to_owned());
    }
    let described = &manifest.plan.packing.descriptions[0];
    let is_read = dialect::by_name(described).is_some_and(|dialect| dialect.parse.is_some());
    if !is_read && manifest.plan.archive().is_none() {
        // Nothing here reads the description: the images alone.
        for (disk, expected) in manifest.plan.disks.iter().zip(&expected) {
            let image: Arc<dyn BlockRead> = Arc::new(guest::open(&output.join(&disk.file)));
            same(&digest(&cut(image, disk.virtual_size)), expected, &disk.id)?;
        }
        return Ok(manifest.plan.losses.len());
    }
    let made = output.join(manifest.plan.files().iter().rev().nth(described_at(&manifest)).unwrap());
    let package = Package::open(&made).map_err(|error| chain(&error))?;
    for (disk, (planned, expected)) in
        package.machine.disks.iter().zip(manifest.plan.disks.iter().zip(&expected))
    {
        let image: Arc<dyn BlockRead> = Arc::new(package.open_disk(disk).map_err(|error| chain(&error))?);
        same(&digest(&cut(image, planned.virtual_size)), expected, &disk.id)?;
    }
    let told = &manifest.plan.losses;
    let untold: Vec<String> = differences(&bare(&manifest.plan.machine), &bare(&package.machine))
        .into_iter()
        .filter(|difference| !told.iter().any(|loss| difference.is_told_by(loss)))
        .map(|difference| format!("{}: {} became {}", difference.field, difference.first, difference.second))
        .collect();
    if !untold.is_empty() {
        return Err(format!("not told: {}", untold.join("; ")));
    }
    Ok(told.len())
}

/// Which file, from the end, leads to the machine: the archive or the first description, with the manifest behind it.
fn described_at(manifest: &Manifest) -> usize {
    if manifest.plan.archive().is_some() { 1 } else { manifest.plan.descriptions.len() }
}

fn same(found: &str, expected: &str, disk: &str) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{disk} has another content")) }
}

/// A machine without the names and formats of its files, which are the target's own.
fn bare(machine: &Machine) -> Machine {
    let disk = |disk: &Disk| Disk { source: None, format: None, capacity: None, ..disk.clone() };
    Machine { disks: machine.disks.iter().map(disk).collect(), properties: Vec::new(), ..machine.clone() }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
