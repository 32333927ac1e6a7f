//! Linux guests, whichever program made their initramfs.

mod cloud_init;
mod consoles;
mod devices;
mod firmware;
mod grub_environment;
mod initramfs;
mod lvm;
mod names;
mod net_rules;
mod nic_matches;
mod nics;
mod paths;
mod rebuild;
mod services;
mod trim;

use super::editor::Editor;
use super::{Converted, Recipe, RecipeError, Target};
use crate::fs::{FsError, MountMode, Mounter};
use crate::initramfs::cpio::Entry;
use crate::inspect::{Family, Inspection};

/// The recipe.
pub(super) struct Linux;

/// One step. Later ones use what earlier ones found.
type Step = fn(&mut Conversion<'_>) -> Result<(), RecipeError>;

/// The steps, in order. The network's names come before the initramfs, which carries them too; free space is
/// discarded when nothing more is written.
const STEPS: &[Step] = &[
    nics::pin_names,
    cloud_init::leave_network,
    devices::use_stable_names,
    lvm::forget_devices,
    consoles::name_consoles,
    initramfs::add_drivers,
    rebuild::keep_drivers,
    firmware::provide_fallback,
    services::settle,
    trim::discard_free_space,
];

/// A conversion under way.
struct Conversion<'a> {
    mounter: &'a mut dyn Mounter,
    inspection: &'a Inspection,
    target: &'a Target,
    /// Files for the udev of every initramfs that has one.
    inside_initramfs: Vec<Entry>,
    converted: Converted,
}

impl Recipe for Linux {
    fn name(&self) -> &'static str {
        "linux"
    }

    fn applies(&self, inspection: &Inspection) -> bool {
        inspection.os.family == Family::Linux && !inspection.kernels.is_empty()
    }

    fn convert(
        &self,
        mounter: &mut dyn Mounter,
        inspection: &Inspection,
        target: &Target,
    ) -> Result<Converted, RecipeError> {
        inspection
            .mount(mounter, MountMode::ReadWrite)
            .map_err(|source| RecipeError::Files { step: "mount the guest's filesystems", source })?;
        let converted = Converted { recipe: self.name().into(), ..Converted::default() };
        let mut conversion =
            Conversion { mounter, inspection, target, inside_initramfs: Vec::new(), converted };
        for step in STEPS {
            step(&mut conversion)?;
        }
        Ok(conversion.converted)
    }
}

impl Conversion<'_> {
    fn editor(&mut self) -> Editor<'_> {
        let labels = self.inspection.selinux.as_deref().is_some_and(|mode| mode != "disabled");
        Editor::new(self.mounter.tree(), labels)
    }

    fn note(&mut self, note: impl Into<String>) {
        self.converted.notes.push(note.into());
    }

    fn undo(&mut self, how: impl Into<String>) {
        self.converted.how_to_undo.push(how.into());
    }
}

/// Names the step in which the guest's files failed.
fn during(step: &'static str) -> impl FnOnce(FsError) -> RecipeError {
    move |source| RecipeError::Files { step, source }
}
