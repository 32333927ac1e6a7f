//! A description with the files that it names, wherever a [`LocalGate`] finds them.

use super::local::LocalGate;
use super::recognise::Named;
use super::{Error, Facts, Package, PackagedFile, Result, ovf_package};
use crate::dialects::Dialect;
use crate::{ovf, vbox};
use image::Gate;
use std::sync::Arc;

/// The longest description that is read, in bytes.
const LIMIT: usize = 32 << 20;

/// The most disks of a machine: each is looked for in several directories, and no hypervisor gives one so many.
const MAX_DISKS: usize = 1024;

pub(super) fn open(named: &Named, dialect: &'static Dialect) -> Result<Package> {
    let bytes = named.bytes(named.disk.as_ref(), LIMIT)?;
    // An OVF descriptor says more of its files than a machine holds: pieces, sizes, digests.
    if dialect.name == ovf::DIALECT.name {
        let parsed = ovf::parse_machine(&bytes, named.options.machine.as_deref())
            .map_err(|source| Error::Ovf { path: named.path.clone(), source: Box::new(source) })?;
        return ovf_package(dialect.name, &named.path, &named.name, parsed, Arc::clone(&named.gate));
    }
    let parse = dialect.parse.ok_or_else(|| Error::Unrecognised { path: named.path.clone() })?;
    let parsed = parse(&bytes).map_err(|source| Error::Description {
        path: named.path.clone(),
        what: dialect.description,
        source,
    })?;
    if parsed.machine.disks.len() > MAX_DISKS {
        return Err(Error::TooManyDisks { path: named.path.clone(), disks: parsed.machine.disks.len() });
    }
    let gate = LocalGate::new(&named.path, Arc::clone(&named.gate), &named.options)?;
    let registered = if dialect.name == vbox::DIALECT.name { vbox::hard_disks(&bytes) } else { Vec::new() };
    let gate: Arc<dyn Gate> = Arc::new(gate.with_registered(registered));
    let names = parsed.machine.disks.iter().filter_map(|disk| disk.source.clone());
    let files = names
        .map(|name| PackagedFile { size: gate.open(&name).ok().map(|disk| disk.size()), name })
        .collect();
    let mut package = Package {
        kind: dialect.name,
        machine: parsed.machine,
        losses: parsed.losses,
        facts: Facts { path: named.path.clone(), files, ..Facts::default() },
        stored: Arc::clone(&gate),
        meant: gate,
        digests: None,
    };
    package.name_after(&named.path);
    Ok(package)
}
