//! Paths of the guest, resolved inside its tree: [`Tree`].
//!
//! Every path goes through `openat2` with `RESOLVE_IN_ROOT`: the kernel treats the tree's root as `/`, so that neither
//! an absolute link nor any number of `..` leads out. Operations then work on a directory that is open and on a name
//! in it, so that nothing is resolved twice.

use crate::failure::{Failure, Result};
use agent::FailureKind;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Stat, openat2, readlinkat, statat};
use rustix::io::Errno;
use std::path::Path;

/// How many links may lie behind one another at the end of a path; Linux has the same bound.
const LINKS: usize = 40;
const PATH_MAX: usize = 4096;

/// A directory that is the root of a system.
pub(crate) struct Tree {
    root: OwnedFd,
}

/// A name in a directory that is open.
pub(crate) struct Place {
    pub(crate) parent: OwnedFd,
    pub(crate) name: String,
}

impl Tree {
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::openat(CWD, root, flags, Mode::empty())? })
    }

    /// Opens what stands at `path`, following links inside the tree.
    pub(crate) fn open_at(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        let path = checked(path)?;
        // A path of the guest is never another process's descriptor, which is what a magic link is.
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                // Something was renamed while `..` was looked up.
                Err(Errno::AGAIN) => continue,
                result => return Ok(result?),
            }
        }
    }

    /// The place that `path` names, its last component not followed. The root is the name `.` in itself.
    pub(crate) fn place(&self, path: &str) -> Result<Place> {
        let (parent, name) = split(checked(path)?);
        let parent = self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY)?;
        if name == ".." {
            return Err(Failure::new(FailureKind::WrongKind, "a path cannot end in .."));
        }
        let name = if name.is_empty() { "." } else { name }.to_string();
        Ok(Place { parent, name })
    }

    /// The place at the end of the links that `path` may name, whether anything stands there or not.
    pub(crate) fn followed_place(&self, path: &str) -> Result<Place> {
        let mut path = path.to_string();
        for _ in 0..LINKS {
            let place = self.place(&path)?;
            let Some(target) = place.link_target()? else {
                return Ok(place);
            };
            // `..` in a target counts from the directory that the link really lies in, which is what the kernel makes of
            // the joined path too.
            path = if target.starts_with('/') { target } else { format!("{}/{target}", split(&path).0) };
        }
        Err(Errno::LOOP.into())
    }
}

impl Place {
    /// What stands there, not followed.
    pub(crate) fn stat(&self) -> Result<Option<Stat>> {
        match statat(&self.parent, self.name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Where the link there points; `None` when there is no link.
    pub(crate) fn link_target(&self) -> Result<Option<String>> {
        match readlinkat(&self.parent, self.name.as_str(), Vec::new()) {
            Ok(target) => Ok(Some(utf8(target.into_bytes())?)),
            // EINVAL is a file that is no link.
            Err(Errno::INVAL | Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Another name in the same directory.
    pub(crate) fn beside(&self, name: &str) -> Result<Self> {
        let parent = rustix::io::dup(self.parent.as_fd())?;
        Ok(Self { parent, name: name.to_string() })
    }

    /// Whether it is the root of the tree, which cannot be replaced, renamed or removed.
    pub(crate) fn not_root(self) -> Result<Self> {
        if self.name == "." {
            return Err(Failure::new(FailureKind::WrongKind, "it is the root of the tree"));
        }
        Ok(self)
    }
}

/// The directory and the last name of a path; the name of `/` is empty.
fn split(path: &str) -> (&str, &str) {
    let path = path.trim_end_matches('/');
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((parent, name)) => (parent, name),
        None => ("/", path),
    }
}

fn checked(path: &str) -> Result<&str> {
    if !path.starts_with('/') || path.contains('\0') || path.len() >= PATH_MAX {
        return Err(Failure::new(FailureKind::Other, "it is not an absolute path of a usual length"));
    }
    Ok(path)
}

/// A name of the guest as text.
pub(crate) fn utf8(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Failure::new(FailureKind::Other, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, Tree) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir_all(root.join("etc/deep")).unwrap();
        std::fs::write(directory.path().join("secret"), "outside").unwrap();
        std::fs::write(root.join("secret"), "inside").unwrap();
        let tree = Tree::open(&root).unwrap();
        (directory, tree)
    }

    fn read(tree: &Tree, path: &str) -> Result<String> {
        let file = tree.open_at(path, OFlags::RDONLY)?;
        Ok(std::io::read_to_string(std::fs::File::from(file)).unwrap())
    }

    #[test]
    fn no_link_and_no_dots_lead_out() {
        let (directory, tree) = tree();
        let root = directory.path().join("root");
        symlink("/secret", root.join("etc/absolute")).unwrap();
        symlink("../../../../secret", root.join("etc/dots")).unwrap();
        symlink("/..", root.join("etc/up")).unwrap();
        for path in
            ["/etc/absolute", "/etc/dots", "/etc/up/secret", "/../../secret", "/etc/deep/../../../secret"]
        {
            assert_eq!(read(&tree, path).unwrap(), "inside", "{path}");
        }
        let place = tree.followed_place("/etc/dots").unwrap();
        assert_eq!(place.name, "secret");
        assert!(place.stat().unwrap().is_some_and(|stat| stat.st_size == 6));
    }

    #[test]
    fn loops_end() {
        let (directory, tree) = tree();
        symlink("loop", directory.path().join("root/loop")).unwrap();
        assert_eq!(read(&tree, "/loop/x").unwrap_err().kind, FailureKind::WrongKind);
        assert!(tree.followed_place("/loop").is_err_and(|failure| failure.kind == FailureKind::WrongKind));
    }

    #[test]
    fn only_absolute_paths() {
        let (_directory, tree) = tree();
        let long = format!("/{}", "x".repeat(PATH_MAX));
        for path in ["", "etc", "/a\0b", long.as_str()] {
            assert!(tree.place(path).is_err(), "{path:?}");
        }
        assert!(tree.place("/etc/..").is_err());
        assert_eq!(tree.place("//").unwrap().name, ".");
        assert_eq!(tree.place("/etc/").unwrap().name, "etc");
    }

    #[test]
    fn a_dangling_link_leads_to_where_it_would() {
        let (directory, tree) = tree();
        symlink("deep/new", directory.path().join("root/etc/link")).unwrap();
        let place = tree.followed_place("/etc/link").unwrap();
        assert_eq!(place.name, "new");
        assert!(place.stat().unwrap().is_none());
    }
}
