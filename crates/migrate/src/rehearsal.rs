//! Rehearsing a finished target, or a source as it is.

use crate::error::{Error, Result};
use crate::keys::Keys;
use crate::manifest::{self, DiskRecord, Manifest};
use crate::opened::Opened;
use crate::plan::{DiskFacts, GuestPlan, Plan, PlannedDisk};
use block::BlockRead;
use dialect::adapt;
use dialect::package::OpenOptions;
use image::{DirectoryGate, Gate};
use machine::{Disk, Machine};
use profile::Profile;
use rehearse::{DiskContents, Evidence, Options, Subject};
use std::path::Path;
use std::sync::Arc;

/// Rehearses what `path` means: a directory or manifest that a conversion wrote, or a source, which is then booted
/// as it is, merely attached to the target's hardware. Without a `profile`, a conversion's is the one that it was made for,
/// and a source's is KVM's. A source's disks may lie where `open` allows, too; `keys` unlock the guest's encrypted volumes.
///
/// # Errors
/// When the machine cannot be read or the rehearsal cannot be held. A guest that does not boot is no error.
pub fn rehearse_path(
    path: &Path,
    profile: Option<&'static Profile>,
    open: &OpenOptions,
    keys: Keys<'_>,
    options: &Options,
) -> Result<Evidence> {
    if path.is_dir() || manifest::is_manifest(path) {
        let path = Manifest::find(path)?;
        let manifest = Manifest::read(&path)?;
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let profile = profile.map_or_else(|| of_plan(&manifest.plan), Ok)?;
        let Manifest { plan, source, .. } = &manifest;
        // What the disks held when they were written is not what they hold now: the machine may have run since.
        return Written { directory, plan, before: &source.disks, after: &[], keys }
            .rehearse(profile, options);
    }
    let profile = profile.map_or_else(|| known(DEFAULT), Ok)?;
    let opened = Opened::open(path, open)?;
    let adapted = adapt(&opened.package.machine, profile);
    if !adapted.objections.is_empty() {
        return Err(Error::Refused { source_path: path.to_path_buf(), objections: adapted.objections });
    }
    let disks = opened.readable();
    let machine = &adapted.machine;
    let contents = contents(machine, |_| (None, None));
    let secrets = &keys.secrets(&disks);
    rehearse(&Subject { machine, disks: &disks, contents, secrets, control: true }, profile, options)
}

/// What is known of the disks' contents, before a conversion and after.
fn contents(
    machine: &Machine,
    known: impl Fn(&Disk) -> (Option<String>, Option<String>),
) -> Vec<DiskContents> {
    let of = |disk: &Disk| {
        let (before, rehearsed) = known(disk);
        DiskContents { id: disk.id.clone(), before, rehearsed }
    };
    machine.disks.iter().map(of).collect()
}

/// The hypervisor for a source that was not converted.
const DEFAULT: &str = "kvm";

fn known(id: &str) -> Result<&'static Profile> {
    profile::find(id).ok_or_else(|| Error::Target { id: id.to_owned() })
}

/// The hypervisor for which a plan was made.
fn of_plan(plan: &Plan) -> Result<&'static Profile> {
    let release = plan.release.as_deref().and_then(|release| profile::find_release(&plan.target, release));
    release.map_or_else(|| known(&plan.target), Ok)
}

/// A machine whose disks were written.
pub(crate) struct Written<'a> {
    /// Where the disks lie. Their names are untrusted: none leads out of it.
    pub(crate) directory: &'a Path,
    /// What they were written for.
    pub(crate) plan: &'a Plan,
    /// The source's disks.
    pub(crate) before: &'a [DiskFacts],
    /// The disks as they were written, where nobody can have changed them since.
    pub(crate) after: &'a [DiskRecord],
    /// What unlocks the guest's encrypted volumes.
    pub(crate) keys: Keys<'a>,
}

impl Written<'_> {
    /// Rehearses it.
    ///
    /// # Errors
    /// As [`rehearse_path`].
    pub(crate) fn rehearse(&self, profile: &'static Profile, options: &Options) -> Result<Evidence> {
        let refuse = |error| Error::image(self.directory, error);
        let gate = DirectoryGate::new(self.directory).map_err(|error| refuse(error.into()))?;
        let gate: Arc<dyn Gate> = Arc::new(gate);
        let open = |disk: &PlannedDisk| -> Result<Arc<dyn BlockRead>> {
            let format = image::by_name(&disk.kind.format);
            let options = image::OpenOptions { format, ..Default::default() };
            Ok(Arc::new(image::open_with(&gate, &disk.file, &options).map_err(refuse)?))
        };
        let disks = self.plan.disks.iter().map(open).collect::<Result<Vec<_>>>()?;
        let machine = &self.plan.machine;
        let before = |id: &str| self.before.iter().find(|facts| facts.id == id)?.blake3.clone();
        let after = |id: &str| Some(self.after.iter().find(|record| record.id == id)?.blake3.clone());
        let contents = contents(machine, |disk| (before(&disk.id), after(&disk.id)));
        let control = !is_for(self.plan, profile);
        rehearse(
            &Subject { machine, disks: &disks, contents, secrets: &self.keys.secrets(&disks), control },
            profile,
            options,
        )
    }
}

/// Whether the guest on a plan's disks was made ready for `profile`.
fn is_for(plan: &Plan, profile: &Profile) -> bool {
    plan.target == profile.id && matches!(plan.guest, GuestPlan::Convert { .. })
}

fn rehearse(subject: &Subject<'_>, profile: &'static Profile, options: &Options) -> Result<Evidence> {
    let name = &subject.machine.name;
    rehearse::rehearse(subject, profile, options)
        .map_err(|error| Error::Rehearsal { name: name.clone(), source: Box::new(error) })
}
