//! Why a migration did not happen.

use machine::Objection;
use std::io;
use std::path::{Path, PathBuf};

/// The result of a step of a migration.
pub type Result<T> = std::result::Result<T, Error>;

/// The remedy for a source that is damaged, where nothing better is known.
const WHOLE: &str = "check that the source is whole: export or download it again";

/// Why a migration did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source cannot become what was asked for; nothing was begun.
    #[error("{} is refused", source_path.display())]
    Refused {
        /// The source.
        source_path: PathBuf,
        /// Every reason, each with its remedy.
        objections: Vec<Objection>,
    },
    /// The description or its package cannot be read.
    #[error("cannot read {}", path.display())]
    Source {
        /// The source.
        path: PathBuf,
        /// What the administrator can do.
        remedy: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file of the target already exists.
    #[error("{} already exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another run is making the same target.
    #[error("another run is writing {}", directory.display())]
    Busy {
        /// Its stage.
        directory: PathBuf,
    },
    /// A manifest names a hypervisor that this program does not know.
    #[error("there is no target {id:?}")]
    Target {
        /// Its name.
        id: String,
    },
    /// The new machine cannot be described.
    #[error("the new machine cannot be described")]
    Description {
        /// Why.
        #[source]
        source: dialect::RenderError,
    },
    /// A packing that is not written.
    #[error("the packing {packing:?} is not written")]
    Packing {
        /// Its name.
        packing: String,
    },
    /// A disk could not be copied.
    #[error("cannot copy {disk}")]
    Copy {
        /// The machine's name for the disk.
        disk: String,
        /// Why.
        #[source]
        source: image::Error,
    },
    /// The guest inside the disks could not be read or edited.
    #[error("cannot {action} the guest")]
    Guest {
        /// What was tried, as a verb.
        action: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The rehearsal could not be held.
    #[error("cannot rehearse {name}")]
    Rehearsal {
        /// The machine.
        name: String,
        /// Why.
        #[source]
        source: Box<rehearse::Error>,
    },
    /// A manifest is not one of ours.
    #[error("{} is not a manifest of Anyvisor's", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A directory holds no finished target, or several.
    #[error("{} holds {found} finished machines", path.display())]
    Ambiguous {
        /// The directory.
        path: PathBuf,
        /// How many manifests there are.
        found: usize,
    },
    /// The host's operating system refused.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { operation, path: path.to_path_buf(), source }
    }

    /// The error of opening a package.
    pub fn package(path: &Path, error: dialect::package::Error) -> Self {
        let remedy = error.remedy();
        Self::Source { path: path.to_path_buf(), remedy, source: Box::new(error) }
    }

    pub(crate) fn image(path: &Path, error: image::Error) -> Self {
        let remedy = error.remedy().unwrap_or(WHOLE);
        Self::Source { path: path.to_path_buf(), remedy, source: Box::new(error) }
    }

    pub(crate) fn volumes(path: &Path, error: guest::volume::ScanError) -> Self {
        let remedy = error.remedy().unwrap_or(WHOLE);
        Self::Source { path: path.to_path_buf(), remedy, source: Box::new(error) }
    }

    pub(crate) fn guest(action: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Guest { action, source: Box::new(error) }
    }

    /// Whether it is the source that is refused, rather than the work that failed.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Source { .. } => true,
            Self::Copy { source, .. } => is_about_the_source(source),
            Self::Rehearsal { source, .. } => source.is_refusal(),
            _ => false,
        }
    }

    /// What the administrator can do, where there is one thing to do.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Exists { .. } => {
                Some("choose another --output or --name, or remove the finished machine first")
            }
            Self::Busy { .. } => Some("wait for it, or end it; then run the same command again"),
            Self::Copy { source, .. } if is_about_the_source(source) => Some(WHOLE),
            Self::Copy { source, .. } => source.remedy(),
            Self::Source { remedy, .. } => Some(remedy),
            Self::Rehearsal { source, .. } => source.remedy(),
            Self::Manifest { .. } => {
                Some("name the directory that `anyvisor convert` wrote, or its .manifest.json")
            }
            Self::Ambiguous { found: 0, .. } => Some("convert a machine into it first, or name a source"),
            Self::Ambiguous { .. } => Some("name the .manifest.json of the one that you mean"),
            _ => None,
        }
    }
}

/// Whether a copy failed because its source cannot be read.
fn is_about_the_source(error: &image::Error) -> bool {
    matches!(error, image::Error::Source { .. })
}
