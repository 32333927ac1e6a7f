//! What system a guest is: found by looking at its files, without running anything of it.

mod boot;
mod crypttab;
mod devices;
mod display;
mod fstab;
mod hardware_names;
mod kernels;
mod network;
mod objections;
mod os;
mod roots;
mod services;
mod text;

pub use boot::{BootKind, BootLoader};
pub use crypttab::CrypttabEntry;
pub use devices::{LinuxNames, find_volume};
pub use fstab::FstabEntry;
pub use kernels::{Driver, InitramfsFacts, Kernel};
pub use network::{Backend, Interface};
pub use os::{Family, Os};
pub use services::InstalledService;

pub(crate) use devices::split_name;
pub(crate) use hardware_names::{find_by_hardware, split_hardware_name};
pub(crate) use kernels::{MAX_INITRAMFS, build_option, module_tree};
pub(crate) use network::netplan;
pub(crate) use services::{at_home, stem};
pub(crate) use text::{read_text, sorted_names};

use crate::fs::{MountMode, Mounter, Result};
use crate::volume::{Content, Origin, Volume, VolumeId};
use machine::Objection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A guest, as its files describe it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The operating system.
    pub os: Os,
    /// Its name for itself.
    pub hostname: Option<String>,
    /// The filesystems that make up its tree, in the order in which they are mounted; the first is the root. Empty when
    /// no root was found.
    pub mounts: Vec<Mounted>,
    /// Every volume of its disks.
    pub volumes: Vec<VolumeFacts>,
    /// Its kernels, the newest first.
    pub kernels: Vec<Kernel>,
    /// What starts them.
    pub boot: Option<BootLoader>,
    /// Unified kernel images: kernel and initramfs in one program for UEFI.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unified: Vec<String>,
    /// `/etc/fstab`.
    pub fstab: Vec<FstabEntry>,
    /// `/etc/crypttab`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crypttab: Vec<CrypttabEntry>,
    /// Which disk each name means that `/etc/fstab` or `/etc/crypttab` makes from the hardware (`by-id/…`, `by-path/…`), as far as that can be
    /// concluded; disks count from 0.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hardware_names: BTreeMap<String, u32>,
    /// Where it resumes from, as configured: `UUID=…`, `/dev/sda2`.
    pub resume: Option<String>,
    /// The network interfaces that its configuration names.
    pub interfaces: Vec<Interface>,
    /// Guest software of hypervisors that is installed.
    pub services: Vec<InstalledService>,
    /// `enforcing`, `permissive` or `disabled`, where SELinux is configured.
    pub selinux: Option<String>,
    /// The first process: `systemd`, `openrc`, `upstart`, `sysvinit`.
    pub init: Option<String>,
    /// Free bytes of the mounted filesystems, where that is known.
    pub free: Vec<FreeSpace>,
    /// What was noticed on the way and does not stand in the way.
    pub notes: Vec<String>,
    /// What stands in the way of converting it, for whatever target.
    pub objections: Vec<Objection>,
}

/// A filesystem in the guest's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounted {
    /// Which volume.
    pub volume: VolumeId,
    /// Where.
    pub at: String,
    /// The btrfs subvolume, where it is not the default one.
    pub subvolume: Option<String>,
    /// The filesystem's type.
    pub filesystem: String,
}

/// A volume without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeFacts {
    /// Its place in the scan.
    pub id: VolumeId,
    /// Its name for people.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Its size in bytes.
    pub size: u64,
    /// What it holds.
    pub content: Option<Content>,
}

/// How much room a filesystem has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreeSpace {
    /// Where it is mounted.
    pub at: String,
    /// Free bytes.
    pub bytes: u64,
}

/// Finds out what guest `volumes` hold, mounting them read-only with `mounter`; its tree stays mounted.
///
/// `None` when nothing among them is, or hides, an operating system: data disks, empty disks.
///
/// # Errors
/// When the guest's files cannot be read for another reason than that they are missing, of the wrong kind, or
/// larger than any real one; a volume that cannot be mounted is a note.
pub fn inspect(mounter: &mut dyn Mounter, volumes: &[Volume]) -> Result<Option<Inspection>> {
    let mut inspection = Inspection::of(volumes);
    let root = roots::find(mounter, volumes, &mut inspection.notes)?;
    match root {
        Some(roots::Root::Linux(mounted)) => {
            inspection.mounts.push(mounted);
            inspection.linux(mounter, volumes)?;
        }
        Some(roots::Root::Windows(mounted)) => {
            inspection.os = os::windows(mounter)?;
            inspection.mounts.push(mounted);
        }
        None => {}
    }
    inspection.objections = objections::of(&inspection);
    let is_something = !inspection.mounts.is_empty() || !inspection.objections.is_empty();
    Ok(is_something.then_some(inspection))
}

