//! The image that a user names, opened with everything that belongs to it: [`Opened`].

use super::args;
use crate::secret;
use anyhow::{Context as _, Result};
use image::{DirectoryGate, Gate, Image, LayerInfo, OpenOptions};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An image and the gate through which its files were found.
pub(super) struct Opened {
    /// The disk.
    pub(super) image: Image,
    gate: Arc<dyn Gate>,
}

/// Where an image's files are found, and what it is called there.
pub(super) struct Place {
    /// The gate to its directory.
    pub(super) gate: Arc<dyn Gate>,
    /// Its name in it.
    pub(super) name: String,
}

impl Place {
    /// The place of the image at `path`.
    ///
    /// # Errors
    /// When there is nothing, or nothing that a name can be given to.
    pub(super) fn of(path: &Path) -> Result<Self> {
        // What the user named is missed by that name; what an image names, by the gate's reasons.
        path.metadata().with_context(|| format!("cannot open {}", path.display()))?;
        let (gate, name) = DirectoryGate::for_file(path).map_err(image::Error::from)?;
        Ok(Self { gate: Arc::new(gate), name })
    }
}

impl Opened {
    /// Opens the image at `path`.
    ///
    /// # Errors
    /// When it cannot be found, read or understood, or the passphrase file cannot be read.
    pub(super) fn open(path: &Path, wanted: &args::Source) -> Result<Self> {
        let Place { gate, name } = Place::of(path)?;
        let image = image::open_with(&gate, &name, &options(wanted)?)?;
        Ok(Self { image, gate })
    }

    /// Where the file is that the chain calls `name`.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        let path = self.gate.describe(name);
        path.strip_prefix(".").map(Path::to_path_buf).unwrap_or(path)
    }

    /// Every file of the chain with its status, each file once.
    pub(super) fn files(&self) -> Vec<(PathBuf, Metadata)> {
        let names = self.image.info().layers.iter().flat_map(|layer| &layer.files);
        let mut files: Vec<(PathBuf, Metadata)> = Vec::new();
        for path in names.map(|name| self.path(name)) {
            let Ok(metadata) = path.metadata() else { continue };
            if !files.iter().any(|(_, known)| same_file(known, &metadata)) {
                files.push((path, metadata));
            }
        }
        files
    }

    /// How many bytes the files of a layer take on their filesystem.
    pub(super) fn allocated(&self, layer: &LayerInfo) -> u64 {
        let metadata = layer.files.iter().filter_map(|name| self.path(name).metadata().ok());
        metadata.map(|metadata| metadata.blocks() * 512).sum()
    }
}

/// Whether both are of one file.
pub(super) fn same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The options that the arguments ask for.
///
/// # Errors
/// When the passphrase file cannot be read.
pub(super) fn options(wanted: &args::Source) -> Result<OpenOptions> {
    let passphrase = wanted.passphrase_file.as_deref().map(secret::image_passphrase).transpose()?;
    Ok(OpenOptions { format: wanted.from, snapshot: wanted.snapshot.clone(), passphrase })
}
