//! Readies a guest for its rehearsal, in its throwaway overlays: in the appliance, the report is added.

use crate::drivers::{self, DriverCheck};
use crate::error::Error;
use crate::evidence::Preparation;
use crate::instrument::{self, Init};
use appliance::{Appliance, BootOptions};
use block::BlockWrite;
use guest::fs::native::NativeTree;
use guest::fs::{FsError, GuestFs, MountMode, Mounter};
use guest::inspect::{Inspection, inspect};
use guest::volume::{self, Scan, ScanError, Secret, Volume};
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
pub(crate) struct Prepared<T> {
    /// What starts its report; `None` when none could be added.
    pub(crate) report: Option<Init>,
    /// Why none was added.
    pub(crate) reason: Option<String>,
    /// What was seen before.
    pub(crate) seen: Seen,
    /// What else was done with its files; `None` when they could not be had.
    pub(crate) also: Option<T>,
}

impl<T> Prepared<T> {
    /// One to whose files nothing could be done.
    fn without(reason: String) -> Self {
        Self { report: None, reason: Some(reason), seen: Seen::default(), also: None }
    }

    /// It as the evidence states it, with the boot loader configurations in which a console was added.
    pub(crate) fn preparation(&self, console_added: Vec<String>) -> Preparation {
        Preparation { report: self.report, reason: self.reason.clone(), console_added }
    }
}

/// What was seen of a guest in its files.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The system's name for itself, where one was found.
    pub(crate) os: Option<String>,
    /// Its drivers, where it has a Linux kernel.
    pub(crate) drivers: Option<DriverCheck>,
}

/// What a boot partition may be.
const BOOT_FILESYSTEMS: &[&str] = &["ext2", "ext3", "ext4", "xfs", "btrfs", "vfat"];

/// What goes wrong with a guest's files is passed on as it is.
type Failure = Box<dyn StdError + Send + Sync>;

/// Looks at a guest's files and changes nothing: without a kernel's help where that suffices.
///
/// # Errors
/// [`Error::Locked`] and [`Error::Look`].
pub(crate) fn look(overlays: &[Arc<dyn BlockWrite>], aim: Aim<'_>) -> Result<Seen, Error> {
    look_into(overlays, aim).map_err(|source| match source.downcast() {
        Ok(locked) => locked_out(*locked, aim),
        Err(source) => Error::Look { guest: aim.machine.name.clone(), source },
    })
}

fn look_into(overlays: &[Arc<dyn BlockWrite>], aim: Aim<'_>) -> Result<Seen, Failure> {
    let Scan { volumes, .. } = volume::scan_unlocking(overlays, aim.secrets)?;
    if NativeTree::suffices_for(&volumes)
        && let Ok(Some(seen)) = look_at(&mut NativeTree::new(&volumes), &volumes, aim)
    {
        return Ok(seen);
    }
    let mut appliance = Appliance::boot(&volumes, &BootOptions::default())?;
    Ok(look_at(&mut appliance, &volumes, aim)?.unwrap_or_default())
}

fn look_at(mounter: &mut dyn Mounter, volumes: &[Volume], aim: Aim<'_>) -> Result<Option<Seen>, Failure> {
    let Some(inspection) = inspect(mounter, volumes)? else { return Ok(None) };
    Closed::refuse(&inspection)?;
    let drivers = drivers::check(mounter.tree(), &inspection, aim.machine, aim.profile)?;
    Ok(Some(Seen { os: Some(inspection.pretty_name()), drivers }))
}

/// Where the report goes, and for whom.
#[derive(Clone, Copy)]
pub(crate) struct Aim<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) profile: &'a Profile,
    /// The device that the guest sends its report to.
    pub(crate) port: &'a str,
    /// What unlocks its encrypted volumes.
    pub(crate) secrets: &'a [Secret],
}

