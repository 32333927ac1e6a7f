//! A machine as a user has it: a description together with its disks.
//!
//! What a path leads to is decided by its contents, not by its name: a tar archive is an OVA, XML an OVF
//! descriptor, a dictionary a `.vmx`, a disk image a machine of nothing but that disk. An OVA is read where it is:
//! its disks are windows over the one file, and nothing is unpacked.

mod chunks;
mod described;
mod devices;
mod directory;
mod error;
mod local;
mod lone;
mod manifest;
mod ova;
mod ova_write;
mod recognise;
mod tar;
mod vagrant;
mod vma;
mod xva;
mod xva_sums;
mod xva_write;

pub use directory::sources_in;
pub use error::{Error, Result};
pub use manifest::{Algorithm, VerifiedDigest};
pub use ova_write::{Ova, OvaError, OvaFile, WrittenOva, write_ova};
pub use recognise::{SOURCES, Source};
pub use tar::{Index, Member, TarError};
pub use vma::VmaError;
pub use xva::XvaError;
pub use xva_write::{WrittenXva, XvaWriteError, write_xva};

use crate::ovf::{FileReference, ParsedOvf};
use block::{BlockRead, ZeroDisk};
use chunks::ReferenceGate;
use image::{DirectoryGate, Gate, GateError, Image};
use machine::{Disk, Loss, Machine, Severity};
use manifest::Manifest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A description with its disks, opened for reading.
pub struct Package {
    /// What it is: the name of a [`Source`] or of the [dialect](crate::Dialect) of its description.
    pub kind: &'static str,
    /// The machine that it describes.
    pub machine: Machine,
    /// What the description says and the machine cannot hold, and what is to be said of the package.
    pub losses: Vec<Loss>,
    /// What is in it.
    pub facts: Facts,
    /// Opens its files as they are stored.
    stored: Arc<dyn Gate>,
    /// Opens its files as the description means them: in one piece.
    meant: Arc<dyn Gate>,
    digests: Option<Box<dyn Digests>>,
}

/// What a package says of its files, so that they can be checked.
trait Digests: Send + Sync {
    /// Checks all of it that is there.
    ///
    /// # Errors
    /// For the first file that is not what the package says.
    fn verify(&self, stored: &dyn Gate, progress: &dyn image::copy::Progress) -> Result<Vec<VerifiedDigest>>;
}

/// What the user allows and chooses while a package is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Directories below which a description's disks may lie too, beside its own.
    pub within: Vec<PathBuf>,
    /// Block devices that a description may name, and directories of them (`/dev/vg0`). It may name no others.
    pub devices: Vec<PathBuf>,
    /// Which machine is meant, by its name or its identifier: needed where a package holds several.
    pub machine: Option<String>,
}

/// What is known of a package beside its machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The path that the user named.
    pub path: PathBuf,
    /// The files that the description names or the archive holds, with their sizes in bytes as they are stored.
    pub files: Vec<PackagedFile>,
    /// The manifest with the digests, where there is one.
    pub manifest: Option<String>,
    /// The certificate, where there is one. Its signature is not checked.
    pub certificate: Option<String>,
    /// The machine's identifier in the package, where it has one.
    pub id: Option<String>,
    /// The deployment configuration that was taken, where the package offers several.
    pub configuration: Option<String>,
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackagedFile {
    /// Its name in the package.
    pub name: String,
    /// Its size in bytes, as it is stored; none when it could not be told.
    pub size: Option<u64>,
}

impl Package {
    /// Opens what `path` leads to. Disks are opened later, by [`open_disk`](Self::open_disk).
    ///
    /// # Errors
    /// [`Error`], which says what is wrong with which file, and [what to do](Error::remedy).
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// As [`open`](Self::open), with what the user allows.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Self> {
        let package = recognise::open(path, options)?;
        match &options.machine {
            Some(wanted) if *wanted != package.machine.name && Some(wanted) != package.facts.id.as_ref() => {
                let (path, name) = (path.to_path_buf(), package.machine.name);
                Err(Error::OtherMachine { path, wanted: wanted.clone(), name })
            }
            _ => Ok(package),
        }
    }

    /// Opens the image of one of [the machine's](Self::machine) disks, with its whole backing chain. A disk
    /// without an image is empty.
    ///
    /// # Errors
    /// When the image or something below it is missing, refused, damaged or not supported.
    pub fn open_disk(&self, disk: &Disk) -> Result<Image> {
        let failed = |source| Error::Disk { disk: disk.id.clone(), source: Box::new(source) };
        match &disk.source {
            Some(source) => {
                // Of a disk that is declared raw, nothing is asked of what its guest wrote to the beginning: that could be the
                // header of an image that stands on another file.
                let format = image::by_name("raw").filter(|raw| disk.format.as_deref() == Some(raw.name));
                let options = image::OpenOptions { format, ..image::OpenOptions::default() };
                image::open_with(&self.meant, source, &options).map_err(failed)
            }
            None => {
                let empty: Arc<dyn Gate> = Arc::new(EmptyDisk(disk.capacity.unwrap_or(0)));
                image::open(&empty, &disk.id).map_err(failed)
            }
        }
    }

    /// Opens another file of the package (UEFI variables, the image in a drive) by the name in the description.
    ///
    /// # Errors
    /// When the name is refused, or nothing stands there.
    pub fn open_file(&self, name: &str) -> std::result::Result<Arc<dyn BlockRead>, GateError> {
        self.meant.open(name)
    }

    /// Where the image of a disk is, for people.
    pub fn disk_location(&self, disk: &Disk) -> String {
        match &disk.source {
            Some(source) => self.meant.describe(source).display().to_string(),
            None => "(an empty disk)".to_owned(),
        }
    }

    /// What there is to say when an image is not of the size that the description declares. The image decides: a
    /// guest that saw a larger disk would lose its end, and one that saw a smaller merely gains.
    pub fn compare_capacity(&self, disk: &Disk, image: &Image) -> Option<Loss> {
        let (declared, actual) = (disk.capacity?, image.size());
        if declared == actual {
            return None;
        }
        let what = format!("{}: capacity", disk.id);
        let why =
            format!("the description declares {declared} bytes, the image has {actual}: the image decides");
        let severity = if actual < declared { Severity::Warning } else { Severity::Note };
        Some(Loss { what, kept_as: Some(actual.to_string()), why, severity })
    }

    /// Checks every digest of the manifest, or the checksum of every block of an XVA, several at once. Without such there is
    /// nothing to check, and [`losses`](Self::losses) says so.
    ///
    /// # Errors
    /// [`Error::Xva`] for the first block, [`Error::Digest`] for the first file, in the manifest's order, that is not what the manifest says, and
    /// [`Error::Read`] when one cannot be read.
    pub fn verify(&self, progress: &dyn image::copy::Progress) -> Result<Vec<VerifiedDigest>> {
        match &self.digests {
            Some(digests) => digests.verify(self.stored.as_ref(), progress),
            None => Ok(Vec::new()),
        }
    }
}

