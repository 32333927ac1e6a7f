//! The rule of the round trip.

use dialect::{Dialect, DiskFile, RenderOptions};
use machine::{Machine, differences};
use profile::Profile;
use std::path::PathBuf;

/// The disks of a machine as files beside its description.
pub fn options(dialect: &Dialect, profile: &Profile, machine: &Machine) -> RenderOptions {
    let fits = |packing: &&profile::Packing| packing.descriptions.iter().any(|name| name == dialect.name);
    let packing = profile.packing.iter().find(fits).or(profile.packing.first()).unwrap();
    let kind = &packing.disks[0];
    let disks = machine.disks.iter().map(|disk| DiskFile {
        id: disk.id.clone(),
        path: PathBuf::from(format!("{}.{}", disk.id, kind.ending)),
        format: kind.format.clone(),
        subformat: kind.subformat.clone(),
        capacity: disk.capacity.unwrap_or(1 << 30),
        ..DiskFile::default()
    });
    RenderOptions {
        directory: Some(PathBuf::from("/machines/one")),
        disks: disks.collect(),
        ..RenderOptions::default()
    }
}

/// Writes the machine, which is on the profile's hardware, reads it again, and sees that a loss of the writing tells of
/// every field in which the two differ. What a disk's file is comes from the options, and is not compared.
///
/// # Panics
/// When it cannot be written or read, or when a difference is not told.
pub fn assert_round_trip(dialect: &Dialect, profile: &Profile, machine: &Machine) {
    let (render, parse) = (dialect.render.unwrap(), dialect.parse.unwrap());
    let rendered = render(machine, profile, &options(dialect, profile, machine))
        .unwrap_or_else(|error| panic!("{} cannot be written: {error}\n{machine:#?}", dialect.name));
    let text = &rendered.text;
    let parsed = parse(text.as_bytes())
        .unwrap_or_else(|error| panic!("{} cannot be read again: {error}\n{text}", dialect.name));
    let mut read = parsed.machine;
    for (disk, was) in read.disks.iter_mut().zip(&machine.disks) {
        disk.source.clone_from(&was.source);
        disk.format.clone_from(&was.format);
        disk.capacity = was.capacity;
    }
    let mut machine = machine.clone();
    // What a description says of itself, in settings that the machine did not have, is no loss.
    read.properties.retain(|property| machine.properties.contains(property));
    machine.properties.sort();
    read.properties.sort();
    for difference in differences(&machine, &read) {
        assert!(
            rendered.losses.iter().any(|loss| difference.is_told_by(loss)),
            "{} on {}: no loss tells that {} was {} and is {}\nlosses: {:#?}\n{text}",
            dialect.name,
            profile.id,
            difference.field,
            difference.first,
            difference.second,
            rendered.losses,
        );
    }
}
