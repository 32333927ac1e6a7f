//! What the user calls a target, and `anyvisor targets`, `anyvisor sources`.

use crate::args::Listing;
use crate::exit::Exit;
use crate::output::{print, print_json};
use anyhow::Result;
use dialect::DIALECTS;
use dialect::package::SOURCES;
use profile::{Packing, Profile};
use serde::Serialize;
use std::fmt::Write as _;

/// The profile that `NAME` or `NAME:RELEASE` means.
pub(crate) fn parse(text: &str) -> std::result::Result<&'static Profile, String> {
    let (name, release) = match text.split_once(':') {
        Some((name, release)) => (name, Some(release)),
        None => (text, None),
    };
    let names = |names: Vec<&str>| format!("choose one of: {}", names.join(", "));
    let newest = profile::find(name)
        .ok_or_else(|| names(profile::all().iter().map(|profile| profile.id.as_str()).collect()))?;
    let Some(release) = release else { return Ok(newest) };
    profile::find_release(name, release).ok_or_else(|| match newest.releases.is_empty() {
        true => format!("{} is the same in every release: leave it out", newest.name),
        false => names(newest.releases.iter().map(|release| release.name.as_str()).collect()),
    })
}

/// Something that can be read.
#[derive(Serialize)]
struct Readable {
    name: &'static str,
    description: &'static str,
}

/// Runs `anyvisor sources`.
pub(crate) fn sources(args: &Listing) -> Result<Exit> {
    let packages =
        SOURCES.iter().map(|source| Readable { name: source.name, description: source.description });
    // An archive and the description in it can have one name, and are one thing to read.
    let is_package = |name: &str| SOURCES.iter().any(|source| source.name == name);
    let written = DIALECTS.iter().filter(|dialect| dialect.parse.is_some() && !is_package(dialect.name));
    let descriptions =
        written.map(|dialect| Readable { name: dialect.name, description: dialect.description });
    let all: Vec<Readable> = packages.chain(descriptions).collect();
    match args.json {
        true => print_json(&all)?,
        false => print(
            &all.iter().map(|one| format!("{:<14} {}\n", one.name, one.description)).collect::<String>(),
        )?,
    }
    Ok(Exit::Done)
}

/// Runs `anyvisor targets`.
pub(crate) fn targets(args: &Listing) -> Result<Exit> {
    match args.json {
        true => print_json(&profile::all())?,
        false => print(&profile::all().iter().map(text).collect::<String>())?,
    }
    Ok(Exit::Done)
}

fn text(profile: &Profile) -> String {
    let limits = &profile.limits;
    let firmware = profile.firmware;
    let offered = [
        ("BIOS", firmware.bios),
        ("UEFI", firmware.uefi),
        ("secure boot", firmware.secure_boot),
        ("TPM", firmware.tpm),
    ];
    let offered: Vec<&str> = offered.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect();
    let mut text = format!(
        "{:<12} {}\n  at most    {} processors, {} GiB memory, {} disks, {} network cards\n  firmware   {}\n",
        profile.id,
        profile.name,
        limits.cpus,
        limits.memory_gib,
        limits.disks,
        limits.nics,
        offered.join(", ")
    );
    if !profile.releases.is_empty() {
        let names: Vec<&str> = profile.releases.iter().map(|release| release.name.as_str()).collect();
        let _ = writeln!(text, "  releases   {}", names.join(", "));
    }
    text + &profile.packing.iter().map(packing).collect::<String>()
}

fn packing(packing: &Packing) -> String {
    let disks: Vec<&str> = packing.disks.iter().map(|kind| kind.name.as_str()).collect();
    format!("  {:<10} {}; disks: {}\n", packing.name, packing.descriptions.join(", "), disks.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_with_or_without_a_release() {
        assert_eq!(parse("kvm").unwrap().id, "kvm");
        assert_eq!(parse("esxi:6.7").unwrap().hardware_version(), Some("14"));
        assert!(parse("vax").unwrap_err().contains("kvm, "));
        assert!(parse("esxi:1").unwrap_err().contains("7.0"));
        assert!(parse("kvm:9").unwrap_err().contains("every release"));
    }
}
