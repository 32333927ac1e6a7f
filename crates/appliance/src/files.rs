//! A guest's files through the appliance: [`GuestFs`] and [`Mounter`] for [`Appliance`].

use crate::boot::Appliance;
use crate::connection::Contents;
use crate::initramfs;
use agent::{FailureKind, Kind, Reply, Request};
use guest::fs::{Entry, ErrorKind, FileKind, FsError, GuestFs, Metadata, MountMode, Mounter, Result};
use guest::volume::VolumeId;
use std::time::Duration;

/// How long a request may take. A disk behind a slow network answers within it.
const USUAL: Duration = Duration::from_secs(120);
/// How long mounting may take: a journal is replayed, and a damaged filesystem must not keep us for ever.
const MOUNT: Duration = Duration::from_secs(300);
/// How long what has to go through a whole filesystem may take.
const LONG: Duration = Duration::from_secs(1800);

impl Appliance {
    /// Asks the agent; a failure becomes an error that says what was tried on what.
    fn request(&mut self, operation: &str, path: &str, limit: Duration, request: &Request) -> Result<Reply> {
        let asked = self.connection.set_limit(limit).and_then(|()| self.connection.ask(request));
        match asked {
            Ok(Reply::Failed { kind, detail }) => Err(FsError::new(operation, path, kind_of(kind), detail)),
            Ok(reply) => Ok(reply),
            Err(error) => Err(self.gone(operation, path, &error)),
        }
    }

    /// Waits until everything written so far is on the volumes.
    ///
    /// # Errors
    /// [`ErrorKind::Other`] when the appliance is lost.
    pub fn sync(&mut self) -> Result<()> {
        self.done("write back", "/", LONG, &Request::Sync)
    }

    fn done(&mut self, operation: &str, path: &str, limit: Duration, request: &Request) -> Result<()> {
        match self.request(operation, path, limit, request)? {
            Reply::Done => Ok(()),
            _ => Err(nonsense(operation, path)),
        }
    }

    /// The error for an appliance that does not answer any more.
    fn gone(&mut self, operation: &str, path: &str, error: &std::io::Error) -> FsError {
        let what = match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                "the appliance went silent".to_string()
            }
            std::io::ErrorKind::NotConnected => error.to_string(),
            std::io::ErrorKind::InvalidData => format!("the appliance answered with nonsense: {error}"),
            _ => "the appliance ended".to_string(),
        };
        FsError::new(operation, path, ErrorKind::Other, format!("{what}{}", self.last_words()))
    }
}

impl GuestFs for Appliance {
    fn list(&mut self, path: &str) -> Result<Vec<Entry>> {
        match self.request("list", path, USUAL, &Request::List { path: path.into() })? {
            Reply::Entries { entries } => Ok(entries
                .into_iter()
                .filter(|entry| is_name(&entry.name))
                .map(|entry| Entry { name: entry.name, kind: file_kind(entry.kind) })
                .collect()),
            _ => Err(nonsense("list", path)),
        }
    }

    fn metadata(&mut self, path: &str) -> Result<Metadata> {
        match self.request("look at", path, USUAL, &Request::Metadata { path: path.into() })? {
            Reply::Metadata { kind, size, mode, uid, gid } => {
                Ok(Metadata { kind: file_kind(kind), size, mode: mode & 0o7777, uid, gid })
            }
            _ => Err(nonsense("look at", path)),
        }
    }

    fn read_link(&mut self, path: &str) -> Result<String> {
        match self.request("read the link", path, USUAL, &Request::ReadLink { path: path.into() })? {
            Reply::Link { target } => Ok(target),
            _ => Err(nonsense("read the link", path)),
        }
    }

    fn read(&mut self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let read = self.connection.set_limit(USUAL).and_then(|()| self.connection.read(path, limit));
        match read {
            Ok(Contents::Whole(contents)) => Ok(contents),
            Ok(Contents::Reply(Reply::Failed { kind, detail })) => {
                Err(FsError::new("read", path, kind_of(kind), detail))
            }
            Ok(Contents::Reply(_)) => Err(nonsense("read", path)),
            Err(error) => Err(self.gone("read", path, &error)),
        }
    }

    fn write(&mut self, path: &str, contents: &[u8], mode: u32) -> Result<()> {
        let size = contents.len() as u64;
        let written = self.connection.set_limit(USUAL);
        let written = written.and_then(|()| self.connection.write(path, mode, contents, size));
        match written {
            Ok(Reply::Done) => Ok(()),
            Ok(Reply::Failed { kind, detail }) => Err(FsError::new("write", path, kind_of(kind), detail)),
            Ok(_) => Err(nonsense("write", path)),
            Err(error) => Err(self.gone("write", path, &error)),
        }
    }

