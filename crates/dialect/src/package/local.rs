//! The files that a description names by paths of the host that it comes from.

use super::devices::{self, Devices};
use super::{Error, OpenOptions, Result};
use block::BlockRead;
use image::{DirectoryGate, Gate, GateError, GateReason};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens the files that a description names: below the description's own directory, or the parent of that (Hyper-V and
/// VirtualBox put descriptions and disks into directories side by side), or below the directories that the user allows.
///
/// A name may be absolute, of Windows (`C:\\VMs\\a.vhdx`), of a datastore (`[ds1] web/web.vmdk`) or of a storage
/// (`local:100/vm-100-disk-0.qcow2`). The host that it means is not here, so the longest end of it that exists below a
/// directory is what it leads to.
pub(super) struct LocalGate {
    /// The gate of the description's own directory, which gets every name first, as it is.
    own: Arc<dyn Gate>,
    /// Where the ends of a name are looked for: that directory, then the others.
    roots: Vec<(PathBuf, Arc<dyn Gate>)>,
    /// The devices that may be read.
    devices: Devices,
    /// Files of which the description says that they belong to it, beside the disks that are attached: what its snapshots
    /// are made of.
    registered: Vec<String>,
}

/// The most parts of a name that are looked for: its last ones.
const MAX_PARTS: usize = 32;

impl LocalGate {
    pub(super) fn new(description: &Path, own: Arc<dyn Gate>, options: &OpenOptions) -> Result<Self> {
        let refused = |path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Path { path, source }
        };
        let absolute = std::path::absolute(description).unwrap_or_else(|_| description.to_path_buf());
        let directory = absolute.parent().unwrap_or(Path::new("/"));
        let mut roots = vec![(directory.to_path_buf(), Arc::clone(&own))];
        if let Some(parent) = directory.parent().filter(|_| is_side_by_side(directory))
            && let Ok(gate) = DirectoryGate::new(parent)
        {
            roots.push((parent.to_path_buf(), Arc::new(gate)));
        }
        for path in &options.within {
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            roots.push((absolute, Arc::new(DirectoryGate::new(path).map_err(refused(path))?)));
        }
        Ok(Self { own, roots, devices: Devices::new(&options.devices)?, registered: Vec::new() })
    }

    /// That the description registers these files too.
    pub(super) fn with_registered(self, registered: Vec<String>) -> Self {
        Self { registered, ..self }
    }

    /// What `find` makes of the first place where the file may be.
    fn first<T>(&self, name: &str, find: impl Fn(&dyn Gate, &str) -> Option<T>) -> Option<T> {
        let parts = parts(name);
        (0..parts.len()).find_map(|skipped| {
            let end = parts.get(skipped..)?.join("/");
            self.roots.iter().find_map(|(root, gate)| {
                let end = as_it_is_spelt(root, &end).unwrap_or_else(|| end.clone());
                find(gate.as_ref(), &end)
            })
        })
    }
}

/// Whether a description lies in a directory of descriptions, beside one of disks.
fn is_side_by_side(directory: &Path) -> bool {
    directory.file_name().is_some_and(|name| name.eq_ignore_ascii_case("Virtual Machines"))
}

/// The last parts of a name, whichever system it is of, without what says which disk, datastore or storage it is on. A
/// name is as long as its description likes, and every end of it is looked for: so they are no more than [`MAX_PARTS`].
pub(super) fn parts(name: &str) -> Vec<&str> {
    let name = match name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, path)) => path.trim_start(),
        None => name,
    };
    let name = match name.split_once(':') {
        Some((before, path)) if !before.contains(['/', '\\']) => path,
        _ => name,
    };
    let is_windows = !name.contains('/');
    let mut parts: Vec<&str> = name
        .rsplit(|c| c == '/' || (is_windows && c == '\\'))
        .filter(|part| !part.is_empty() && *part != ".")
        .take(MAX_PARTS)
        .collect();
    parts.reverse();
    parts
}

