//! What the rows have in common: a machine with one disk of three partitions, and the tree that a row describes.

use guest::fs::memory::MemoryTree;
use guest::fs::{GuestFs, MountMode, Mounter};
use guest::initramfs::cpio::{self, Entry};
use guest::volume::VolumeId;
use machine::{Attachment, Bus, Disk, Firmware, Machine, Nic, NicModel, ScsiModel};
use std::collections::BTreeSet;

/// The address of the network card, which it keeps.
const MAC: &str = "00:0c:29:4c:5b:6a";

/// A release, as a tree has it.
pub(crate) struct Release {
    /// The snapshot's name.
    pub(crate) id: &'static str,
    /// The newest kernel's version.
    pub(crate) kernel: &'static str,
    /// The modules of the kernel: path below its directory and what it needs, in the order of `modules.dep`.
    pub(crate) modules: &'static [(&'static str, &'static str)],
    /// `modules.alias`.
    pub(crate) aliases: &'static str,
    /// `modules.builtin`.
    pub(crate) builtin: &'static str,
    /// Whether `modules.dep` has absolute paths.
    pub(crate) absolute: bool,
    /// The path of its initramfs.
    pub(crate) initramfs: &'static str,
    /// What compresses it.
    pub(crate) compress: fn(&[u8]) -> Vec<u8>,
    /// What is inside: paths with their text; a path that ends in `/` is a directory.
    pub(crate) inside: &'static [(&'static str, &'static str)],
    /// Files of the guest.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// Symbolic links of the guest: path and target.
    pub(crate) links: &'static [(&'static str, &'static str)],
}

impl Release {
    /// Its initramfs, behind a microcode archive.
    pub(crate) fn initramfs(&self) -> Vec<u8> {
        let mut entries = Vec::new();
        let mut known = BTreeSet::new();
        for (path, text) in self.inside {
            for (at, _) in path.match_indices('/') {
                if known.insert(&path[..at]) {
                    entries.push(Entry::directory(&path[..at]));
                }
            }
            if !path.ends_with('/') {
                entries.push(Entry::file(*path, *text));
            }
        }
        (self.compress)(&cpio::write(&entries))
    }

    fn dep(&self) -> String {
        let prefix = if self.absolute { format!("/lib/modules/{}/", self.kernel) } else { String::new() };
        let line = |(path, needs): &(&str, &str)| {
            let needs: String = needs.split_whitespace().map(|path| format!(" {prefix}{path}")).collect();
            format!("{prefix}{path}:{needs}\n")
        };
        self.modules.iter().map(line).collect()
    }
}

/// The release's files, not mounted.
pub(crate) fn tree(release: &Release) -> MemoryTree {
    let mut tree = MemoryTree::new();
    tree.add_volume(VolumeId(0), None, None);
    tree.add_volume(VolumeId(1), None, None);
    tree.mount(VolumeId(1), "/", MountMode::ReadWrite, None).unwrap();
    tree.create_dir("/boot").unwrap();
    tree.mount(VolumeId(0), "/boot", MountMode::ReadWrite, None).unwrap();
    for (path, text) in release.files {
        tree.put(path, *text).unwrap();
    }
    for (path, target) in release.links {
        let parent = path.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty());
        parent.iter().for_each(|parent| tree.create_dir(parent).unwrap());
        tree.symlink(target, path).unwrap();
    }
    let modules = format!("/lib/modules/{}", release.kernel);
    for (path, _) in release.modules {
        tree.put(&format!("{modules}/{path}"), format!("module {path}")).unwrap();
    }
    tree.put(&format!("{modules}/modules.dep"), release.dep()).unwrap();
    tree.put(&format!("{modules}/modules.alias"), release.aliases).unwrap();
    if !release.builtin.is_empty() {
        tree.put(&format!("{modules}/modules.builtin"), release.builtin).unwrap();
    }
    if !release.files.iter().any(|(path, _)| path.starts_with("/boot/vmlinuz-")) {
        tree.put(&format!("/boot/vmlinuz-{}", release.kernel), "kernel").unwrap();
    }
    tree.put(release.initramfs, release.initramfs()).unwrap();
    tree.unmount_all().unwrap();
    tree
}

/// The machine on ESXi, or as KVM will run it.
pub(crate) fn machine(on_kvm: bool) -> Machine {
    let (bus, model) = match on_kvm {
        true => (Bus::VirtioBlk, NicModel::Virtio),
        false => (Bus::Scsi(ScsiModel::LsiLogic), NicModel::Vmxnet3),
    };
    let attachment = Attachment { bus, controller: 0, unit: 0 };
    let nic =
        Nic { id: "nic1".into(), model, mac: Some(MAC.parse().unwrap()), connected: true, ..Nic::default() };
    Machine {
        name: "guest".into(),
        firmware: Firmware::Bios,
        disks: vec![Disk { id: "disk1".into(), attachment, ..Disk::default() }],
        nics: vec![nic],
        ..Machine::default()
    }
}

/// The drivers that rows have, of a kernel that has all of virtio as modules.
pub(crate) const MODULES: &[(&str, &str)] = &[
    ("kernel/drivers/virtio/virtio_ring.ko", ""),
    ("kernel/drivers/virtio/virtio.ko", "kernel/drivers/virtio/virtio_ring.ko"),
    (
        "kernel/drivers/virtio/virtio_pci.ko",
        "kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko",
    ),
    (
        "kernel/drivers/block/virtio_blk.ko",
        "kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko",
    ),
    (
        "kernel/drivers/net/virtio_net.ko",
        "kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko",
    ),
    ("kernel/drivers/scsi/scsi_mod.ko", ""),
    ("kernel/drivers/scsi/sd_mod.ko", "kernel/drivers/scsi/scsi_mod.ko"),
    ("kernel/drivers/message/fusion/mptspi.ko", "kernel/drivers/scsi/scsi_mod.ko"),
];

/// Their aliases.
pub(crate) const ALIASES: &str = "\
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias virtio:d00000002v* virtio_blk
alias virtio:d00000001v* virtio_net
alias scsi:t-0x00* sd_mod
";
