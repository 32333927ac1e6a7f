//! Block devices that a description may name because the user allows it: [`Devices`].
//!
//! A description is an untrusted text, and `/dev/sda` in one would read the host's own disk. So no device is opened that
//! the user did not name, itself or by the directory that the host's kernel and udev fill: `/dev/vg0`, `/dev/zvol/tank`.

use super::local::parts;
use super::{Error, Result};
use block::BlockRead;
use image::{DirectoryGate, Gate, GateError, GateReason};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where devices are. Nobody but the host's administrator makes links below it.
const DEVICES: &str = "/dev";

/// What the user allows.
#[derive(Debug, Default)]
pub(super) struct Devices(Vec<Allowed>);

#[derive(Debug)]
enum Allowed {
    /// One device, or one file that stands in for it.
    One(PathBuf),
    /// Every device below a directory.
    Below(PathBuf),
}

impl Devices {
    /// # Errors
    /// [`Error::Path`] when nothing stands at one of the paths, or a directory is none of devices.
    pub(super) fn new(paths: &[PathBuf]) -> Result<Self> {
        paths.iter().map(|path| Allowed::new(path)).collect::<Result<_>>().map(Self)
    }

    /// What a name leads to, when it is allowed.
    pub(super) fn open(&self, name: &str) -> Option<std::result::Result<Arc<dyn BlockRead>, GateError>> {
        let path = self.find(name)?;
        Some(DirectoryGate::for_file(path).and_then(|(gate, name)| gate.open(&name)))
    }

    /// The path of the device that is meant. The host that a name is of need not be this one, so the longest end of it that
    /// an allowed device's path has too decides; two devices that have it are none.
    pub(super) fn find(&self, name: &str) -> Option<PathBuf> {
        if self.0.is_empty() || name.contains("://") {
            return None;
        }
        let same = |path: &&PathBuf| {
            let real = name.starts_with('/').then(|| Path::new(name).canonicalize().ok()).flatten();
            real.is_some() && path.canonicalize().ok() == real
        };
        let one = self.0.iter().filter_map(Allowed::one);
        if let Some(path) =
            one.clone().find(|path| path.as_path() == Path::new(name)).or(one.clone().find(same))
        {
            return Some(path.clone());
        }
        let parts = parts(name);
        let ends = (0..parts.len()).filter_map(|skipped| parts.get(skipped..));
        let mut found = ends.map(|end| self.with_end(&end.join("/"))).find(|found| !found.is_empty())?;
        found.dedup();
        found.pop().filter(|_| found.is_empty())
    }

    /// The devices whose paths end so, in order.
    fn with_end(&self, end: &str) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = self.0.iter().filter_map(|allowed| allowed.with_end(end)).collect();
        found.sort();
        found
    }
}

impl Allowed {
    fn new(path: &Path) -> Result<Self> {
        let refused = |reason| {
            let source = GateError::new(&path.to_string_lossy(), reason);
            Error::Path { path: path.to_path_buf(), source }
        };
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let real = path.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => refused(GateReason::Missing { root: PathBuf::from(DEVICES) }),
            _ => refused(GateReason::Host(error)),
        })?;
        match (real.is_dir(), real.starts_with(DEVICES)) {
            (false, _) => Ok(Self::One(absolute)),
            (true, true) => Ok(Self::Below(absolute)),
            // Somebody's links could be in it.
            (true, false) => Err(refused(GateReason::Outside { root: PathBuf::from(DEVICES) })),
        }
    }

    fn one(&self) -> Option<&PathBuf> {
        match self {
            Self::One(path) => Some(path),
            Self::Below(_) => None,
        }
    }

    /// The device whose path ends so.
    fn with_end(&self, end: &str) -> Option<PathBuf> {
        match self {
            Self::One(path) => path.ends_with(end).then(|| path.clone()),
            Self::Below(directory) => {
                let climbs = end.split('/').any(|part| part == "..");
                // What udev makes are links, into /dev/dm-0 and the like.
                let path = Some(directory.join(end)).filter(|_| !climbs)?;
                let real = path.canonicalize().ok().filter(|real| real.starts_with(DEVICES))?;
                real.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device()).then_some(path)
            }
        }
    }
}

/// Whether a name is one of a device rather than of a file: below `/dev`, or a volume of a storage (`local-lvm:vm-100-disk-0`),
/// which has no ending where that storage has devices.
pub(super) fn is_named(name: &str) -> bool {
    let is_volume = || {
        let volume = name.split_once(':').map(|(_, volume)| volume);
        volume.is_some_and(|volume| !volume.is_empty() && !volume.contains(['.', '/', '\\', ':']))
    };
    Path::new(name).starts_with(DEVICES) || is_volume()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn devices(paths: &[&Path]) -> Devices {
        Devices::new(&paths.iter().map(|path| path.to_path_buf()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn only_what_is_allowed_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (directory.path().join("vg0"), directory.path().join("vg1"));
        for group in [&first, &second] {
            fs::create_dir(group).unwrap();
            fs::write(group.join("web"), "disk").unwrap();
        }
        let (web, other) = (first.join("web"), second.join("web"));
        let link = directory.path().join("by-id");
        std::os::unix::fs::symlink(&web, &link).unwrap();

        assert_eq!(devices(&[]).find("/dev/vg0/web"), None);
        let one = devices(&[&web]);
        for name in [
            "/dev/vg0/web",
            "/dev/mapper/web",
            "local-lvm:web",
            web.to_str().unwrap(),
            link.to_str().unwrap(),
        ] {
            assert_eq!(one.find(name).as_deref(), Some(web.as_path()), "{name}");
            assert_eq!(one.open(name).unwrap().unwrap().size(), 4);
        }
        for name in ["/dev/sda", "/dev/vg0/web/..", "nbd://host/web", "/etc/passwd", "", "/", "../web/x"] {
            assert_eq!(one.find(name), None, "{name}");
        }
        // However long the name is that somebody wrote.
        let long = "a/".repeat(1 << 20);
        assert_eq!(one.find(&format!("/{long}")), None);
        assert_eq!(one.find(&format!("/{long}web")).as_deref(), Some(web.as_path()));
        // Which of the two is meant, the longest end says, if it says.
        let both = devices(&[&web, &other]);
        assert_eq!(both.find("/dev/vg1/web").as_deref(), Some(other.as_path()));
        assert_eq!(both.find("/dev/vg2/web"), None);
        assert_eq!(devices(&[&web, &web]).find("/dev/vg2/web").as_deref(), Some(web.as_path()));
    }

    #[test]
    fn a_directory_is_one_of_devices() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", directory.path().join("a")).unwrap();
        assert!(matches!(Devices::new(&[directory.path().to_path_buf()]), Err(Error::Path { .. })));
        assert!(matches!(Devices::new(&[directory.path().join("gone")]), Err(Error::Path { .. })));
        // What is in the directory and is no block device is not opened.
        let all = devices(&[Path::new(DEVICES)]);
        assert_eq!(all.find("/dev/null"), None);
        assert_eq!(all.find("/dev/../etc/passwd"), None);
    }

    #[test]
    fn names_of_devices_are_told_from_those_of_files() {
        for name in ["/dev/sda", "/dev/vg/x", "local-lvm:vm-100-disk-0", "local-zfs:base-9000-disk-0"] {
            assert!(is_named(name), "{name}");
        }
        for name in ["/var/a.img", "local:100/vm-100-disk-0.qcow2", "a.vmdk", r"C:\a\b.vhdx", "/device/a", ""]
        {
            assert!(!is_named(name), "{name}");
        }
    }
}