/// Adds the report to the guest on these disks, and does something else with its files, knowing what was seen. That it cannot
/// be added is no failure: the console decides then.
///
/// # Errors
/// [`Error::Locked`]: somebody who gives a secret wants it to fit.
pub(crate) fn prepare<T>(
    overlays: &[Arc<dyn BlockWrite>],
    aim: Aim<'_>,
    also: impl FnOnce(&mut dyn GuestFs, &Inspection, &Seen) -> Result<T, FsError>,
) -> Result<Prepared<T>, Error> {
    match add(overlays, aim, also) {
        Ok((report, seen, also)) => {
            let unknown = "its init is none of systemd, Upstart and those that read inittab";
            let reason = report.is_none().then(|| unknown.to_string());
            Ok(Prepared { report, reason, seen, also: Some(also) })
        }
        Err(error) => match error.downcast() {
            Ok(locked) if matches!(*locked, ScanError::Locked { .. }) => Err(locked_out(*locked, aim)),
            Ok(unread) => Ok(Prepared::without(chain(&*unread))),
            Err(error) => Ok(Prepared::without(chain(&*error))),
        },
    }
}

fn locked_out(source: ScanError, aim: Aim<'_>) -> Error {
    Error::Locked { guest: aim.machine.name.clone(), source }
}

fn add<T>(
    overlays: &[Arc<dyn BlockWrite>],
    aim: Aim<'_>,
    also: impl FnOnce(&mut dyn GuestFs, &Inspection, &Seen) -> Result<T, FsError>,
) -> Result<(Option<Init>, Seen, T), Failure> {
    let Scan { volumes, .. } = volume::scan_unlocking(overlays, aim.secrets)?;
    let mut appliance = Appliance::boot(&volumes, &BootOptions::default())?;
    let Some(inspection) = inspect(&mut appliance, &volumes)? else { return Err(NoSystem.into()) };
    Closed::refuse(&inspection)?;
    let drivers = drivers::check(appliance.tree(), &inspection, aim.machine, aim.profile)?;
    appliance.unmount_all()?;
    for mounted in &inspection.mounts {
        let subvolume = mounted.subvolume.as_deref();
        appliance.mount(mounted.volume, &mounted.at, MountMode::ReadWrite, subvolume)?;
    }
    let seen = Seen { os: Some(inspection.pretty_name()), drivers };
    let report = instrument::add_report(&mut appliance, aim.port)?;
    let also = also(&mut appliance, &inspection, &seen)?;
    appliance.shutdown()?;
    Ok((report, seen, also))
}

/// Sends the console of a guest whose root filesystem cannot be read to the serial port, where a boot partition can be: what
/// such a guest asks for is seen there. Answers with the files that were changed. That there are none is no failure.
pub(crate) fn add_console_alone(overlays: &[Arc<dyn BlockWrite>]) -> Vec<String> {
    let add = || -> Result<Vec<String>, Failure> {
        let volumes = volume::scan(overlays)?;
        let mut appliance = Appliance::boot(&volumes, &BootOptions::default())?;
        let mut changed = Vec::new();
        for volume in &volumes {
            let can_be_boot = volume
                .content
                .as_ref()
                .is_some_and(|content| BOOT_FILESYSTEMS.contains(&content.kind.as_str()));
            if can_be_boot && appliance.mount(volume.id, "/", MountMode::ReadWrite, None).is_ok() {
                changed.extend(instrument::add_console(&mut appliance)?);
                appliance.unmount_all()?;
            }
        }
        appliance.shutdown()?;
        Ok(changed)
    };
    add().unwrap_or_else(|error| {
        tracing::debug!(error = chain(&*error), "no console was added");
        Vec::new()
    })
}

/// The disks hold nothing that is known as a system.
#[derive(Debug, thiserror::Error)]
#[error("no operating system was found on the disks")]
struct NoSystem;

/// The root filesystem lies in what cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{objections}")]
struct Closed {
    objections: String,
}

impl Closed {
    fn refuse(inspection: &Inspection) -> Result<(), Self> {
        if !inspection.mounts.is_empty() {
            return Ok(());
        }
        let objections: Vec<String> = inspection.objections.iter().map(ToString::to_string).collect();
        Err(Self { objections: objections.join("; ") })
    }
}

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