/// The name below `root` as it is spelt there: Windows does not tell upper from lower case.
fn as_it_is_spelt(root: &Path, name: &str) -> Option<String> {
    let mut at = root.to_path_buf();
    let mut spelt = Vec::new();
    for part in name.split('/') {
        if part == ".." {
            return None;
        }
        let found = match at.join(part).symlink_metadata() {
            Ok(_) => part.to_owned(),
            Err(_) => {
                let entries = at.read_dir().ok()?;
                let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
                names.into_iter().find(|entry| entry.eq_ignore_ascii_case(part))?
            }
        };
        at.push(&found);
        spelt.push(found);
    }
    Some(spelt.join("/"))
}

impl Gate for LocalGate {
    fn open(&self, name: &str) -> std::result::Result<Arc<dyn BlockRead>, GateError> {
        let refusal = match self.own.open(name) {
            Ok(disk) => return Ok(disk),
            Err(refusal) => refusal,
        };
        let elsewhere = matches!(
            refusal.reason,
            GateReason::Missing { .. }
                | GateReason::Absolute { .. }
                | GateReason::Outside { .. }
                | GateReason::Protocol { .. }
        );
        if !elsewhere || name.contains("://") {
            return Err(refusal);
        }
        if let Some(opened) = self.devices.open(name) {
            return opened;
        }
        let is_device = devices::is_named(name);
        self.first(name, |gate, end| gate.open(end).ok()).ok_or_else(|| match is_device {
            true => GateError::new(name, GateReason::Device),
            false => refusal,
        })
    }

    fn describe(&self, name: &str) -> PathBuf {
        if self.own.open(name).is_ok() {
            return self.own.describe(name);
        }
        let file = || self.first(name, |gate, end| gate.open(end).is_ok().then(|| gate.describe(end)));
        self.devices.find(name).or_else(file).unwrap_or_else(|| PathBuf::from(name))
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let listed = |gate: &dyn Gate, end: &str| Some(gate.names(end)).filter(|names| !names.is_empty());
        let found = listed(self.own.as_ref(), directory).or_else(|| self.first(directory, listed));
        // Of a directory of another host, nothing may be left but that description and disks now lie side by side.
        let is_foreign = || directory.starts_with('/') || directory.contains('\\');
        let mut names = found.or_else(|| is_foreign().then(|| self.own.names(""))).unwrap_or_default();
        names.extend(self.registered.iter().cloned());
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_disk_is_found_by_the_end_of_its_name() {
        let export = tempfile::tempdir().unwrap();
        let machines = export.path().join("Virtual Machines");
        fs::create_dir_all(&machines).unwrap();
        fs::create_dir_all(export.path().join("Virtual Hard Disks")).unwrap();
        fs::write(export.path().join("Virtual Hard Disks/Web.vhdx"), "x").unwrap();
        fs::write(machines.join("a.qcow2"), "yy").unwrap();
        let description = machines.join("a.xml");
        let gate = |within: &[PathBuf]| {
            let own = Arc::new(DirectoryGate::new(&machines).unwrap());
            let options = OpenOptions { within: within.to_vec(), ..OpenOptions::default() };
            LocalGate::new(&description, own, &options).unwrap()
        };
        let size = |name: &str| gate(&[]).open(name).map(|disk| disk.size()).ok();
        assert_eq!(size(r"D:\Hyper-V\VIRTUAL HARD DISKS\web.vhdx"), Some(1));
        assert_eq!(size("/var/lib/libvirt/images/a.qcow2"), Some(2));
        assert_eq!(size("[datastore1] web/a.qcow2"), Some(2));
        assert_eq!(size("local:100/a.qcow2"), Some(2));
        for refused in ["/etc/passwd", "../../etc/passwd", "nbd://host/a.qcow2", r"C:\nothing", ""] {
            assert_eq!(size(refused), None, "{refused}");
        }
        assert_eq!(size(&format!("/{}a.qcow2", "deep/".repeat(100))), Some(2));
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("b.raw"), "zzz").unwrap();
        assert_eq!(size("/dev/pool/b.raw"), None);
        let allowed = gate(&[other.path().to_path_buf()]);
        assert_eq!(allowed.open("/dev/pool/b.raw").unwrap().size(), 3);
    }
}
