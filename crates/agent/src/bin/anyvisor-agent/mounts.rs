//! Mounting a guest's filesystems below one directory: [`Mounts`].

use crate::failure::{Failure, Result};
use crate::files;
use crate::machine::{self, KernelLog};
use crate::tree::Tree;
use agent::FailureKind;
use rustix::fd::AsRawFd;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the guest's root goes.
const ROOT: &str = "/guest";
/// The driver of NTFS, where the kernel has none.
const NTFS_3G: &str = "/bin/ntfs-3g";

/// What is mounted.
#[derive(Default)]
pub(crate) struct Mounts {
    tree: Option<Tree>,
    /// Mount points as the agent sees them, in their order.
    points: Vec<PathBuf>,
}

/// How the kernel mounts a type of filesystem.
struct Driver {
    /// The type as `blkid` names it.
    kind: &'static str,
    /// The driver's name.
    driver: &'static str,
    /// Its options.
    options: &'static str,
}

/// ext4 reads its two ancestors. XFS refuses a second filesystem of one UUID, which a snapshot is.
const DRIVERS: &[Driver] = &[
    Driver { kind: "ext2", driver: "ext4", options: "errors=remount-ro" },
    Driver { kind: "ext3", driver: "ext4", options: "errors=remount-ro" },
    Driver { kind: "ext4", driver: "ext4", options: "errors=remount-ro" },
    Driver { kind: "xfs", driver: "xfs", options: "nouuid" },
    Driver { kind: "btrfs", driver: "btrfs", options: "" },
    Driver { kind: "vfat", driver: "vfat", options: "utf8,shortname=mixed,errors=remount-ro" },
];

impl Mounts {
    /// The guest's tree.
    pub(crate) fn tree(&self) -> Result<&Tree> {
        self.tree.as_ref().ok_or_else(|| Failure::new(FailureKind::NotFound, "nothing is mounted"))
    }

    pub(crate) fn mount(
        &mut self,
        device: &str,
        kind: &str,
        at: &str,
        read_only: bool,
        subvolume: Option<&str>,
    ) -> Result<()> {
        if self.tree.is_none() && at != "/" {
            return Err(Failure::new(FailureKind::Other, "the first filesystem is mounted on /"));
        }
        let device = machine::disk(device)?;
        let point = self.prepare(at)?;
        let log = KernelLog::from_now();
        let mounted = if kind == "ntfs" {
            mount_ntfs(&device, &point, read_only)
        } else {
            mount_by_kernel(&device, &point, kind, read_only, subvolume)
        };
        mounted.map_err(|mut failure| {
            let said = log.said();
            if !said.is_empty() {
                failure.detail = format!("{} ({said})", failure.detail);
            }
            failure
        })?;
        self.points.push(point);
        if self.tree.is_none() {
            self.tree = Some(Tree::open(Path::new(ROOT))?);
        }
        Ok(())
    }

    /// The mount point as the agent sees it, made where it is missing.
    fn prepare(&self, at: &str) -> Result<PathBuf> {
        let Some(tree) = &self.tree else {
            std::fs::create_dir_all(ROOT)?;
            return Ok(PathBuf::from(ROOT));
        };
        let directory = files::mount_point(tree, at).or_else(|failure| match failure.kind {
            FailureKind::NotFound => files::create_dir(tree, at).and_then(|()| files::mount_point(tree, at)),
            _ => Err(failure),
        })?;
        // Its own name: the descriptor is closed by the time that it is unmounted.
        Ok(std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))?)
    }

    /// Unmounts everything, the last first.
    pub(crate) fn unmount_all(&mut self) -> Result<()> {
        self.tree = None;
        std::env::set_current_dir("/")?;
        while let Some(point) = self.points.last() {
            unmount(point, UnmountFlags::NOFOLLOW)?;
            self.points.pop();
        }
        rustix::fs::sync();
        Ok(())
    }
}

fn mount_by_kernel(
    device: &Path,
    point: &Path,
    kind: &str,
    read_only: bool,
    subvolume: Option<&str>,
) -> Result<()> {
    let driver = DRIVERS.iter().find(|driver| driver.kind == kind);
    let driver = driver.ok_or_else(|| {
        Failure::new(FailureKind::Unsupported, format!("the appliance does not mount {kind}"))
    })?;
    let mut options = driver.options.to_string();
    if let Some(subvolume) = subvolume {
        if kind != "btrfs" {
            return Err(Failure::new(FailureKind::Unsupported, format!("{kind} has no subvolumes")));
        }
        if subvolume.contains(',') {
            return Err(Failure::new(FailureKind::Unsupported, "a subvolume's name cannot have a comma"));
        }
        options = format!("subvol={subvolume}");
    }
    let options = CString::new(options)
        .map_err(|_| Failure::new(FailureKind::Other, "a subvolume's name cannot have a NUL"))?;
    match mount(device, point, driver.driver, flags(read_only), options.as_c_str()) {
        Err(Errno::NODEV) => {
            let detail = format!("the appliance's kernel has no {} driver", driver.driver);
            Err(Failure::new(FailureKind::Unsupported, detail))
        }
        result => Ok(result?),
    }
}

/// Nothing of a guest is ever executed, and none of its device nodes opened.
fn flags(read_only: bool) -> MountFlags {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
    if read_only { flags | MountFlags::RDONLY } else { flags }
}

fn mount_ntfs(device: &Path, point: &Path, read_only: bool) -> Result<()> {
    if !Path::new(NTFS_3G).exists() {
        let detail = "NTFS needs ntfs-3g on the host: `apt install ntfs-3g`";
        return Err(Failure::new(FailureKind::Unsupported, detail));
    }
    let access = if read_only { "ro" } else { "rw" };
    let output = Command::new(NTFS_3G)
        .args(["-o", &format!("{access},nosuid,nodev,noexec,noatime,recover")])
        .args([device, point])
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).take(4).collect();
    Err(Failure::new(FailureKind::Other, said.join("; ")))
}