impl fmt::Debug for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Package")
            .field("kind", &self.kind)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

/// A gate behind which there is one disk, and that is empty.
struct EmptyDisk(u64);

impl Gate for EmptyDisk {
    fn open(&self, _name: &str) -> std::result::Result<Arc<dyn BlockRead>, GateError> {
        Ok(Arc::new(ZeroDisk::new(self.0)))
    }

    fn describe(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
}

/// Puts an OVF package together, from a tar archive or a directory.
fn ovf_package(
    kind: &'static str,
    path: &Path,
    descriptor: &str,
    parsed: ParsedOvf,
    stored: Arc<dyn Gate>,
) -> Result<Package> {
    let ParsedOvf { machine, losses, files, disks, configuration, id, others } = parsed;
    if let Some(disk) = disks.iter().find(|disk| disk.parent.is_some()) {
        return Err(Error::DeltaDisk { disk: disk.id.clone() });
    }
    let facts = Facts { path: path.to_path_buf(), id, configuration, ..Facts::default() };
    let meant: Arc<dyn Gate> = Arc::new(ReferenceGate::new(Arc::clone(&stored), &files));
    let mut package = Package { kind, machine, losses, facts, stored, meant, digests: None };
    package.name_after(path);
    package.list_files(&files);
    package.find_manifest(descriptor, &files, others > 0)?;
    Ok(package)
}

impl Package {
    /// Gives a machine without a name that of its file.
    fn name_after(&mut self, path: &Path) {
        if self.machine.name.is_empty() {
            self.machine.name =
                path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        }
    }

    /// Looks at every file that the descriptor references.
    fn list_files(&mut self, files: &[FileReference]) {
        for file in files {
            let size = self.meant.open(&file.href).ok().map(|disk| disk.size());
            let what = format!("file {:?}", crate::text::excerpt(&file.href, 80));
            match (size, file.size) {
                (None, _) => {
                    let why = "the descriptor names it, and it is not there";
                    self.losses.push(Loss::dropped(Severity::Warning, what, why));
                }
                (Some(size), Some(declared)) if size != declared => {
                    let why = format!("the descriptor says that it has {declared} bytes; it has {size}");
                    let severity = if size < declared { Severity::Warning } else { Severity::Note };
                    self.losses.push(Loss::dropped(severity, what, why));
                }
                _ => {}
            }
            self.facts.files.push(PackagedFile { name: file.href.clone(), size });
        }
    }

    /// Reads the manifest that belongs to a descriptor, and compares what it lists with what there is. Of `several`
    /// machines, the digests of the others' files are left alone.
    fn find_manifest(&mut self, descriptor: &str, files: &[FileReference], several: bool) -> Result<()> {
        let stem = descriptor.rsplit_once('.').map_or(descriptor, |(stem, _)| stem);
        let certificate = format!("{stem}.cert");
        if self.stored.open(&certificate).is_ok() {
            let why = "the package is signed; the signature is not checked";
            self.losses.push(Loss::dropped(Severity::Note, &certificate, why));
            self.facts.certificate = Some(certificate);
        }
        let name = format!("{stem}.mf");
        let Ok(disk) = self.stored.open(&name) else {
            let why = "there is no manifest: nothing shows that the files are as they were exported";
            self.losses.push(Loss::dropped(Severity::Note, name, why));
            return Ok(());
        };
        let mut manifest = Manifest::read(&name, disk.as_ref())?;
        let mut listed: Vec<&str> = files.iter().map(|file| file.href.as_str()).collect();
        listed.push(descriptor);
        if several {
            manifest.keep(&listed);
        }
        for file in manifest.lacking(&listed) {
            let why = "the manifest does not list it: nothing shows that it is as it was exported";
            self.losses.push(Loss::dropped(Severity::Note, crate::text::excerpt(file, 80), why));
        }
        for entry in manifest.names().filter(|entry| self.stored.open(entry).is_err()) {
            let why = "the manifest lists it, and it is not there";
            self.losses.push(Loss::dropped(Severity::Warning, crate::text::excerpt(entry, 80), why));
        }
        self.facts.manifest = Some(name);
        self.digests = Some(Box::new(manifest));
        Ok(())
    }
}
