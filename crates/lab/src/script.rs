//! The scripts that make a guest, in the order in which they run, and the packages of every base tree.

use crate::axes::Layout;

/// In a base tree: once the essential packages are there, and when all are.
pub(crate) const BASE: [&str; 2] = [include_str!("../guests/base.sh"), include_str!("../guests/kept.sh")];

/// In a guest's tree, each told the tree's root.
pub(crate) const GUEST: [&str; 3] = [
    include_str!("../guests/prepare.sh"),
    include_str!("../guests/packages.sh"),
    include_str!("../guests/settings.sh"),
];

/// Makes the initramfs, inside the guest.
pub(crate) const INITRAMFS: &str = include_str!("../guests/initramfs.sh");
/// Makes GRUB's files for a disk that is not there, inside the guest.
pub(crate) const GRUB: &str = include_str!("../guests/grub.sh");
/// Removes what differs from one making to the next; told the tree's root.
pub(crate) const CLEAN: &str = include_str!("../guests/clean.sh");
/// The init of the machine that installs a guest.
pub(crate) const INSTALL: &str = include_str!("../guests/install.sh");

/// What makes a guest start, behind its tree's own scripts: where its disk can be made without a machine, and where not.
pub(crate) fn finish(layout: Layout) -> [&'static str; 3] {
    let last = if layout == Layout::Ext4 { GRUB } else { INSTALL };
    [INITRAMFS, CLEAN, last]
}

/// The packages of every guest.
pub(crate) const BASE_PACKAGES: &[&str] = &[
    "dbus",
    "e2fsprogs",
    "grub-efi-amd64-bin",
    "grub-pc-bin",
    "grub2-common",
    "ifupdown",
    "initramfs-tools",
    "iproute2",
    "iputils-ping",
    "kmod",
    "linux-image-amd64",
    "procps",
    "systemd-sysv",
    "udev",
    "zstd",
];
