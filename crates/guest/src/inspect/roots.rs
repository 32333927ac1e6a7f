//! Finding the filesystem that is the root of a system.

use super::Mounted;
use crate::fs::{GuestFs, MountMode, Mounter, Result};
use crate::volume::Volume;

/// Filesystems that a Linux system can have as its root.
const LINUX: &[&str] = &["ext2", "ext3", "ext4", "xfs", "btrfs"];
/// Subvolumes that distributions put the root into; the default one first.
const SUBVOLUMES: &[Option<&str>] = &[None, Some("@"), Some("@rootfs"), Some("root")];
/// What only the root of a Linux system has.
const MARKS: &[&str] = &["/etc/fstab", "/etc/os-release", "/usr/lib/os-release", "/etc/redhat-release"];

/// The root of a system.
pub(super) enum Root {
    Linux(Mounted),
    Windows(Mounted),
}

/// Mounts volume after volume until one is the root of a system, and leaves that one mounted. Volumes that cannot be
/// mounted are noted.
pub(super) fn find(
    mounter: &mut dyn Mounter,
    volumes: &[Volume],
    notes: &mut Vec<String>,
) -> Result<Option<Root>> {
    for volume in volumes {
        let Some(kind) = volume.content.as_ref().map(|content| content.kind.as_str()) else { continue };
        let subvolumes = match kind {
            "btrfs" => SUBVOLUMES,
            "ntfs" => &SUBVOLUMES[..1],
            _ if LINUX.contains(&kind) => &SUBVOLUMES[..1],
            _ => continue,
        };
        for subvolume in subvolumes {
            mounter.unmount_all()?;
            match mounter.mount(volume.id, "/", MountMode::ReadOnly, *subvolume) {
                Ok(()) => {}
                // A subvolume of that name need not exist.
                Err(_) if subvolume.is_some() => continue,
                Err(error) => {
                    notes.push(format!("{}: {error}", volume.name));
                    continue;
                }
            }
            let mounted = Mounted {
                volume: volume.id,
                at: "/".into(),
                subvolume: subvolume.map(Into::into),
                filesystem: kind.into(),
            };
            let tree = mounter.tree();
            if kind == "ntfs" {
                if tree.exists("/Windows/System32")? {
                    return Ok(Some(Root::Windows(mounted)));
                }
            } else if is_linux_root(tree)? {
                return Ok(Some(Root::Linux(mounted)));
            }
        }
    }
    mounter.unmount_all()?;
    Ok(None)
}

fn is_linux_root(tree: &mut dyn GuestFs) -> Result<bool> {
    for mark in MARKS {
        if tree.exists(mark)? {
            return Ok(true);
        }
    }
    Ok(false)
}
