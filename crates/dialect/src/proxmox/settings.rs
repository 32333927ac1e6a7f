//! From a machine to the settings of a `.conf`, with what those cannot say: [`settings`]. The configuration and the import
//! script differ only in where a disk comes from.

mod devices;
mod kept;
mod system;

pub(crate) use devices::key as drive_key;

use crate::RenderError;
use crate::render::RenderOptions;
use machine::{Loss, Machine, Severity};
use profile::Profile;

/// A setting: a key, and its value as far as it is known before there is a storage.
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: Value,
}

/// A setting's value.
pub(super) enum Value {
    /// The value as it is.
    Text(String),
    /// A disk's volume, which is to be made of its image, and the options behind it.
    Disk {
        /// The image, as the options of the rendering name it.
        path: String,
        /// The storage that is to hold it, where one is named.
        storage: Option<String>,
        /// The size that the guest sees, in bytes.
        capacity: u64,
        /// The options, each after a comma.
        options: String,
    },
    /// A volume that Proxmox makes itself, for the variables of UEFI or the state of a TPM.
    Made {
        /// A volume that is there already.
        path: Option<String>,
        /// The options, each after a comma.
        options: String,
    },
}

/// A machine as settings.
pub(super) struct Settings<'a> {
    machine: &'a Machine,
    profile: &'a Profile,
    options: &'a RenderOptions,
    pub(super) settings: Vec<Setting>,
    pub(super) losses: Vec<Loss>,
}

/// The settings of a machine that is on the profile's hardware. Notes are not among them.
pub(super) fn settings<'a>(
    machine: &'a Machine,
    profile: &'a Profile,
    options: &'a RenderOptions,
) -> Result<Settings<'a>, RenderError> {
    let mut plan = Settings { machine, profile, options, settings: Vec::new(), losses: Vec::new() };
    plan.system();
    plan.disks()?;
    plan.removables()?;
    plan.nics()?;
    plan.serials();
    plan.boot();
    plan.order();
    plan.keep();
    Ok(plan)
}

impl Settings<'_> {
    fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.settings.push(Setting { key: key.into(), value: Value::Text(value.into()) });
    }

    fn dropped(&mut self, severity: Severity, what: impl Into<String>, why: impl Into<String>) {
        self.losses.push(Loss::dropped(severity, what, why));
    }

    fn changed(&mut self, what: impl Into<String>, kept_as: impl Into<String>, why: impl Into<String>) {
        self.losses.push(Loss::changed(what, kept_as, why));
    }
}