impl Inspection {
    fn of(volumes: &[Volume]) -> Self {
        let facts = |volume: &Volume| VolumeFacts {
            id: volume.id,
            name: volume.name.clone(),
            origin: volume.origin.clone(),
            size: volume.device.size(),
            content: volume.content.clone(),
        };
        Self {
            os: Os::default(),
            hostname: None,
            mounts: Vec::new(),
            volumes: volumes.iter().map(facts).collect(),
            kernels: Vec::new(),
            boot: None,
            unified: Vec::new(),
            fstab: Vec::new(),
            crypttab: Vec::new(),
            hardware_names: BTreeMap::new(),
            resume: None,
            interfaces: Vec::new(),
            services: Vec::new(),
            selinux: None,
            init: None,
            free: Vec::new(),
            notes: Vec::new(),
            objections: Vec::new(),
        }
    }

    /// Fills in what a Linux tree says, once its root is mounted.
    fn linux(&mut self, mounter: &mut dyn Mounter, volumes: &[Volume]) -> Result<()> {
        self.fstab = fstab::read(mounter.tree(), volumes)?;
        self.crypttab = crypttab::read(mounter.tree())?;
        let root = self.mounts.first().map(|mounted| mounted.volume);
        let encrypted = self.crypttab.iter().map(|entry| entry.source.as_str());
        self.hardware_names = hardware_names::conclude(&self.fstab, encrypted, root, &self.volumes);
        for entry in self.fstab.iter_mut().filter(|entry| entry.volume.is_none()) {
            entry.volume = find_by_hardware(&entry.device, &self.hardware_names, &self.volumes);
        }
        crypttab::resolve(
            &mut self.crypttab,
            &mut self.fstab,
            &self.hardware_names,
            &self.volumes,
            &mut self.notes,
        );
        self.mount_rest(mounter);
        for mounted in &self.mounts {
            if let Some(bytes) = mounter.free_space(&mounted.at)? {
                self.free.push(FreeSpace { at: mounted.at.clone(), bytes });
            }
        }
        let tree = mounter.tree();
        self.os = os::linux(tree)?;
        self.hostname = read_text(tree, "/etc/hostname")?.and_then(|text| first_word(&text));
        self.kernels = kernels::find(tree, &mut self.notes)?;
        self.boot = boot::find(tree)?;
        self.unified = boot::unified(tree)?;
        self.resume = boot::resume(tree, self.boot.as_ref())?;
        self.interfaces = network::find(tree)?;
        self.services = services::find(tree)?;
        self.selinux = os::selinux(tree)?;
        self.init = os::init(tree)?;
        Ok(())
    }

    /// Mounts what `/etc/fstab` puts into the tree and what lies on the guest's disks, outer directories first.
    fn mount_rest(&mut self, mounter: &mut dyn Mounter) {
        let mut entries: Vec<_> = self.fstab.iter().filter(|entry| entry.is_mounted_at_boot()).collect();
        entries.sort_by_key(|entry| entry.at.matches('/').count());
        for entry in entries {
            let Some(volume) = entry.volume.and_then(|id| self.volumes.iter().find(|volume| volume.id == id))
            else {
                continue;
            };
            let Some(content) = &volume.content else { continue };
            let mounted = Mounted {
                volume: volume.id,
                at: entry.at.clone(),
                subvolume: entry.subvolume(),
                filesystem: content.kind.clone(),
            };
            if self.mounts.iter().any(|other| other.at == mounted.at) {
                continue;
            }
            match mounter.mount(
                mounted.volume,
                &mounted.at,
                MountMode::ReadOnly,
                mounted.subvolume.as_deref(),
            ) {
                Ok(()) => self.mounts.push(mounted),
                Err(error) => self.notes.push(error.to_string()),
            }
        }
    }

    /// Mounts the guest's tree again, all of it for reading or for writing.
    ///
    /// # Errors
    /// When a filesystem that could be mounted before no longer can.
    pub fn mount(&self, mounter: &mut dyn Mounter, mode: MountMode) -> Result<()> {
        mounter.unmount_all()?;
        for mounted in &self.mounts {
            mounter.mount(mounted.volume, &mounted.at, mode, mounted.subvolume.as_deref())?;
        }
        Ok(())
    }

    /// The volume of that number.
    pub fn volume(&self, id: VolumeId) -> Option<&VolumeFacts> {
        self.volumes.iter().find(|volume| volume.id == id)
    }

    /// The system's name for people: `Debian GNU/Linux 12 (bookworm)`.
    pub fn pretty_name(&self) -> String {
        self.os.name.clone().unwrap_or_else(|| "an unknown system".into())
    }
}

fn first_word(text: &str) -> Option<String> {
    text.split_whitespace().next().map(Into::into)
}
