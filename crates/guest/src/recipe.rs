//! Conversion recipes: what has to change in a guest so that it runs on another hypervisor.
//!
//! A recipe is a list of steps over the guest's files; every change goes through [`Mounter`], so that recording it, or
//! trying it on a tree in memory, needs nothing of the recipe. Running a recipe again changes nothing.

mod editor;
mod linux;
mod target;

pub use target::Target;

use crate::fs::{FsError, Mounter};
use crate::initramfs;
use crate::inspect::Inspection;
use machine::MacAddress;
use serde::{Deserialize, Serialize};

/// A way to convert one kind of guest.
pub trait Recipe: Sync {
    /// Its name, for the manifest.
    fn name(&self) -> &'static str;

    /// Whether it is for this guest.
    fn applies(&self, inspection: &Inspection) -> bool;

    /// Converts the guest: mounts its tree for writing, changes it, and leaves it mounted.
    ///
    /// # Errors
    /// At the first step that fails; what was changed before stays changed, for the overlay below is thrown away.
    fn convert(
        &self,
        mounter: &mut dyn Mounter,
        inspection: &Inspection,
        target: &Target,
    ) -> Result<Converted, RecipeError>;
}

/// Every recipe.
const RECIPES: &[&dyn Recipe] = &[&linux::Linux];

/// The recipe for a guest; `None` when there is none yet.
pub fn find(inspection: &Inspection) -> Option<&'static dyn Recipe> {
    RECIPES.iter().copied().find(|recipe| recipe.applies(inspection))
}

/// What a recipe did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Converted {
    /// The recipe's name.
    pub recipe: String,
    /// What was done, and what was noticed, for people.
    pub notes: Vec<String>,
    /// Commands and steps that take it back, inside the guest.
    pub how_to_undo: Vec<String>,
    /// How many bytes of free space were discarded.
    pub trimmed: u64,
    /// The kernels that got drivers.
    pub kernels: Vec<ConvertedKernel>,
    /// The names of network cards that were tied to their addresses.
    pub pinned: Vec<PinnedName>,
}

/// A kernel whose initramfs got drivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvertedKernel {
    /// The kernel's version.
    pub version: String,
    /// Its initramfs.
    pub initramfs: String,
    /// The modules that were added.
    pub modules: Vec<String>,
    /// How many bytes were added.
    pub bytes: u64,
}

/// A network card's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedName {
    /// The name.
    pub name: String,
    /// The hardware address of the card that keeps it.
    pub mac: MacAddress,
}

/// Why a conversion failed.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The guest's files could not be read or written.
    #[error("the step {step:?} failed")]
    Files {
        /// The step.
        step: &'static str,
        /// What went wrong.
        #[source]
        source: FsError,
    },
    /// An initramfs could not be read or extended.
    #[error("the initramfs {path} cannot be given the target's drivers")]
    Initramfs {
        /// Its path.
        path: String,
        /// What went wrong.
        #[source]
        source: Box<initramfs::Error>,
    },
    /// The kernel that starts has no way to get its drivers.
    #[error(
        "the kernel {version} needs modules for the target's disks and has no initramfs to load them from"
    )]
    NoInitramfs {
        /// The kernel.
        version: String,
    },
    /// The target has a disk on a bus that its profile does not describe.
    #[error("the profile {profile} does not say which drivers a disk on {bus:?} needs")]
    UnknownBus {
        /// The profile.
        profile: String,
        /// The bus.
        bus: machine::Bus,
    },
}
