//! What every renderer is told and gives back.

use crate::adapt::model_name;
use machine::{Bus, Disk, Loss, Machine, Nic};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A description that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The description.
    pub text: String,
    /// What the machine has and the description cannot say.
    pub losses: Vec<Loss>,
}

/// Where a machine's disks are and what it is connected to, on the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenderOptions {
    /// The name on the target; the machine's own when it is not given.
    pub name: Option<String>,
    /// Where the description and its files will lie, absolute; relative paths are below it.
    pub directory: Option<PathBuf>,
    /// The file of every disk.
    pub disks: Vec<DiskFile>,
    /// The images in the removable drives, by the drive's place in [`machine::Machine::removables`].
    pub media: BTreeMap<usize, PathBuf>,
    /// Where the UEFI variables are kept; the hypervisor's own place when it is not given.
    pub nvram: Option<PathBuf>,
    /// What the source's networks are on the target, by name.
    pub networks: BTreeMap<String, Network>,
    /// What every other network is; the dialect's own choice when it is not given.
    pub default_network: Option<Network>,
}

/// The file that holds a disk on the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskFile {
    /// Which disk: its [`machine::Disk::id`].
    pub id: String,
    /// The file. A relative one lies beside the description.
    pub path: PathBuf,
    /// The target's storage that is to hold it, by the target's name for it; its usual one when absent.
    pub storage: Option<String>,
    /// Its format, as `anyvisor disk` calls it: `qcow2`, `vmdk`.
    pub format: String,
    /// The format's variant: `streamOptimized`.
    pub subformat: Option<String>,
    /// The size that the guest sees, in bytes.
    pub capacity: u64,
    /// The size of the file in bytes, once it is written.
    pub file_size: Option<u64>,
    /// The identifier inside the image, where its writer was given one: VirtualBox attaches by it.
    pub identifier: Option<Uuid>,
}

/// A network of the target's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// A network that the target manages under that name: libvirt's, a port group, a virtual switch.
    Managed(String),
    /// A bridge of the host's, by name.
    Bridge(String),
    /// The hypervisor process's own network stack: out, but not in.
    User,
}

impl Network {
    /// Its name; `None` for the one without.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Managed(name) | Self::Bridge(name) => Some(name),
            Self::User => None,
        }
    }
}

/// Why a machine could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// A disk has no file.
    #[error("no file is given for {disk}")]
    NoFile {
        /// The disk.
        disk: String,
    },
    /// A path is not absolute.
    #[error("{} is not an absolute path", path.display())]
    Relative {
        /// The path.
        path: PathBuf,
    },
    /// A path that is not UTF-8, or holds a character that the description cannot carry.
    #[error("{} cannot be written in a description", path.display())]
    NotText {
        /// The path.
        path: PathBuf,
    },
    /// A bus that the target does not have: the machine was not adapted to it.
    #[error("{disk} hangs on {bus:?}, which the target does not have")]
    Bus {
        /// The disk.
        disk: String,
        /// The bus.
        bus: Bus,
    },
    /// A disk's image is of a format that the target does not read.
    #[error("the image of {disk} is {format:?}, which the target does not read")]
    Format {
        /// The disk.
        disk: String,
        /// The format.
        format: String,
    },
    /// A dialect of that name is not known, or is only read.
    #[error("no description is written as {dialect:?}")]
    Dialect {
        /// Its name.
        dialect: String,
    },
    /// A network card that the target does not have: the machine was not adapted to it.
    #[error("{nic} is a {model}, which the target does not have")]
    NicModel {
        /// The card.
        nic: String,
        /// Its model.
        model: String,
    },
}

impl RenderError {
    /// A disk hangs on a bus that the target does not have.
    pub(crate) fn bus(disk: &Disk) -> Self {
        Self::Bus { disk: disk.id.clone(), bus: disk.attachment.bus }
    }

    /// A card is one that the target does not have.
    pub(crate) fn card(nic: &Nic) -> Self {
        Self::NicModel { nic: nic.id.clone(), model: model_name(&nic.model) }
    }
}

impl RenderOptions {
    /// Those for a description alone: every disk stays the file that the source's description, at `path`, names.
    pub fn for_description(machine: &Machine, path: &Path) -> Self {
        let directory = std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_path_buf));
        let disks = machine.disks.iter().map(|disk| DiskFile {
            id: disk.id.clone(),
            path: disk.source.clone().unwrap_or_else(|| disk.id.clone()).into(),
            format: disk.format.clone().unwrap_or_else(|| "raw".to_owned()),
            capacity: disk.capacity.unwrap_or(0),
            ..DiskFile::default()
        });
        Self { directory, disks: disks.collect(), ..Self::default() }
    }

    /// A path of a file, absolute.
    pub(crate) fn absolute(&self, path: &Path) -> Result<PathBuf, RenderError> {
        let absolute =
            self.directory.as_ref().map_or_else(|| path.to_path_buf(), |directory| directory.join(path));
        match absolute.is_absolute() {
            true => Ok(absolute),
            false => Err(RenderError::Relative { path: path.to_path_buf() }),
        }
    }

    /// The file of a disk.
    pub(crate) fn disk(&self, id: &str) -> Result<&DiskFile, RenderError> {
        self.disks
            .iter()
            .find(|disk| disk.id == id)
            .ok_or_else(|| RenderError::NoFile { disk: id.to_owned() })
    }

    /// What a network of the source's is on the target; `None` when nobody said.
    pub(crate) fn network(&self, name: Option<&str>) -> Option<&Network> {
        name.and_then(|name| self.networks.get(name)).or(self.default_network.as_ref())
    }
}

/// A path as text.
pub(crate) fn path_text(path: &Path) -> Result<&str, RenderError> {
    path.to_str()
        .filter(|text| text.chars().all(|c| crate::xml::is_xml(c) && c != '\r'))
        .ok_or_else(|| RenderError::NotText { path: path.to_path_buf() })
}
