//! Why a package could not be opened.

use super::Algorithm;
use super::tar::TarError;
use super::vma::VmaError;
use super::xva::XvaError;
use crate::dialects::ParseError;
use crate::ovf;
use image::GateError;
use std::path::PathBuf;

/// The result of an operation on a package.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a package could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path is refused, or nothing stands there.
    #[error("cannot open {}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: GateError,
    },
    /// The path leads to a directory that does not hold one description.
    #[error("{} is a directory with {} descriptions of machines", path.display(), found.len())]
    Directory {
        /// The path.
        path: PathBuf,
        /// The descriptions in it.
        found: Vec<PathBuf>,
    },
    /// The file is nothing that describes a machine.
    #[error("{} is nothing that describes a machine, and no disk image", path.display())]
    Unrecognised {
        /// The path.
        path: PathBuf,
    },
    /// The file is compressed as a whole.
    #[error("{} is a compressed archive ({compression})", path.display())]
    Compressed {
        /// The path.
        path: PathBuf,
        /// How.
        compression: &'static str,
    },
    /// A disk image of a format that cannot be read.
    #[error("{} is {format}; not supported yet", path.display())]
    UnsupportedImage {
        /// The path.
        path: PathBuf,
        /// The format, with its article.
        format: &'static str,
    },
    /// The file is larger than any description.
    #[error("{} has {size} bytes, too many for a description", path.display())]
    TooLarge {
        /// The path.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// The archive is damaged, cut off, or hostile.
    #[error("the archive {} is refused", path.display())]
    Tar {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: TarError,
    },
    /// The disks of an XVA are not whole, or out of order.
    #[error("the archive {} is refused", path.display())]
    Xva {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: XvaError,
    },
    /// The Proxmox archive is damaged, cut off, or hostile.
    #[error("the archive {} is refused", path.display())]
    Vma {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: VmaError,
    },
    /// A Proxmox archive that is compressed as a whole.
    #[error("{} is a compressed Proxmox archive: its disks cannot be read where they are", path.display())]
    CompressedVma {
        /// The path.
        path: PathBuf,
        /// The command that uncompresses it.
        remedy: &'static str,
    },
    /// The archive holds no descriptor.
    #[error("there is no .ovf file among the {members} files of {}", path.display())]
    NoDescriptor {
        /// The path.
        path: PathBuf,
        /// How many files it holds.
        members: usize,
    },
    /// The archive holds more than one descriptor.
    #[error("{} holds several .ovf files: {}", path.display(), names.join(", "))]
    SeveralDescriptors {
        /// The path.
        path: PathBuf,
        /// Their names.
        names: Vec<String>,
    },
    /// A Vagrant box does not say what is in it.
    #[error("the metadata.json of the box {} is refused", path.display())]
    Metadata {
        /// The box.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A Vagrant box for something that is no hypervisor, or none that is known.
    #[error("{} is a Vagrant box for {provider:?}, of which nothing is known", path.display())]
    Provider {
        /// The box.
        path: PathBuf,
        /// What it is for.
        provider: String,
    },
    /// A Vagrant box without what its provider needs.
    #[error("the box {} is for {provider}, and holds no {missing}", path.display())]
    BoxLacks {
        /// The box.
        path: PathBuf,
        /// What it is for.
        provider: String,
        /// What is missing.
        missing: &'static str,
    },
    /// The machine is not the one that was chosen.
    #[error("{} holds the machine {name:?}, not {wanted:?}", path.display())]
    OtherMachine {
        /// The package.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// The only machine's name.
        name: String,
    },
    /// The OVF descriptor cannot be read.
    #[error("the OVF descriptor {} is refused", path.display())]
    Ovf {
        /// The descriptor.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<ovf::Error>,
    },
    /// A description cannot be read.
    #[error("{} is {what}, and is refused", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What it is, with its article.
        what: &'static str,
        /// Why.
        #[source]
        source: ParseError,
    },
    /// A description names more disks than any machine has.
    #[error("{} describes a machine with {disks} disks", path.display())]
    TooManyDisks {
        /// The description.
        path: PathBuf,
        /// How many disks it names.
        disks: usize,
    },
    /// A disk of an OVF package holds only the differences to another.
    #[error("the disk {disk:?} of the package holds only the differences to another disk")]
    DeltaDisk {
        /// The disk's identifier in the descriptor.
        disk: String,
    },
    /// The image of a disk cannot be opened.
    #[error("the image of {disk} cannot be opened")]
    Disk {
        /// The disk.
        disk: String,
        /// Why.
        #[source]
        source: Box<image::Error>,
    },
    /// A file of the package cannot be read.
    #[error("cannot read {file} of the package")]
    Read {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: block::Error,
    },
    /// A line of the manifest is not of the form `SHA256(name)= digest`.
    #[error("line {line} of {manifest} is not of the form SHA256(name)= digest")]
    Manifest {
        /// The manifest.
        manifest: String,
        /// The line, from 1.
        line: usize,
    },
    /// A digest that is computed in a way that is not known here.
    #[error("line {line} of {manifest}: the digest {algorithm:?} is not known")]
    Algorithm {
        /// The manifest.
        manifest: String,
        /// The line, from 1.
        line: usize,
        /// What the manifest calls it.
        algorithm: String,
    },
    /// A file is not the one that was exported.
    #[error("the {algorithm} of {file} is {actual}, and {manifest} says {expected}")]
    Digest {
        /// The file.
        file: String,
        /// The manifest.
        manifest: String,
        /// The kind of digest.
        algorithm: Algorithm,
        /// What the manifest says, in hexadecimal digits.
        expected: String,
        /// What the file gives.
        actual: String,
    },
}

