//! Filesystems in files, made and checked by their own tools; and booting with them.

use appliance::{Appliance, BootOptions, kernel};
use block::WritableFileDisk;
use guest::volume::{Content, Origin, Volume, VolumeId};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// A directory of images, which become volumes in their order.
pub(crate) struct Images {
    directory: TempDir,
    made: Vec<(PathBuf, String)>,
}

impl Images {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), made: Vec::new() }
    }

    /// Makes an empty filesystem of `mib` MiB. The volume is the place in the order of making.
    pub(crate) fn make(&mut self, kind: &str, mib: u64) -> VolumeId {
        let path = self.directory.path().join(format!("{}-{kind}.img", self.made.len()));
        File::create(&path).unwrap().set_len(mib << 20).unwrap();
        let file = path.to_str().unwrap();
        match kind {
            "ext2" | "ext3" | "ext4" => run(&["mke2fs", "-q", "-F", "-t", kind, file]),
            "xfs" => run(&["mkfs.xfs", "-q", "-f", file]),
            // As RHEL 6 makes it.
            "xfs-v4" => run(&["mkfs.xfs", "-q", "-f", "-m", "crc=0", file]),
            "btrfs" => run(&["mkfs.btrfs", "-q", file]),
            "vfat" => run(&["mkfs.vfat", file]),
            "ntfs" => run(&["mkntfs", "-q", "-F", "-Q", file]),
            other => panic!("no way to make {other}"),
        };
        self.made.push((path, kind.to_string()));
        VolumeId(self.made.len() as u32 - 1)
    }

    pub(crate) fn path(&self, volume: VolumeId) -> &Path {
        &self.made[volume.0 as usize].0
    }

    pub(crate) fn boot(&self) -> Appliance {
        let volumes: Vec<Volume> =
            self.made.iter().zip(0..).map(|((path, kind), id)| volume(path, kind, id)).collect();
        // On a machine without a kernel of its own, and in its first test ever, one is fetched.
        if kernel::locate().is_err() {
            kernel::install().unwrap();
        }
        Appliance::boot(&volumes, &BootOptions::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Lets each filesystem's own tool find fault with it.
    pub(crate) fn check(&self, volume: VolumeId) {
        let (path, kind) = &self.made[volume.0 as usize];
        let file = path.to_str().unwrap();
        match kind.as_str() {
            "ext2" | "ext3" | "ext4" => run(&["e2fsck", "-f", "-n", file]),
            "xfs" | "xfs-v4" => run(&["xfs_repair", "-n", file]),
            "btrfs" => run(&["btrfs", "check", file]),
            "vfat" => run(&["fsck.fat", "-n", file]),
            "ntfs" => run(&["ntfsfix", "-n", file]),
            other => panic!("no way to check {other}"),
        };
    }
}

fn volume(path: &Path, kind: &str, id: u32) -> Volume {
    Volume {
        id: VolumeId(id),
        name: format!("disk{id}"),
        origin: Origin::Disk { disk: id },
        device: Arc::new(WritableFileDisk::open(path).unwrap()),
        content: Some(Content { kind: kind.trim_end_matches("-v4").to_string(), uuid: None, label: None }),
    }
}

/// Runs a tool, which must succeed; answers with what it printed.
pub(crate) fn run(command: &[&str]) -> String {
    // Debian keeps what makes and checks filesystems out of an ordinary user's PATH.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("env")
        .arg(format!("PATH={path}"))
        .args(command)
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed, or is not installed (e2fsprogs, xfsprogs, btrfs-progs, dosfstools, ntfs-3g): {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}
