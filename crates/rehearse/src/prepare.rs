//! Readies a guest for its rehearsal, in its throwaway overlays: in the appliance, the report is added.

use crate::drivers::{self, DriverCheck};
use crate::error::Error;
use crate::evidence::Preparation;
use crate::instrument::{self, Init};
use appliance::{Appliance, BootOptions};
use block::BlockWrite;
use guest::fs::native::NativeTree;
use guest::fs::{FsError, MountMode, Mounter};
use guest::inspect::inspect;
use guest::volume::{self, Volume};
use machine::Machine;
use profile::Profile;
use qemu::Binary;
use qemu::accelerator::Choice;
use std::error::Error as StdError;
use std::sync::Arc;

/// What runs guests on this host. The kernel that it is tried with is the appliance's.
pub(crate) fn accelerator(binary: &Binary) -> Result<Choice, Error> {
    let kernel = appliance::kernel::locate().map_err(Error::Appliance)?;
    qemu::accelerator::choose(binary, &kernel.image).map_err(Error::Qemu)
}

/// A guest that is ready to be booted.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What was changed.
    pub(crate) preparation: Preparation,
    /// What was seen before.
    pub(crate) seen: Seen,
}

/// What was seen of a guest in its files.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The system's name for itself, where one was found.
    pub(crate) os: Option<String>,
    /// Its drivers, where it has a Linux kernel.
    pub(crate) drivers: Option<DriverCheck>,
}

/// What goes wrong with a guest's files is passed on as it is.
type Failure = Box<dyn StdError + Send + Sync>;

/// Looks at a guest's files and changes nothing: without a kernel's help where that suffices.
pub(crate) fn look(
    overlays: &[Arc<dyn BlockWrite>],
    machine: &Machine,
    profile: &Profile,
) -> Result<Seen, Failure> {
    let volumes = volume::scan(overlays)?;
    if NativeTree::suffices_for(&volumes)
        && let Ok(Some(seen)) = look_at(&mut NativeTree::new(&volumes), &volumes, machine, profile)
    {
        return Ok(seen);
    }
    let mut appliance = Appliance::boot(&volumes, &BootOptions::default())?;
    Ok(look_at(&mut appliance, &volumes, machine, profile)?.unwrap_or_default())
}

fn look_at(
    mounter: &mut dyn Mounter,
    volumes: &[Volume],
    machine: &Machine,
    profile: &Profile,
) -> Result<Option<Seen>, FsError> {
    let Some(inspection) = inspect(mounter, volumes)? else { return Ok(None) };
    let drivers = drivers::check(mounter.tree(), &inspection, machine, profile)?;
    Ok(Some(Seen { os: Some(inspection.pretty_name()), drivers }))
}

/// Adds the report to the guest on these disks. That it cannot be added is no failure: the console decides then.
pub(crate) fn prepare(overlays: &[Arc<dyn BlockWrite>], machine: &Machine, profile: &Profile) -> Prepared {
    match add(overlays, machine, profile) {
        Ok(added) => {
            let unknown = "its init is none of systemd, Upstart and those that read inittab";
            let reason = added.init.is_none().then(|| unknown.to_string());
            let preparation = Preparation { report: added.init, reason, console_added: added.console_added };
            Prepared { preparation, seen: added.seen }
        }
        Err(error) => {
            let reason = Some(chain(&*error));
            let preparation = Preparation { report: None, reason, console_added: Vec::new() };
            Prepared { preparation, seen: Seen::default() }
        }
    }
}

/// What was added, and to what.
struct Added {
    init: Option<Init>,
    console_added: Vec<String>,
    seen: Seen,
}

fn add(overlays: &[Arc<dyn BlockWrite>], machine: &Machine, profile: &Profile) -> Result<Added, Failure> {
    let volumes = volume::scan(overlays)?;
    let mut appliance = Appliance::boot(&volumes, &BootOptions::default())?;
    let Some(inspection) = inspect(&mut appliance, &volumes)? else { return Err(NoSystem.into()) };
    let drivers = drivers::check(appliance.tree(), &inspection, machine, profile)?;
    appliance.unmount_all()?;
    for mounted in &inspection.mounts {
        let subvolume = mounted.subvolume.as_deref();
        appliance.mount(mounted.volume, &mounted.at, MountMode::ReadWrite, subvolume)?;
    }
    let init = instrument::add_report(&mut appliance)?;
    let console_added = instrument::add_console(&mut appliance)?;
    appliance.shutdown()?;
    Ok(Added { init, console_added, seen: Seen { os: Some(inspection.pretty_name()), drivers } })
}

/// The disks hold nothing that is known as a system.
#[derive(Debug, thiserror::Error)]
#[error("no operating system was found on the disks")]
struct NoSystem;

/// An error with its causes, as one line.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}
