//! `anyvisor describe`.

use crate::args::Describe;
use crate::exit::{self, Exit, Usage};
use crate::inspect::machine_text;
use crate::mapped::mapping;
use crate::output::{self, print, print_json};
use crate::progress::say;
use anyhow::{Context as _, Result};
use dialect::package::{self, OpenOptions};
use dialect::{Dialect, Package, RenderOptions};
use machine::{Loss, Machine};
use migrate::error::Error;
use profile::Profile;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What is said of one source.
#[derive(Serialize)]
struct Description {
    /// The source.
    source: PathBuf,
    /// What it is.
    kind: &'static str,
    /// The machine, on the target's hardware where one was asked for.
    machine: Machine,
    /// It in the dialect that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// What could not be carried.
    losses: Vec<Loss>,
    /// Why the target cannot run it.
    objections: Vec<machine::Objection>,
}

/// A source of which nothing can be said.
#[derive(Serialize)]
struct Refused {
    source: PathBuf,
    error: String,
}

/// Runs the command.
pub(crate) fn run(args: &Describe) -> Result<Exit> {
    let dialect = args.dialect.as_deref().map(writable).transpose()?;
    let profile = args.to.or_else(|| dialect.and_then(first_that_speaks));
    let mut sources = expanded(args);
    let (first, second) = match (sources.next(), sources.next()) {
        (Some(source), None) => return one(args, source, dialect, profile),
        both => both,
    };
    several(args, first.into_iter().chain(second).chain(sources), dialect, profile)
}

fn one(
    args: &Describe,
    source: Opened,
    dialect: Option<&'static Dialect>,
    profile: Option<&'static Profile>,
) -> Result<Exit> {
    let description = describe(args, source, dialect, profile)?;
    match args.json {
        true => print_json(&description)?,
        false => print_one(&description)?,
    }
    Ok(if description.objections.is_empty() { Exit::Done } else { Exit::Refused })
}

/// Every source in turn, a line each; a refusal of one is no end to the others.
fn several(
    args: &Describe,
    sources: impl Iterator<Item = Opened>,
    dialect: Option<&'static Dialect>,
    profile: Option<&'static Profile>,
) -> Result<Exit> {
    let mut documents = Vec::new();
    let (mut described, mut refused) = (0_usize, 0_usize);
    for source in sources {
        let path = source.path.clone();
        match describe(args, source, dialect, profile) {
            Ok(description) => {
                described += 1;
                match args.json {
                    true => documents.push(serde_json::to_value(description)?),
                    false => print(&line(&description))?,
                }
            }
            Err(error) => {
                refused += 1;
                let error = exit::chain(&error);
                match args.json {
                    true => documents.push(serde_json::to_value(Refused { source: path, error })?),
                    false => print(&format!("✗ {}: {}\n", path.display(), output::clean(&error)))?,
                }
            }
        }
    }
    if args.json {
        print_json(&documents)?;
    }
    say(&format!("{described} described, {refused} refused"));
    Ok(if refused == 0 { Exit::Done } else { Exit::Refused })
}

fn describe(
    args: &Describe,
    source: Opened,
    dialect: Option<&'static Dialect>,
    profile: Option<&'static Profile>,
) -> Result<Description> {
    let Opened { path: source, package } = source;
    let source: &Path = &source;
    let package = package.map_err(|error| Error::package(source, error))?;
    let mut description = Description {
        source: source.to_path_buf(),
        kind: package.kind,
        machine: package.machine,
        text: None,
        losses: package.losses,
        objections: Vec::new(),
    };
    let Some(profile) = profile else { return Ok(description) };
    let adapted = dialect::adapt(&description.machine, profile);
    description.losses.extend(adapted.losses);
    description.objections = adapted.objections;
    description.machine = adapted.machine;
    if let Some(render) = dialect.and_then(|dialect| dialect.render) {
        let mapping = mapping(&args.map_network, &[])?;
        let options = RenderOptions {
            networks: mapping.networks,
            default_network: mapping.any_network,
            ..RenderOptions::for_description(&description.machine, source)
        };
        let rendered = render(&description.machine, profile, &options)
            .with_context(|| format!("cannot write {} for {}", source.display(), profile.name))?;
        description.losses.extend(rendered.losses);
        description.text = Some(rendered.text);
    }
    Ok(description)
}