impl Error {
    /// What to [choose](super::OpenOptions::machine) each machine by, where that is what was left open; empty otherwise.
    pub fn machines(&self) -> &[String] {
        match self {
            Self::Ovf { source, .. } => match source.as_ref() {
                ovf::Error::SeveralSystems { names } => names,
                _ => &[],
            },
            _ => &[],
        }
    }

    /// What the administrator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Path { source, .. } => source.remedy(),
            Self::Directory { .. } => {
                "name the description in it: the .ova, .ovf, .vmx, .vmcx, .vbox, .xml, .conf or .cfg file, or a disk"
            }
            Self::Unrecognised { .. } => {
                "`anyvisor sources` lists what can be read; of a disk in several files, name the one that describes it (not \
                 its -flat.vmdk or -s001.vmdk)"
            }
            Self::Compressed { .. } => "uncompress it first: gunzip, unxz, unzip or the like",
            Self::UnsupportedImage { .. } => {
                "convert the image to VMDK, qcow2 or raw first (qemu-img convert)"
            }
            Self::Tar { source, .. } => source.remedy(),
            Self::Vma { source, .. } => source.remedy(),
            Self::CompressedVma { remedy, .. } => remedy,
            Self::Xva { .. } => {
                "the archive is damaged or was cut off: fetch it again, or export the machine again"
            }
            Self::NoDescriptor { .. } => "check that the archive is an OVA: it must hold an .ovf file",
            Self::SeveralDescriptors { .. } => "unpack the archive and name one of the .ovf files",
            Self::OtherMachine { .. } => "leave --machine out, or correct the name",
            Self::Ovf { source, .. } => source.remedy(),
            Self::Description { source, .. } => source.remedy(),
            Self::TooManyDisks { .. } => "check the description: 1,024 disks are the most that are read",
            Self::Metadata { .. } | Self::BoxLacks { .. } => {
                "check that the box was fetched whole: vagrant box add verifies it"
            }
            Self::Provider { .. } => {
                "take the box for virtualbox, libvirt, vmware_desktop or hyperv, if there is one"
            }
            Self::DeltaDisk { .. } => {
                "remove the snapshots on the source, or clone the machine, and export it again"
            }
            Self::Disk { source, .. } => source
                .remedy()
                .unwrap_or("check that every file of the disk was copied, whole and under its own name"),
            Self::Read { .. } => "check that the file can be read",
            Self::TooLarge { .. } | Self::Manifest { .. } | Self::Algorithm { .. } => {
                "check that the package was copied whole and as it is, or remove the .mf file to go on without it"
            }
            Self::Digest { .. } => {
                "the file was changed or damaged since the export: fetch it again, or export the machine again"
            }
        }
    }
}
