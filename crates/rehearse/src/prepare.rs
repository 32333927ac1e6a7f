//! Readies a guest for its rehearsal, in its throwaway overlays: in the appliance, the report is added.

use crate::error::Error;
use crate::evidence::Preparation;
use crate::instrument::{self, Init};
use appliance::{Appliance, BootOptions};
use block::BlockWrite;
use guest::fs::{MountMode, Mounter};
use guest::inspect::inspect;
use guest::volume;
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
    /// The system's name for itself, where one was found.
    pub(crate) os: Option<String>,
}

/// Adds the report to the guest on these disks. That it cannot be added is no failure: the console decides then.
pub(crate) fn prepare(overlays: &[Arc<dyn BlockWrite>]) -> Prepared {
    match add(overlays) {
        Ok(added) => {
            let unknown = "its init is none of systemd, Upstart and those that read inittab";
            let reason = added.init.is_none().then(|| unknown.to_string());
            let preparation = Preparation { report: added.init, reason, console_added: added.console_added };
            Prepared { preparation, os: Some(added.os) }
        }
        Err(error) => {
            let reason = Some(chain(&*error));
            let preparation = Preparation { report: None, reason, console_added: Vec::new() };
            Prepared { preparation, os: None }
        }
    }
}

/// What was added, and to what.
struct Added {
    init: Option<Init>,
    console_added: Vec<String>,
    os: String,
}

fn add(overlays: &[Arc<dyn BlockWrite>]) -> Result<Added, Box<dyn StdError>> {
    let volumes = volume::scan(overlays)?;
    let mut appliance = Appliance::boot(&volumes, &BootOptions::default())?;
    let Some(inspection) = inspect(&mut appliance, &volumes)? else { return Err(NoSystem.into()) };
    appliance.unmount_all()?;
    for mounted in &inspection.mounts {
        let subvolume = mounted.subvolume.as_deref();
        appliance.mount(mounted.volume, &mounted.at, MountMode::ReadWrite, subvolume)?;
    }
    let init = instrument::add_report(&mut appliance)?;
    let console_added = instrument::add_console(&mut appliance)?;
    appliance.shutdown()?;
    Ok(Added { init, console_added, os: inspection.pretty_name() })
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