/// The dialect of that name, if descriptions can be written in it.
fn writable(name: &str) -> Result<&'static Dialect> {
    let names =
        dialect::DIALECTS.iter().filter(|dialect| dialect.render.is_some()).map(|dialect| dialect.name);
    let names: Vec<&str> = names.collect();
    let found = dialect::by_name(name).filter(|dialect| dialect.render.is_some());
    Ok(found.ok_or_else(|| Usage(format!("--as {name}: choose one of: {}", names.join(", "))))?)
}

/// The first hypervisor whose packages hold descriptions in that dialect.
fn first_that_speaks(dialect: &'static Dialect) -> Option<&'static Profile> {
    profile::all().iter().find(|profile| {
        profile.packing.iter().any(|packing| packing.descriptions.iter().any(|name| name == dialect.name))
    })
}

/// A source, or one of its machines.
struct Opened {
    path: PathBuf,
    package: package::Result<Package>,
}

impl Opened {
    fn new(path: PathBuf, machine: Option<String>) -> Self {
        let package = Package::open_with(&path, &OpenOptions { machine, ..OpenOptions::default() });
        Self { path, package }
    }
}

/// Directories that hold many sources as their files, packages that hold many machines as those; anything else as it is. Each
/// is opened when its turn comes.
fn expanded(args: &Describe) -> impl Iterator<Item = Opened> {
    let files = args.sources.iter().flat_map(|source| match source.is_dir() {
        true => package::sources_in(source),
        false => vec![source.clone()],
    });
    files.flat_map(|path| {
        let opened = Opened::new(path.clone(), args.machine.clone());
        let names = opened.package.as_ref().err().map(|error| error.machines().to_vec()).unwrap_or_default();
        let whole = names.is_empty().then_some(opened);
        whole.into_iter().chain(names.into_iter().map(move |name| Opened::new(path.clone(), Some(name))))
    })
}

fn print_one(description: &Description) -> Result<()> {
    match &description.text {
        Some(text) => {
            print(text)?;
            // The description can go straight into a file; what is lost is talk.
            say(&losses(description));
        }
        None => {
            print(&machine_text(&description.machine))?;
            print(&description.machine.disks.iter().map(disk_line).collect::<String>())?;
            print(&losses(description))?;
        }
    }
    for objection in &description.objections {
        exit::say_objection(objection);
    }
    Ok(())
}

fn losses(description: &Description) -> String {
    match description.losses.is_empty() {
        true => String::new(),
        false => format!("\nNot carried over, or changed\n{}", output::losses(&description.losses)),
    }
}

fn disk_line(disk: &machine::Disk) -> String {
    let capacity = disk.capacity.map_or("size unknown".to_owned(), output::size);
    let source = disk.source.as_deref().unwrap_or("no file");
    format!("  {:<9} {capacity}, {}\n", disk.id, output::clean(source))
}

fn line(description: &Description) -> String {
    let machine = &description.machine;
    format!(
        "{} {}: {}, {}, {}, {} memory, {}, {}, {}\n",
        if description.objections.is_empty() { "✓" } else { "✗" },
        description.source.display(),
        description.kind,
        output::clean(&machine.name),
        output::count(machine.cpu.count() as usize, "CPU"),
        output::size(machine.memory),
        output::count(machine.disks.len(), "disk"),
        output::count(machine.nics.len(), "network card"),
        output::count_of(description.losses.len(), "loss", "losses")
    )
}
