//! What can be done to a guest's files, on its [`Tree`].

use crate::failure::{Failure, Result};
use crate::tree::{Place, Tree, utf8};
use crate::xattr;
use agent::{Entry, FailureKind, Kind, Reply};
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chmodat, chownat, fchmod, fchown, mkdirat, openat,
    renameat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use std::fs::File;

/// A new file or link is made under this name first.
const TEMPORARY: &str = ".anyvisor-new";
/// More entries than this are refused: a listing is one message.
const ENTRIES: usize = 200_000;

pub(crate) fn list(tree: &Tree, path: &str) -> Result<Reply> {
    let directory = tree.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut entries = Vec::new();
    for entry in Dir::new(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Ok(text) = name.to_str() else { continue };
        if matches!(text, "." | "..") {
            continue;
        }
        if entries.len() == ENTRIES {
            return Err(Failure::new(FailureKind::TooLarge, format!("it has more than {ENTRIES} entries")));
        }
        entries.push(Entry { name: text.to_string(), kind: kind(entry.file_type()) });
    }
    // Some filesystems do not say in a directory what its entries are.
    if entries.iter().any(|entry| entry.kind == Kind::Special) {
        for entry in entries.iter_mut().filter(|entry| entry.kind == Kind::Special) {
            if let Some(stat) = tree.place(&format!("{path}/{}", entry.name))?.stat()? {
                entry.kind = kind(FileType::from_raw_mode(stat.st_mode));
            }
        }
    }
    Ok(Reply::Entries { entries })
}

pub(crate) fn metadata(tree: &Tree, path: &str) -> Result<Reply> {
    let stat = existing(&tree.place(path)?)?;
    Ok(Reply::Metadata {
        kind: kind(FileType::from_raw_mode(stat.st_mode)),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
    })
}

pub(crate) fn read_link(tree: &Tree, path: &str) -> Result<Reply> {
    let place = tree.place(path)?;
    existing(&place)?;
    let target = place.link_target()?;
    let target = target.ok_or_else(|| Failure::new(FailureKind::WrongKind, "it is not a symbolic link"))?;
    Ok(Reply::Link { target })
}

/// Opens a regular file of at most `limit` bytes.
pub(crate) fn open(tree: &Tree, path: &str, limit: u64) -> Result<(File, u64)> {
    // A pipe without a writer must not hold us up.
    let file = tree.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let stat = rustix::fs::fstat(&file)?;
    regular(&stat)?;
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    if size > limit {
        return Err(Failure::new(FailureKind::TooLarge, format!("it has {size} bytes, more than {limit}")));
    }
    Ok((File::from(file), size))
}

/// A file that is being replaced, or a new one.
pub(crate) struct Replacement {
    target: Place,
    temporary: Place,
    file: File,
}

impl Replacement {
    /// Begins to replace what is at `path`, following links.
    pub(crate) fn begin(tree: &Tree, path: &str, mode: u32) -> Result<Self> {
        let target = tree.followed_place(path)?.not_root()?;
        let old = target.stat()?;
        if let Some(stat) = &old {
            regular(stat)?;
        }
        let temporary = target.beside(TEMPORARY)?;
        clear(&temporary)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&temporary.parent, TEMPORARY, flags, Mode::RUSR | Mode::WUSR)?;
        let replacement = Self { target, temporary, file: File::from(file) };
        let dressed = match &old {
            Some(stat) => replacement.take_over(stat),
            None => own(&replacement.file, 0, 0, mode),
        };
        match dressed {
            Ok(()) => Ok(replacement),
            Err(failure) => Err(replacement.abandon(failure)),
        }
    }

    /// Where the contents go.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Puts the new file in its place.
    pub(crate) fn finish(self) -> Result<()> {
        let renamed =
            renameat(&self.temporary.parent, TEMPORARY, &self.target.parent, self.target.name.as_str());
        renamed.map_err(|error| self.abandon(error.into()))
    }

    /// Leaves everything as it was; gives `failure` back.
    pub(crate) fn abandon(self, failure: Failure) -> Failure {
        // Nothing better can be done about a second failure.
        let _ = unlinkat(&self.temporary.parent, TEMPORARY, AtFlags::empty());
        failure
    }

    fn take_over(&self, old: &Stat) -> Result<()> {
        own(&self.file, old.st_uid, old.st_gid, old.st_mode)?;
        xattr::copy(&self.target, &self.file)
    }
}