    fn create_dir(&mut self, path: &str) -> Result<()> {
        self.done("create the directory", path, USUAL, &Request::CreateDir { path: path.into() })
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<()> {
        let request = Request::Symlink { target: target.into(), path: path.into() };
        self.done("create the link", path, USUAL, &request)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        self.done("rename", from, USUAL, &Request::Rename { from: from.into(), to: to.into() })
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        self.done("remove", path, USUAL, &Request::Remove { path: path.into() })
    }

    fn set_owner(&mut self, path: &str, uid: u32, gid: u32, mode: u32) -> Result<()> {
        self.done("set the owner of", path, USUAL, &Request::SetOwner { path: path.into(), uid, gid, mode })
    }

    fn xattr(&mut self, path: &str, name: &str) -> Result<Option<Vec<u8>>> {
        let request = Request::Xattr { path: path.into(), name: name.into() };
        match self.request("read an attribute of", path, USUAL, &request)? {
            Reply::Xattr { value } => Ok(value),
            _ => Err(nonsense("read an attribute of", path)),
        }
    }

    fn set_xattr(&mut self, path: &str, name: &str, value: &[u8]) -> Result<()> {
        let request = Request::SetXattr { path: path.into(), name: name.into(), value: value.to_vec() };
        self.done("set an attribute of", path, USUAL, &request)
    }
}

impl Mounter for Appliance {
    fn mount(&mut self, volume: VolumeId, at: &str, mode: MountMode, subvolume: Option<&str>) -> Result<()> {
        let unsupported = |detail: String| FsError::new("mount", at, ErrorKind::Unsupported, detail);
        let Some(attached) = self.volumes.iter().find(|attached| attached.id == volume) else {
            return Err(FsError::new(
                "mount",
                at,
                ErrorKind::NotFound,
                format!("there is no volume {}", volume.0),
            ));
        };
        let Some(kind) = attached.kind.clone().filter(|kind| initramfs::mounts(kind)) else {
            let kind = attached.kind.as_deref().unwrap_or("nothing known");
            return Err(unsupported(format!("{} holds {kind}, which cannot be mounted", attached.name)));
        };
        let name = attached.name.clone();
        let request = Request::Mount {
            device: serial(volume),
            kind,
            at: at.into(),
            read_only: mode == MountMode::ReadOnly,
            subvolume: subvolume.map(str::to_string),
        };
        self.done("mount", at, MOUNT, &request).map_err(|mut error| {
            error.detail = format!("{name}: {}", error.detail);
            error
        })
    }

    fn unmount_all(&mut self) -> Result<()> {
        self.done("unmount", "/", LONG, &Request::UnmountAll)
    }

    fn trim(&mut self, at: &str) -> Result<u64> {
        match self.request("trim", at, LONG, &Request::Trim { at: at.into() })? {
            Reply::Trimmed { bytes } => Ok(bytes),
            _ => Err(nonsense("trim", at)),
        }
    }

    fn free_space(&mut self, at: &str) -> Result<Option<u64>> {
        match self.request("measure", at, LONG, &Request::FreeSpace { at: at.into() })? {
            Reply::Free { bytes } => Ok(Some(bytes)),
            _ => Err(nonsense("measure", at)),
        }
    }

    fn tree(&mut self) -> &mut dyn GuestFs {
        self
    }
}

/// The serial number by which the agent finds a volume's disk.
pub(crate) fn serial(volume: VolumeId) -> String {
    format!("volume{}", volume.0)
}

/// The appliance is not trusted with names that are paths.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !matches!(name, "." | "..") && !name.contains(['/', '\0'])
}

fn nonsense(operation: &str, path: &str) -> FsError {
    FsError::new(operation, path, ErrorKind::Other, "the appliance answered something else")
}

fn file_kind(kind: Kind) -> FileKind {
    match kind {
        Kind::File => FileKind::File,
        Kind::Directory => FileKind::Directory,
        Kind::Symlink => FileKind::Symlink,
        Kind::Special => FileKind::Special,
    }
}

fn kind_of(kind: FailureKind) -> ErrorKind {
    match kind {
        FailureKind::NotFound => ErrorKind::NotFound,
        FailureKind::WrongKind => ErrorKind::WrongKind,
        FailureKind::TooLarge => ErrorKind::TooLarge,
        FailureKind::NoSpace => ErrorKind::NoSpace,
        FailureKind::ReadOnly => ErrorKind::ReadOnly,
        FailureKind::Unsupported => ErrorKind::Unsupported,
        FailureKind::Other => ErrorKind::Other,
    }
}
