//! Rehearsing a finished target, or a source as it is.

use crate::error::{Error, Result};
use crate::manifest::{self, Manifest};
use crate::opened::Opened;
use crate::plan::Plan;
use block::BlockRead;
use dialect::adapt;
use image::{DirectoryGate, Gate};
use machine::Machine;
use profile::Profile;
use rehearse::{Evidence, Options};
use std::path::{Path, PathBuf};
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
        let directory = path.parent().unwrap_or(Path::new("."));
        let files: Vec<_> = manifest.plan.disks.iter().map(|disk| directory.join(&disk.file)).collect();
        return rehearse_files(&files, &manifest.plan, profile, options);
    }
    let opened = Opened::open(path)?;
    let adapted = adapt(&opened.package.machine, profile);
    if !adapted.objections.is_empty() {
        return Err(Error::Refused { source_path: path.to_path_buf(), objections: adapted.objections });
    }
    let disks: Vec<Arc<dyn BlockRead>> = opened.overlays.iter().map(|disk| Arc::clone(disk) as _).collect();
    rehearse(&disks, &adapted.machine, profile, options)
}

/// Rehearses the files of a plan that was carried out.
///
/// # Errors
/// As [`rehearse_path`].
pub fn rehearse_files(
    files: &[PathBuf],
    plan: &Plan,
    profile: &'static Profile,
    options: &Options,
) -> Result<Evidence> {
    let disks = files.iter().map(|file| open(file)).collect::<Result<Vec<_>>>()?;
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

fn open(file: &Path) -> Result<Arc<dyn BlockRead>> {
    let open = || {
        let (gate, name) = DirectoryGate::for_file(file)?;
        let gate: Arc<dyn Gate> = Arc::new(gate);
        image::open(&gate, &name)
    };
    Ok(Arc::new(open().map_err(|error| Error::image(file, error))?))
}