/// Owner and permissions of an open file. Where the filesystem has none (vfat), what it has is fine.
fn own(file: &File, uid: u32, gid: u32, mode: u32) -> Result<()> {
    let owned = fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
        .and_then(|()| fchmod(file, Mode::from_raw_mode(mode & 0o7777)));
    match owned {
        Err(Errno::PERM | Errno::OPNOTSUPP) => Ok(()),
        result => Ok(result?),
    }
}

pub(crate) fn create_dir(tree: &Tree, path: &str) -> Result<()> {
    for end in path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]) {
        let ancestor = path.get(..end).unwrap_or(path);
        match tree.open_at(ancestor, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(_) => continue,
            Err(failure) if failure.kind == FailureKind::NotFound => {}
            Err(failure) => return Err(failure),
        }
        let place = tree.place(ancestor)?;
        mkdirat(&place.parent, place.name.as_str(), Mode::from_raw_mode(0o755))?;
    }
    Ok(())
}

pub(crate) fn symlink(tree: &Tree, target: &str, path: &str) -> Result<()> {
    let place = tree.place(path)?.not_root()?;
    match place.stat()? {
        None => Ok(symlinkat(target, &place.parent, place.name.as_str())?),
        Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
            let temporary = place.beside(TEMPORARY)?;
            clear(&temporary)?;
            symlinkat(target, &temporary.parent, TEMPORARY)?;
            Ok(renameat(&temporary.parent, TEMPORARY, &place.parent, place.name.as_str())?)
        }
        Some(_) => {
            Err(Failure::new(FailureKind::WrongKind, "something that is no symbolic link stands there"))
        }
    }
}

pub(crate) fn rename(tree: &Tree, from: &str, to: &str) -> Result<()> {
    let from = tree.place(from)?.not_root()?;
    let to = tree.place(to)?.not_root()?;
    Ok(renameat(&from.parent, from.name.as_str(), &to.parent, to.name.as_str())?)
}

pub(crate) fn remove(tree: &Tree, path: &str) -> Result<()> {
    let place = tree.place(path)?.not_root()?;
    let directory = FileType::from_raw_mode(existing(&place)?.st_mode) == FileType::Directory;
    let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    Ok(unlinkat(&place.parent, place.name.as_str(), flags)?)
}

pub(crate) fn set_owner(tree: &Tree, path: &str, uid: u32, gid: u32, mode: u32) -> Result<()> {
    let place = tree.place(path)?;
    let link = FileType::from_raw_mode(existing(&place)?.st_mode) == FileType::Symlink;
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    chownat(&place.parent, place.name.as_str(), uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    if !link {
        chmodat(&place.parent, place.name.as_str(), Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())?;
    }
    Ok(())
}

/// Removes what a request that was cut off may have left.
fn clear(temporary: &Place) -> Result<()> {
    match unlinkat(&temporary.parent, temporary.name.as_str(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn existing(place: &Place) -> Result<Stat> {
    place.stat()?.ok_or_else(|| Errno::NOENT.into())
}

fn regular(stat: &Stat) -> Result<()> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(Failure::new(FailureKind::WrongKind, "it is not a regular file")),
    }
}

fn kind(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Special,
    }
}

/// Extended attributes of what stands at `path`, not followed.
pub(crate) fn get_xattr(tree: &Tree, path: &str, name: &str) -> Result<Reply> {
    let place = tree.place(path)?;
    existing(&place)?;
    Ok(Reply::Xattr { value: xattr::get(&place, name)? })
}

/// Sets one.
pub(crate) fn set_xattr(tree: &Tree, path: &str, name: &str, value: &[u8]) -> Result<()> {
    xattr::set(&tree.place(path)?, name, value)
}

/// The mount point of what lies at `path`, as the kernel names it for `mount`.
pub(crate) fn mount_point(tree: &Tree, path: &str) -> Result<rustix::fd::OwnedFd> {
    tree.open_at(path, OFlags::PATH | OFlags::DIRECTORY)
}

/// The names in a list of extended attributes.
pub(crate) fn names(list: &[u8]) -> Result<Vec<String>> {
    list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(|name| utf8(name.to_vec())).collect()
}
