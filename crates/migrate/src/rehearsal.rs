//! Rehearsing a finished target, or a source as it is.

use crate::error::{Error, Result};
use crate::manifest::{self, Manifest};
use crate::opened::Opened;
use crate::plan::{Plan, PlannedDisk};
use block::BlockRead;
use dialect::adapt;
use image::{DirectoryGate, Gate};
use machine::Machine;
use profile::Profile;
use rehearse::{Evidence, Options};
use std::path::Path;
use std::sync::Arc;

/// Rehearses what `path` means: a directory or manifest that a conversion wrote, or a source, which is then booted
/// as it is, merely attached to the target's hardware.
///
/// # Errors
/// When the machine cannot be read or the rehearsal cannot be held. A guest that does not boot is no error.
pub fn rehearse_path(path: &Path, profile: &'static Profile, options: &Options) -> Result<Evidence> {
    if path.is_dir() || manifest::is_manifest(path) {
        let path = Manifest::find(path)?;
        let manifest = Manifest::read(&path)?;
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return rehearse_files(directory, &manifest.plan, profile, options);
    }
    let opened = Opened::open(path, &[])?;
    let adapted = adapt(&opened.package.machine, profile);
    if !adapted.objections.is_empty() {
        return Err(Error::Refused { source_path: path.to_path_buf(), objections: adapted.objections });
    }
    let disks: Vec<Arc<dyn BlockRead>> = opened.overlays.iter().map(|disk| Arc::clone(disk) as _).collect();
    rehearse(&disks, &adapted.machine, profile, options)
}

/// Rehearses a plan whose disks lie in `directory`. Their names are untrusted: none leads out of it.
///
/// # Errors
/// As [`rehearse_path`].
pub fn rehearse_files(
    directory: &Path,
    plan: &Plan,
    profile: &'static Profile,
    options: &Options,
) -> Result<Evidence> {
    let refuse = |error| Error::image(directory, error);
    let gate = DirectoryGate::new(directory).map_err(|error| refuse(error.into()))?;
    let gate: Arc<dyn Gate> = Arc::new(gate);
    let open = |disk: &PlannedDisk| -> Result<Arc<dyn BlockRead>> {
        Ok(Arc::new(image::open(&gate, &disk.file).map_err(refuse)?))
    };
    let disks = plan.disks.iter().map(open).collect::<Result<Vec<_>>>()?;
    rehearse(&disks, &plan.machine, profile, options)
}

fn rehearse(
    disks: &[Arc<dyn BlockRead>],
    machine: &Machine,
    profile: &'static Profile,
    options: &Options,
) -> Result<Evidence> {
    rehearse::rehearse(disks, machine, profile, options)
        .map_err(|error| Error::Rehearsal { name: machine.name.clone(), source: Box::new(error) })
}
